"""SQLite files that several kernels share: open, migrate, lock and recover them.

    Database            for data that must not be lost, such as the run history. An unusable file (damaged, of a newer
                        version, in a read-only folder) is not touched: the session warns once and continues with a
                        database in memory. A later error loses the row, not the run.
    RenewableDatabase   for data that may be lost, such as the semantic cache. A damaged file is moved aside with one
                        warning and replaced by a new one, which all kernels find at their next use.

SQLite finds the write-ahead log of a file by name only. Therefore opening and moving a renewable file both hold its
lock, and a process that has one open checks before each use that the name still refers to the same file.
Values are stored as JSON text.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from orchmagic.errors import StoreError

T = TypeVar("T")

PATIENCE = 5.0  # seconds to wait for a lock of another process
_RETRY_EVERY = 0.01  # seconds between two tries to open a locked file
_COMPANIONS = ("-wal", "-shm", "-journal")  # endings of SQLite's other files
CONNECT: Any = {"timeout": PATIENCE, "isolation_level": None, "check_same_thread": False}

# error codes that a damaged file may cause: a missing table is an ERROR, a truncated file may be an IOERR
_DOUBTFUL = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR}


@dataclass(frozen=True, slots=True)
class DatabaseSchema:
    """The tables of a file. `added`: later columns (table, name, type) that did not need a new version."""

    statements: str
    version: int = 1
    added: tuple[tuple[str, str, str], ...] = ()

    @property
    def tables(self) -> frozenset[str]:
        """The names of the tables in `statements`."""
        return frozenset(re.findall(r"CREATE TABLE (\w+)", self.statements))

    def apply(self, connection: sqlite3.Connection) -> None:
        """Create missing tables and columns.

        Raises:
            NewerFileError: the file was written by a newer version.
        """
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > self.version:
            why = f"it was written by a newer orchmagic, version {version}, this one reads version {self.version}"
            raise NewerFileError(why)
        if version == 0:
            for statement in self.statements.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {self.version}")
        for table, column, kind in self.added:
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            if columns and column not in columns:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


class StoreWarning(RuntimeWarning):
    """A file cannot be used; the session continues without it."""


class NewerFileError(sqlite3.DatabaseError):
    """The file was written by a newer version; it is not damaged."""


def connect(path: Path | None, schema: DatabaseSchema) -> sqlite3.Connection:
    """Open a file with mode 0600 and create what is missing in it; None opens a database in memory.

    A new folder gets mode 0700; an existing one keeps its mode.

    Raises:
        sqlite3.Error, OSError: the file cannot be used.
    """
    if path is None:
        return _prepared(sqlite3.connect(":memory:", **CONNECT), schema)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite creates its other files with the same mode
    path.chmod(0o600)
    return retry_while_locked(lambda: _prepared(sqlite3.connect(path, **CONNECT), schema))


def _prepared(connection: sqlite3.Connection, schema: DatabaseSchema) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # commits survive a crash of the process; with `exclusive(durable=True)` also one of the machine
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        schema.apply(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def retry_while_locked(opening: Callable[[], T]) -> T:
    """Retry `opening` while SQLite reports a lock without waiting: another process opens or closes the log.

    Raises:
        sqlite3.OperationalError: the file is locked for longer than PATIENCE, or cannot be opened.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return opening()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(_RETRY_EVERY)


def may_be_damage(error: BaseException) -> bool:
    """Whether the error may come from a damaged file (not from a lock, a full disk or missing rights)."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF in _DOUBTFUL


def is_damaged(file: Path, tables: frozenset[str]) -> bool:
    """Whether SQLite cannot read the file or `tables` are missing; False if it is locked or not accessible."""
    if is_log_without_file(file):
        return True
    try:
        return retry_while_locked(lambda: not _is_sound(file, tables))
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError:
        return True


def _is_sound(file: Path, tables: frozenset[str]) -> bool:
    address = f"{file.absolute().as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(address, timeout=PATIENCE, uri=True)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return names >= tables and connection.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)]


def is_log_without_file(file: Path) -> bool:
    """Whether SQLite's log exists without its file: a new file of that name must not use it."""
    return not (file.is_file() and file.stat().st_size) and Path(f"{file}-wal").is_file()


def file_identity(path: str | Path) -> tuple[int, int] | None:
    """Return (device, inode) of a path, None if missing; comparable while a process has the file open."""
    try:
        status = os.stat(path)  # noqa: PTH116 - called before each use: a Path takes five times as long
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def process_lock(lock: Path) -> Iterator[None]:
    """Exclude other processes that use the same file `lock` while the context is open."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(sqlite3.Error):  # a read-only folder cannot be locked: go on
            held = sqlite3.connect(lock, timeout=PATIENCE, isolation_level=None)  # a lock that works on every system
            stack.callback(held.close)
            held.execute("BEGIN EXCLUSIVE")
        yield


def put_aside(file: Path, aside: Path) -> None:
    """Move the file and SQLite's other files to `aside`. The file itself goes first: other processes check it.

    Raises:
        OSError: a file cannot be moved.
    """
    for ending in ("", *_COMPANIONS):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{file}{ending}").replace(f"{aside}{ending}")


class _Shared:
    """One connection shared by all threads, with a lock. `path` None: in memory."""

    def __init__(self, path: Path | None, schema: DatabaseSchema) -> None:
        self.path = path
        self._schema = schema
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()

    def close(self) -> None:
        """Close the file. Safe to call twice, from any thread."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()


class Database(_Shared):
    """A database that falls back to memory. Statements run in the caller's thread, as they are short.

    `what` names the file in warnings. Writes after `close` are dropped without a warning.
    """

    def __init__(self, path: Path | None, schema: DatabaseSchema, what: str) -> None:
        super().__init__(path, schema)
        self.what = what
        self._warned: set[str] = set()
        self._closed = False

    def read(self, sql: str, *values: object) -> list[Any]:
        """Return the rows (columns also by name); an empty list and a warning if they cannot be read."""
        try:
            with self._lock:
                return [] if self._closed else self._opened().execute(sql, _storable(values)).fetchall()
        except sqlite3.Error as error:
            self.complain("read", _why(error, "some of it is missing here"))
            return []

    def write(self, sql: str, *values: object) -> sqlite3.Cursor | None:
        """Run one statement and commit; return None, with a warning, if it failed."""
        try:
            with self._lock:
                return None if self._closed else self._opened().execute(sql, _storable(values))
        except sqlite3.Error as error:
            self.complain("written", _why(error, "what happens now cannot be resumed after a restart"))
            return None

    @contextmanager
    def exclusive(self, *, durable: bool = False) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Run several statements in one write transaction; `durable`: wait until they are on disk.

        Raises:
            StoreError: the transaction failed and was rolled back.
        """
        with self._lock:
            try:
                if self._closed:
                    raise sqlite3.ProgrammingError("the session is closed")
                connection = self._opened()
                if durable:
                    connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield lambda sql, *values: connection.execute(sql, _storable(values))
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                finally:
                    connection.execute("PRAGMA synchronous = NORMAL")
            except sqlite3.Error as error:
                raise StoreError(f"the {self.what} {self.path or 'in memory'} cannot be written: {error}") from error

    def complain(self, done: str, why: str) -> None:
        """Warn once per kind of failure: a full disk must not flood a notebook."""
        if done not in self._warned:
            self._warned.add(done)
            warnings.warn(f"the {self.what} {self.path} cannot be {done} ({why})", StoreWarning, stacklevel=4)

    def close(self) -> None:
        """Close the file for good. Safe to call twice, from any thread."""
        with self._lock:
            self._closed = True
            super().close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._on_disk() or connect(None, self._schema)
            self._connection.row_factory = sqlite3.Row
            _close_if_dropped(self, self._connection)
        return self._connection

    def _on_disk(self) -> sqlite3.Connection | None:
        if self.path is None:
            return None
        try:
            return connect(self.path, self._schema)
        except (sqlite3.Error, OSError) as error:
            self.complain("used", _why(error, f"this session goes on without {self.what.split()[-1]}"))
            return None


class RenewableDatabase(_Shared):
    """A database that replaces a damaged file, then calls `damaged(why, aside)`. It reopens the file after `close`.

    Every method may raise sqlite3.Error or OSError, which the caller handles. `opened` counts how often a file was
    opened, since row numbers restart in a new file.
    """

    def __init__(self, path: Path | None, schema: DatabaseSchema, damaged: Callable[[str, Path], None]) -> None:
        super().__init__(path, schema)
        self.opened = 0
        self._damaged = damaged
        self._identity: tuple[int, int] | None = None

    def run(self, sql: str, *values: object) -> list[Any]:
        """Run one statement, commit, and return its rows."""
        with self._lock:
            return self._healing(lambda connection: connection.execute(sql, values).fetchall())

    @contextmanager
    def exclusive(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Run several statements in one write transaction."""
        with self._lock:
            connection = self._healing(lambda connection: connection.execute("BEGIN IMMEDIATE").connection)
            try:
                yield lambda sql, *values: connection.execute(sql, values)
                connection.execute("COMMIT")
            except BaseException as error:
                with contextlib.suppress(sqlite3.Error):  # a damaged file may have lost the transaction
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    self._heal(error)  # for the next call
                raise

    def ready(self) -> sqlite3.Connection:
        """Return a connection to the current file; reopens it if another process moved it aside."""
        with self._lock:
            if self._connection is not None and self.path is not None and file_identity(self.path) != self._identity:
                self.close()
            if self._connection is None:
                try:
                    self._connection = self._connect()
                except sqlite3.Error as error:
                    self._heal(error)
                    self._connection = self._connect()
                self._identity = file_identity(self.path) if self.path is not None else None
                self.opened += 1
                _close_if_dropped(self, self._connection)
            return self._connection

    def _connect(self) -> sqlite3.Connection:
        path = self.path
        if path is None:
            return connect(None, self._schema)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with process_lock(_lock_file(path)):
            if is_log_without_file(path):
                self._put_aside(path, "it is gone, only its log is there")
            return connect(path, self._schema)

    def _healing(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run `action`; if the file is damaged, run it again on a new one."""
        try:
            return action(self.ready())
        except sqlite3.Error as error:
            self._heal(error)
            return action(self.ready())

    def _heal(self, error: sqlite3.Error) -> None:
        """Move a damaged file aside; raise `error` if it cannot come from damage."""
        self.close()
        if self.path is None or not may_be_damage(error):
            raise error
        with process_lock(_lock_file(self.path)):
            if is_damaged(self.path, self._schema.tables):  # otherwise another process has replaced it
                self._put_aside(self.path, str(error))

    def _put_aside(self, path: Path, why: str) -> None:
        aside = path.with_name(f"{path.name}.damaged")
        put_aside(path, aside)
        self._damaged(why, aside)


def _close_if_dropped(owner: _Shared, connection: sqlite3.Connection) -> None:
    """Closes the connection of a dropped object, but not at exit: the session closes it then, after its runs."""
    weakref.finalize(owner, connection.close).atexit = False


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _why(error: sqlite3.Error | OSError, loss: str) -> str:
    can_begin_anew = isinstance(error, sqlite3.Error) and (may_be_damage(error) or isinstance(error, NewerFileError))
    return f"{error}: {loss}" + ("; move the file away to begin a new one" if can_begin_anew else "")


def _storable(values: tuple[object, ...]) -> list[object]:
    """Escape lone surrogates, which have no UTF-8 form (a model's tool call id may hold one)."""
    return [
        v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) and not v.isascii() else v for v in values
    ]
