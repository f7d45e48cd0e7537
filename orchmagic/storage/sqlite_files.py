"""Opens, locks and checks SQLite files that several kernels share.

SQLite finds the write-ahead log of a file by name only. Therefore opening and moving a file that may be replaced both
hold its lock, and a process that has one open checks before each use that the name still refers to the same file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from orchmagic.storage.schema import DatabaseSchema

T = TypeVar("T")
PATIENCE = 5.0  # seconds to wait for a lock of another process
RETRY_EVERY = 0.01  # seconds between two tries to open or write a locked file
COMPANIONS = ("-wal", "-shm", "-journal")  # endings of SQLite's other files
CONNECT: Any = {"timeout": PATIENCE, "isolation_level": None, "check_same_thread": False}

# error codes that a damaged file may cause: a missing table is an ERROR, a truncated file may be an IOERR
_DOUBTFUL = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR}


class StoreWarning(RuntimeWarning):
    """A file cannot be used; the session continues without it."""


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
    _refuse_other_than_file(path)
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
        with contextlib.closing(connect_by_uri(path, way)) as probe, contextlib.suppress(sqlite3.OperationalError):
            probe.execute("SELECT count(*) FROM sqlite_master").fetchall()
            return connect_by_uri(path, way)
    raise sqlite3.OperationalError("unable to open database file")


def connect_by_uri(path: Path, way: str) -> sqlite3.Connection:
    """Open a file with SQLite's URI parameters, such as "mode=ro".

    Raises:
        sqlite3.Error, OSError: it cannot be opened.
    """
    _refuse_other_than_file(path)
    connection: sqlite3.Connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{way}", uri=True, timeout=0, isolation_level=None, check_same_thread=False
    )
    return connection


def _refuse_other_than_file(path: Path) -> None:
    """Refuses what SQLite would wait for without end (a named pipe), or write into (a device)."""
    if path.exists() and not path.is_file() and not path.is_dir():  # of a folder the system tells enough
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


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
        time.sleep(RETRY_EVERY)


def is_locked(error: BaseException) -> bool:
    """Whether SQLite reports a lock of another process (or of another connection)."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def may_be_damage(error: BaseException) -> bool:
    """Whether the error may come from a damaged file (not from a lock, a full disk or missing rights)."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF in _DOUBTFUL


def is_damage(error: Exception) -> bool:
    """Whether SQLite says that the file is damaged."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


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
    for ending in ("", *COMPANIONS):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{file}{ending}").replace(f"{aside}{ending}")


def lock_file(path: Path) -> Path:
    """The file that `process_lock` uses for a database."""
    return path.with_name(f"{path.name}.lock")


class SharedConnection:
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


def close_if_dropped(owner: SharedConnection, connection: sqlite3.Connection) -> None:
    """Closes the connection of a dropped object, but not at exit: the session closes it then, after its runs."""
    weakref.finalize(owner, connection.close).atexit = False
