"""SQLite files that several kernels share: open, migrate, lock and recover them.

    Database            for data that must not be lost, such as the run history. An older file is migrated. A file of
                        a newer version, without a table, or without write permission is read only; one that cannot be
                        read at all is replaced by a database in memory. The session warns once, the file is not
                        touched, and what must be on disk (`exclusive(durable=True)`) is refused.
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
import secrets
import sqlite3
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from orchmagic.errors import StoreError

T = TypeVar("T")
Execute: TypeAlias = Callable[..., sqlite3.Cursor]
"""Runs one statement with its values."""

PATIENCE = 5.0  # seconds to wait for a lock of another process
_RETRY_EVERY = 0.01  # seconds between two tries to open a locked file
_COMPANIONS = ("-wal", "-shm", "-journal")  # endings of SQLite's other files
CONNECT: Any = {"timeout": PATIENCE, "isolation_level": None, "check_same_thread": False}

# error codes that a damaged file may cause: a missing table is an ERROR, a truncated file may be an IOERR
_DOUBTFUL = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR}


@dataclass(frozen=True, slots=True)
class DatabaseSchema:
    """The tables of a file. `since`: the version that added a table, where it is not the first one.

    An older file is migrated when it is opened: it gets the tables and columns that it lacks, in one transaction. So a
    new column needs a default (or may be NULL). `version` is raised when an older orchmagic must not write the file.
    """

    statements: str
    version: int = 1
    since: Mapping[str, int] = field(default_factory=dict)

    @property
    def tables(self) -> frozenset[str]:
        """The names of the tables in `statements`."""
        return frozenset(re.findall(r"CREATE TABLE (\w+)", self.statements))

    def missing(self, connection: sqlite3.Connection) -> list[str]:
        """The statements that give the file what it lacks: tables, columns, its version.

        Raises:
            NewerFileError: the file was written by a newer version.
            IncompleteFileError: it lacks a table of its version.
        """
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > self.version:
            why = f"it was written by a newer orchmagic, version {version}, this one reads version {self.version}"
            raise NewerFileError(why)
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if lost := sorted(t for t in self.tables - there if version >= self.since.get(t, 1)):
            raise IncompleteFileError(f"it lacks the table {lost[0]!r}")
        todo: list[str] = []
        if version < self.version:
            todo += [re.sub(r"CREATE (TABLE|INDEX)", r"CREATE \1 IF NOT EXISTS", s) for s in self.statements.split(";")]
        for table, columns in self._columns().items():
            has = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            todo += [
                f"ALTER TABLE {table} ADD COLUMN {n} {kind}" for n, kind in columns.items() if has and n not in has
            ]
        if not connection.execute("PRAGMA application_id").fetchone()[0]:  # tells this file from another of its name
            todo.append(f"PRAGMA application_id = {secrets.randbits(30) + 1}")
        return [*todo, f"PRAGMA user_version = {self.version}"] if todo else []

    def _columns(self) -> dict[str, dict[str, str]]:
        """The columns by table, with type and default."""
        with contextlib.closing(sqlite3.connect(":memory:")) as model:
            model.executescript(self.statements)
            info = {table: model.execute(f"PRAGMA table_info({table})").fetchall() for table in self.tables}
        return {
            table: {c[1]: c[2] if c[4] is None else f"{c[2]} DEFAULT {c[4]}" for c in columns}
            for table, columns in info.items()
        }


class StoreWarning(RuntimeWarning):
    """A file cannot be used; the session continues without it."""


class NewerFileError(sqlite3.DatabaseError):
    """The file was written by a newer version; it is not damaged."""


class IncompleteFileError(sqlite3.DatabaseError):
    """The file lacks a table that a file of its version has."""


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


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a file for reading, as it is.

    Raises:
        sqlite3.Error, OSError: it cannot be read, or is no database.
    """
    log = Path(f"{path}-wal")
    pending = log.is_file() and log.stat().st_size
    ways = ("mode=ro",) if pending else ("mode=ro", "mode=ro&immutable=1")  # the last one: where no log can be made
    for way in ways:
        with contextlib.closing(_uri(path, way)) as probe, contextlib.suppress(sqlite3.OperationalError):
            probe.execute("SELECT count(*) FROM sqlite_master").fetchall()
            return _uri(path, way)
    raise sqlite3.OperationalError("unable to open database file")


def _uri(path: Path, way: str) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{way}", uri=True, timeout=0, isolation_level=None, check_same_thread=False
    )
    return connection


def _prepared(connection: sqlite3.Connection, schema: DatabaseSchema) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # commits survive a crash of the process; with `exclusive(durable=True)` also one of the machine
        connection.execute("PRAGMA synchronous = NORMAL")
        if schema.missing(connection):
            connection.execute("BEGIN IMMEDIATE")
            for statement in schema.missing(connection):  # again: another process may have been faster
                connection.execute(statement)
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def retry_while_locked(action: Callable[[], T], patience: float = PATIENCE) -> T:
    """Retry `action` while SQLite reports a lock: another process writes, or opens or closes the log.

    Raises:
        sqlite3.OperationalError: the file is locked for longer than `patience` seconds, or cannot be opened.
    """
    until = time.monotonic() + patience
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > until:
                raise
        time.sleep(_RETRY_EVERY)


def is_locked(error: BaseException) -> bool:
    """Whether SQLite reports a lock of another process (or of another connection)."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


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
    """A database whose statements never wait for another process's lock in an event loop.

    `read` and `post` return at once: posted statements run in order on a thread of the database, which waits as long as
    the file is locked. `write` and `exclusive` run in the caller's thread, after all that was posted, and wait up to
    PATIENCE. `what` names the file in warnings. After `close`, statements are dropped without a warning.
    """

    def __init__(self, path: Path | None, schema: DatabaseSchema, what: str) -> None:
        super().__init__(path, schema)
        self.what = what
        self.lacks: str | None = None
        """Why nothing is written to the file; None if all is well. The file may still be read."""
        self._warned: set[str] = set()
        self._closed = False
        self._identity: tuple[int, int] | None = None
        self._writer: WriterThread | None = None

    @property
    def outlives(self) -> bool:
        """Whether what is written outlives this kernel."""
        with self._lock:
            if not self._closed:
                self._opened()
        return self.path is not None and self.lacks is None

    def read(self, sql: str, *values: object) -> list[Any]:
        """Return the rows (columns also by name) that can be read; a warning if some cannot.

        Posted statements may be missing: call `flush` before, where that matters.
        """
        rows: list[Any] = []
        try:
            with self._lock:
                for row in () if self._closed else self._opened().execute(sql, _storable(values)):
                    rows.append(row)  # noqa: PERF402 - a damaged page must not hide the rows before it
        except sqlite3.Error as error:
            if self.lacks is None:  # else it was said when the file was opened
                self.complain("read", _why(error, "some of it is missing here"))
        return rows

    def columns(self, table: str) -> set[str]:
        """The columns of a table in this file; a newer file may lack some."""
        return {row["name"] for row in self.read(f"PRAGMA table_info({table})")}

    def write(self, sql: str, *values: object) -> sqlite3.Cursor | None:
        """Run one statement and commit; return None, with a warning, if it failed."""
        try:
            self._flush_or_raise(PATIENCE)
            return retry_while_locked(lambda: self._execute(sql, values))
        except sqlite3.Error as error:
            self.complain_of(error)
            return None

    def post(self, action: Callable[[Execute], object], done: Callable[[bool], None] = lambda _: None) -> None:
        """Run `action(execute)` in one transaction on the database's thread; then call `done(committed)` there."""
        with self._lock:
            if self._closed:
                return
            self._opened()
            if self.path is not None and self._writer is None:
                self._writer = WriterThread(self._posted, lambda: self.complain("used", _LOCKED))
        job = partial(self._transaction, action)
        if self._writer is None:
            done(self._posted(job))
        else:
            self._writer.post(job, done)

    def flush(self, seconds: float = PATIENCE) -> bool:
        """Wait until all posted statements are done; False if they are not after `seconds`."""
        return self._writer is None or self._writer.flush(seconds)

    @contextmanager
    def exclusive(self, *, durable: bool = False, patience: float = PATIENCE) -> Iterator[Execute]:
        """Run several statements in one write transaction; `durable`: wait until they are on disk.

        Waits up to `patience` seconds for other processes, in the caller's thread.

        Raises:
            StoreError: the transaction failed and was rolled back, or nothing can be written to the file.
        """
        try:
            self._flush_or_raise(patience)
            with contextlib.ExitStack() as held:
                connection = retry_while_locked(lambda: self._begun(held, durable=durable), patience)
                yield lambda sql, *values: connection.execute(sql, _storable(values))
                connection.execute("COMMIT")
                if durable and self.path is not None and file_identity(self.path) != self._identity:
                    raise sqlite3.OperationalError("the file was deleted or replaced in this moment")
        except sqlite3.Error as error:
            raise StoreError(f"the {self.what} {self.path or 'in memory'} cannot be written: {error}") from error

    def _begun(self, held: contextlib.ExitStack, *, durable: bool) -> sqlite3.Connection:
        """Begin a transaction; `held` then holds the lock, and rolls back what was not committed."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._lock)
            if self._closed:
                raise sqlite3.ProgrammingError("the session is closed")
            connection = self._current()
            if durable and self.path is not None and self.lacks is not None:
                raise sqlite3.OperationalError(self.lacks)
            if durable:
                connection.execute("PRAGMA synchronous = FULL")
                stack.callback(connection.execute, "PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            stack.callback(_undo, connection)
            held.push(stack.pop_all())
            return connection

    def _transaction(self, action: Callable[[Execute], object]) -> None:
        with contextlib.ExitStack() as held:
            connection = self._begun(held, durable=False)
            action(lambda sql, *values: connection.execute(sql, _storable(values)))
            connection.execute("COMMIT")

    def _posted(self, job: Callable[[], None]) -> bool:
        """Run one posted job; whether it was committed.

        Raises:
            sqlite3.OperationalError: the file is locked; run it again.
        """
        try:
            job()
        except sqlite3.Error as error:
            if is_locked(error):
                raise
            if not self._closed:
                self.complain_of(error)
            return False
        return True

    def _execute(self, sql: str, values: tuple[object, ...]) -> sqlite3.Cursor | None:
        with self._lock:
            return None if self._closed else self._current().execute(sql, _storable(values))

    def _flush_or_raise(self, seconds: float) -> None:
        if not self.flush(seconds):
            raise sqlite3.OperationalError("it is locked by another program")

    def complain_of(self, error: Exception, loss: str = "what happens now cannot be resumed after a restart") -> None:
        """Warn that something was not written, unless that was said when the file was opened."""
        if self.lacks is None:
            cause = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
            self.complain("written", _why(cause, loss))

    def complain(self, done: str, why: str) -> None:
        """Warn once per kind of failure: a full disk must not flood a notebook."""
        if done not in self._warned:
            self._warned.add(done)
            warnings.warn(f"the {self.what} {self.path} cannot be {done} ({why})", StoreWarning, stacklevel=4)

    def close(self) -> None:
        """Write what was posted, then close the file for good. Safe to call twice, from any thread."""
        if self._writer is not None and not self._writer.close(PATIENCE) and not self._closed:
            self.complain("written", "it is locked by another program: what happened last is lost")
        with self._lock:
            self._closed = True
            super().close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._on_disk() or connect(None, self._schema)
            self._connection.row_factory = sqlite3.Row
            self._connection.text_factory = _decoded
            _close_if_dropped(self, self._connection)
            self._identity = file_identity(self.path) if self.path is not None else None
        return self._connection

    def _on_disk(self) -> sqlite3.Connection | None:
        """Open the file; read only, or not at all (None), with a warning, if it cannot be written."""
        if self.path is None:
            return None
        try:
            connection = connect(self.path, self._schema)
            connection.execute("PRAGMA busy_timeout = 0")  # waiting is done outside of our own lock
        except (sqlite3.Error, OSError) as error:
            self.lacks = f"{error}; {_advice(error)}"
            with contextlib.suppress(sqlite3.Error, OSError):
                connection = connect_read_only(self.path)
                loss = "it is only read here, and runs of this session are not kept"
                self.complain("written", f"{error}: {loss}; {_advice(error)}")
                return connection
            self.complain("used", f"{error}: this session goes on without {self.what.split()[-1]}; {_advice(error)}")
            return None
        return connection

    def _current(self) -> sqlite3.Connection:
        """Return the connection, to a file that is still found under its name.

        A file that was deleted is written back, since SQLite still holds its rows. One that was replaced is not
        written: the rows that this session has seen are not in it.
        """
        connection = self._opened()
        path = self.path
        if path is None or self.lacks is not None or file_identity(path) == self._identity:
            return connection
        with process_lock(_lock_file(path)):
            if not path.exists():
                _write_back(connection, path)
                self.complain("deleted", "this session still uses it, so it was written back; first end its kernels")
            if _stamp_of(path) != connection.execute("PRAGMA application_id").fetchone()[0]:
                self.lacks = "another file took its place while this session used it; restart the kernel"
                self.complain("written", self.lacks)
                return connection
        super().close()
        return self._opened()


class WriterThread:
    """Runs jobs in order on a daemon thread. A job that finds the file locked is run again until it is not.

    `run` runs one job and returns whether it was committed. `locked` is called once a job waits for SAY seconds.
    """

    SAY = 3.0

    def __init__(self, run: Callable[[Callable[[], None]], bool], locked: Callable[[], None]) -> None:
        self._run = run
        self._locked = locked
        self._jobs: deque[tuple[Callable[[], None], Callable[[bool], None]]] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ends = False
        self._process = os.getpid()

    def post(self, job: Callable[[], None], done: Callable[[bool], None]) -> None:
        """Add a job."""
        with self._change:
            self._jobs.append((job, done))
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="orchmagic-history", daemon=True)
                self._thread.start()
            self._change.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until no job is left; False if some are after `seconds`. True in a forked child, which has no thread."""
        if self._process != os.getpid():
            return True
        with self._change:
            return self._change.wait_for(lambda: not self._jobs, seconds)

    def close(self, seconds: float) -> bool:
        """Run the jobs that are left, for at most `seconds`, and end the thread; False if some were left."""
        done = self.flush(seconds)
        with self._change:
            self._ends = True
            self._change.notify_all()
        if self._thread is not None and self._process == os.getpid():
            self._thread.join(seconds)
        return done

    def _serve(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._jobs or self._ends)
                if self._ends:
                    return
                job, done = self._jobs[0]
            committed = self._until_done(job)
            with contextlib.suppress(Exception):  # the session may be closing; the thread goes on
                done(committed)
            with self._change:
                self._jobs.popleft()
                self._change.notify_all()

    def _until_done(self, job: Callable[[], None]) -> bool:
        began, said = time.monotonic(), False
        while not self._ends:
            try:
                return self._run(job)
            except sqlite3.OperationalError:
                if not said and time.monotonic() - began > self.SAY:
                    said = True
                    with contextlib.suppress(Warning):  # a thread has nobody to raise it to
                        self._locked()
                time.sleep(_RETRY_EVERY)
            except Exception:  # noqa: BLE001 - of one job, such as a value that is no JSON: the others go on
                return False
        return False


def _undo(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _write_back(connection: sqlite3.Connection, path: Path) -> None:
    """Copy an open database to the path from which its file was deleted."""
    for ending in _COMPANIONS:
        Path(f"{path}{ending}").unlink(missing_ok=True)  # of the deleted file: a new one must not use them
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(sqlite3.connect(path, **CONNECT)) as copy:
        connection.backup(copy)


def _stamp_of(path: Path) -> int:
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_uri(path, "mode=ro")) as other:
        return int(other.execute("PRAGMA application_id").fetchone()[0])
    return 0


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


def _why(error: Exception, loss: str) -> str:
    return f"{error}: {loss}" + ("; move the file away to begin a new one" if may_be_damage(error) else "")


def _advice(error: Exception) -> str:
    """What to write where a file cannot be used."""
    if isinstance(error, NewerFileError):
        return "write pip install -U orchmagic, or choose another folder with %config OrchMagic.history_dir"
    if isinstance(error, IncompleteFileError) or may_be_damage(error) or is_damage(error):
        return "move the file away to begin a new one, after a look at what was written (it records the writes, too)"
    return "make it readable and writable for you, or choose another folder with %config OrchMagic.history_dir"


def is_damage(error: Exception) -> bool:
    """Whether SQLite says that the file is damaged."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _decoded(text: bytes) -> str:
    """Text that is no UTF-8 must not hide the rows around it."""
    return text.decode("utf-8", "replace")


_LOCKED = "another program has locked it: what is recorded waits in memory and is written as soon as it is free"


def _storable(values: tuple[object, ...]) -> list[object]:
    """Escape lone surrogates, which have no UTF-8 form (a model's tool call id may hold one)."""
    return [
        v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) and not v.isascii() else v for v in values
    ]
