"""A database for data that must not be lost, such as the run history.

An older file is migrated. A file of a newer version, without a table, or without write permission is read only; one
that cannot be read at all is replaced by a database in memory. The session warns once, the file is not touched, and
what must be on disk (`exclusive(durable=True)`) is refused. Values are stored as JSON text.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from orchmagic.errors import StoreError
from orchmagic.storage.schema import DatabaseSchema, IncompleteFileError, NewerFileError
from orchmagic.storage.sqlite_files import (
    COMPANIONS,
    CONNECT,
    PATIENCE,
    SharedConnection,
    StoreWarning,
    close_if_dropped,
    connect,
    connect_by_uri,
    connect_read_only,
    file_identity,
    is_damage,
    is_locked,
    lock_file,
    may_be_damage,
    process_lock,
    retry_while_locked,
)
from orchmagic.storage.writer_thread import Action, WriterThread

Execute: TypeAlias = Callable[..., sqlite3.Cursor]
"""Runs one statement with its values."""

_LOCKED = "another program has locked it: what is recorded waits in memory and is written as soon as it is free"


class Database(SharedConnection):
    """A database whose statements never wait for another process's lock in an event loop.

    `read` and `post` return at once: posted statements run in order, at the end of the event loop's turn or on a thread
    of the database, which waits as long as the file is locked. `write` and `exclusive` run in the caller's thread,
    after all that was posted, and wait up to
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

    def post(self, action: Action, done: Callable[[bool], None] = lambda _: None, *, long: bool = False) -> None:
        """Run `action(execute)` in a transaction soon; then call `done(committed)`. `long`: never in an event loop.

        The transaction may hold other posted actions; one that fails is rolled back alone.
        """
        with self._lock:
            if self._closed:
                return
            self._opened()
            if self.path is not None and self._writer is None:
                self._writer = WriterThread(self._posted, lambda: self.complain("used", _LOCKED))
        if self._writer is None:
            done(self._posted([action])[0])
        else:
            self._writer.post(action, done, long=long)

    async def settled(self) -> None:
        """Wait until all that was posted is committed, or refused, or was said to wait for a locked file."""
        if self._writer is not None:
            await self._writer.settled()

    def flush(self, seconds: float = PATIENCE) -> bool:
        """Wait until all that was posted before is done; False if it is not after `seconds`."""
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

    def _posted(self, actions: Sequence[Action]) -> Sequence[bool]:
        """Run actions in one transaction, or only the first, where one of them fails; whether each was committed.

        Raises:
            sqlite3.OperationalError: the file is locked; run them again.
        """
        try:
            with self._lock:
                connection = self._current()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    for action in actions:
                        action(lambda sql, *values: connection.execute(sql, _storable(values)))
                    connection.execute("COMMIT")
                finally:
                    _undo(connection)
        except Exception as error:
            if is_locked(error):
                raise
            if len(actions) > 1:
                return self._posted(actions[:1])  # the others come again
            if isinstance(error, sqlite3.Error) and not self._closed:
                self.complain_of(error)
            return [False]
        return [True] * len(actions)

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
            close_if_dropped(self, self._connection)
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
        if self._closed:
            raise sqlite3.ProgrammingError("the session is closed")
        connection = self._opened()
        path = self.path
        if path is None or self.lacks is not None or file_identity(path) == self._identity:
            return connection
        with process_lock(lock_file(path)):
            if not path.exists():
                _write_back(connection, path)
                self.complain("deleted", "this session still uses it, so it was written back; first end its kernels")
            if _stamp_of(path) != connection.execute("PRAGMA application_id").fetchone()[0]:
                self.lacks = "another file took its place while this session used it; restart the kernel"
                self.complain("written", self.lacks)
                return connection
        super().close()
        return self._opened()


def bytes_in_use(execute: Execute) -> int:
    """The bytes of a file without its free pages."""
    pages, free, size = (execute(f"PRAGMA {p}").fetchone()[0] for p in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * size)


def _undo(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _write_back(connection: sqlite3.Connection, path: Path) -> None:
    """Copy an open database to the path from which its file was deleted."""
    for ending in COMPANIONS:
        Path(f"{path}{ending}").unlink(missing_ok=True)  # of the deleted file: a new one must not use them
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(sqlite3.connect(path, **CONNECT)) as copy:
        connection.backup(copy)


def _stamp_of(path: Path) -> int:
    with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(connect_by_uri(path, "mode=ro")) as other:
        return int(other.execute("PRAGMA application_id").fetchone()[0])
    return 0


def _why(error: Exception, loss: str) -> str:
    return f"{error}: {loss}" + ("; move the file away to begin a new one" if may_be_damage(error) else "")


def _advice(error: Exception) -> str:
    """What to write where a file cannot be used."""
    if isinstance(error, NewerFileError):
        return "write pip install -U orchmagic, or choose another folder with %config OrchMagic.history_dir"
    if isinstance(error, IncompleteFileError) or may_be_damage(error) or is_damage(error):
        return "move the file away to begin a new one, after a look at what was written (it records the writes, too)"
    return "make it readable and writable for you, or choose another folder with %config OrchMagic.history_dir"


def _decoded(text: bytes) -> str:
    """Text that is no UTF-8 must not hide the rows around it."""
    return text.decode("utf-8", "replace")


def _storable(values: tuple[object, ...]) -> list[object]:
    """Escape lone surrogates, which have no UTF-8 form (a model's tool call id may hold one)."""
    return [
        v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) and not v.isascii() else v for v in values
    ]
