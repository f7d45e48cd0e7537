"""SQLite files that several kernels share: opened, brought up to date, locked, and kept usable, in one place.

    Database            what must not be lost, such as the run history. A file that cannot be used (damaged, of a newer
                        version, in a folder that cannot be written) is left alone: one warning, and the session works
                        on with a database in memory. Trouble later on costs the row, not the run.
    RenewableDatabase   what may be lost, such as the semantic cache. A damaged file is put aside, with one warning, and
                        a new one begun, which all kernels find at their next use.

SQLite's write-ahead log belongs to one file and is found by its name only. So who opens a renewable file and who puts
one aside each hold its lock, and who has one open looks, before each use, whether the name still means the same file.
JSON text only.
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

PATIENCE = 5.0  # seconds to wait for another process that writes
_RETRY_EVERY = 0.01  # seconds between two tries to open a locked file
_COMPANIONS = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a file
CONNECT: Any = {"timeout": PATIENCE, "isolation_level": None, "check_same_thread": False}

# what a damaged file may make SQLite say; a table that is missing is an ERROR, a file that is cut short may be an IOERR
_DOUBTFUL = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR}


@dataclass(frozen=True, slots=True)
class DatabaseSchema:
    """What a file holds. `added` are columns (table, name, type) that came without a new version: old code reads on."""

    statements: str
    version: int = 1
    added: tuple[tuple[str, str, str], ...] = ()

    @property
    def tables(self) -> frozenset[str]:
        """The names of its tables."""
        return frozenset(re.findall(r"CREATE TABLE (\w+)", self.statements))

    def apply(self, connection: sqlite3.Connection) -> None:
        """Make what is missing in a file.

        Raises:
            NewerFileError: it was written by a newer version.
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
    """A file cannot do its work; the session goes on without it."""


class NewerFileError(sqlite3.DatabaseError):
    """A file of a newer version; it is no damage."""


def connect(path: Path | None, schema: DatabaseSchema) -> sqlite3.Connection:
    """Open a file that only its owner reads, and make what is missing in it; None: in memory.

    The folder is private too, when it is made here (an older one has its own rules).

    Raises:
        sqlite3.Error, OSError: it cannot be used.
    """
    if path is None:
        return _prepared(sqlite3.connect(":memory:", **CONNECT), schema)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
    path.chmod(0o600)
    return retry_while_locked(lambda: _prepared(sqlite3.connect(path, **CONNECT), schema))


def _prepared(connection: sqlite3.Connection, schema: DatabaseSchema) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # what is committed survives the death of the process; `exclusive(durable=True)` also that of the machine
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        schema.apply(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def retry_while_locked(opening: Callable[[], T]) -> T:
    """Open a file, again and again while SQLite says "locked" without waiting: another process begins or ends its log.

    Raises:
        sqlite3.OperationalError: it is locked for longer than a few seconds, or cannot be opened.
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
    """Whether it is worth a look at the file; locked, full, or not ours is no damage."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF in _DOUBTFUL


def is_damaged(file: Path, tables: frozenset[str]) -> bool:
    """Whether SQLite cannot make sense of the file, or misses `tables`; False for one that is locked or not ours."""
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
    """Whether SQLite's log is there without the file that it belongs to: it must not meet a new one."""
    return not (file.is_file() and file.stat().st_size) and Path(f"{file}-wal").is_file()


def file_identity(path: str | Path) -> tuple[int, int] | None:
    """What a name means now; comparable as long as somebody has the file open."""
    try:
        status = os.stat(path)  # noqa: PTH116 - before each use: a Path takes five times as long
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def process_lock(lock: Path) -> Iterator[None]:
    """While no other process is in here with the same `lock`, a file that is made beside what it protects."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(sqlite3.Error):  # nothing can be locked where nothing can be written: go on
            held = sqlite3.connect(lock, timeout=PATIENCE, isolation_level=None)  # a lock that every system has
            stack.callback(held.close)
            held.execute("BEGIN EXCLUSIVE")
        yield


def put_aside(file: Path, aside: Path) -> None:
    """Move the file to `aside`, with what SQLite keeps beside it. The file itself first: the others look at that.

    Raises:
        OSError: it cannot be moved.
    """
    for ending in ("", *_COMPANIONS):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{file}{ending}").replace(f"{aside}{ending}")


class _Shared:
    """One connection for all threads, behind a lock. `path` None keeps everything in memory."""

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
    """Every statement here takes less time than handing it to another thread.

    `what` is the file's name in warnings. `close` is final: what is written later is dropped without a warning.
    """

    def __init__(self, path: Path | None, schema: DatabaseSchema, what: str) -> None:
        super().__init__(path, schema)
        self.what = what
        self._warned: set[str] = set()
        self._closed = False

    def read(self, sql: str, *values: object) -> list[Any]:
        """The rows (by column name too); none when they cannot be read."""
        try:
            with self._lock:
                return [] if self._closed else self._opened().execute(sql, _storable(values)).fetchall()
        except sqlite3.Error as error:
            self.complain("read", _why(error, "some of it is missing here"))
            return []

    def write(self, sql: str, *values: object) -> sqlite3.Cursor | None:
        """One statement, committed at once; None when it could not be done."""
        try:
            with self._lock:
                return None if self._closed else self._opened().execute(sql, _storable(values))
        except sqlite3.Error as error:
            self.complain("written", _why(error, "what happens now cannot be resumed after a restart"))
            return None

    @contextmanager
    def exclusive(self, *, durable: bool = False) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Several statements as one, while no other process writes; `durable`: on disk before it goes on.

        Raises:
            StoreError: it cannot be done; nothing was.
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
        """Warn, once of each kind: a full disk must not flood a notebook."""
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
            weakref.finalize(self, self._connection.close)  # a session that nobody closed
        return self._connection

    def _on_disk(self) -> sqlite3.Connection | None:
        if self.path is None:
            return None
        try:
            return connect(self.path, self._schema)
        except (sqlite3.Error, OSError) as error:
            self.complain(
                "used",
                f"{error}: this session goes on without {self.what.split()[-1]}; move the file away to begin a new one",
            )
            return None


class RenewableDatabase(_Shared):
    """Calls `damaged(why, aside)` when a file was put aside; after `close` the next use opens the file again.

    Every method may raise sqlite3.Error or OSError: the caller decides what a broken disk costs. `opened` counts how
    often a file was opened: a new one numbers its rows anew.
    """

    def __init__(self, path: Path | None, schema: DatabaseSchema, damaged: Callable[[str, Path], None]) -> None:
        super().__init__(path, schema)
        self.opened = 0
        self._damaged = damaged
        self._identity: tuple[int, int] | None = None

    def run(self, sql: str, *values: object) -> list[Any]:
        """One statement, committed at once; its rows."""
        with self._lock:
            return self._healing(lambda connection: connection.execute(sql, values).fetchall())

    @contextmanager
    def exclusive(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Several statements as one, while no other process writes."""
        with self._lock:
            self._healing(lambda connection: connection.execute("BEGIN IMMEDIATE"))
            connection = self.ready()
            try:
                yield lambda sql, *values: connection.execute(sql, values)
                connection.execute("COMMIT")
            except BaseException as error:
                with contextlib.suppress(sqlite3.Error):  # a damaged file may know no transaction any more
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    self._heal(error)  # for the next one
                raise

    def ready(self) -> sqlite3.Connection:
        """The connection to the file that has the name now; another process may have put the last one aside."""
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
                weakref.finalize(self, self._connection.close)  # one that nobody closed
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
        """Do it; when the file turns out to be damaged, do it on a new one."""
        try:
            return action(self.ready())
        except sqlite3.Error as error:
            self._heal(error)
            return action(self.ready())

    def _heal(self, error: sqlite3.Error) -> None:
        """Put a damaged file aside; raise the error again when it is not."""
        self.close()
        if self.path is None or not may_be_damage(error):
            raise error
        with process_lock(_lock_file(self.path)):
            if is_damaged(self.path, self._schema.tables):  # else another process was faster
                self._put_aside(self.path, str(error))

    def _put_aside(self, path: Path, why: str) -> None:
        aside = path.with_name(f"{path.name}.damaged")
        put_aside(path, aside)
        self._damaged(why, aside)


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _why(error: sqlite3.Error, loss: str) -> str:
    return f"{error}: {loss}" + ("; move the file away to begin a new one" if may_be_damage(error) else "")


def _storable(values: tuple[object, ...]) -> list[object]:
    """Half a surrogate pair, in the id that a model gave to a tool call for example, has no UTF-8 form."""
    return [
        v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) and not v.isascii() else v for v in values
    ]
