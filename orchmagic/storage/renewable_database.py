"""A database for data that may be lost, such as the semantic cache: a damaged file is moved aside and replaced."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from orchmagic.storage.schema import DatabaseSchema
from orchmagic.storage.sqlite_files import (
    SharedConnection,
    close_if_dropped,
    connect,
    file_identity,
    is_damaged,
    is_log_without_file,
    lock_file,
    may_be_damage,
    process_lock,
    put_aside,
)

T = TypeVar("T")


class RenewableDatabase(SharedConnection):
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
                close_if_dropped(self, self._connection)
            return self._connection

    def _connect(self) -> sqlite3.Connection:
        path = self.path
        if path is None:
            return connect(None, self._schema)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with process_lock(lock_file(path)):
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
        with process_lock(lock_file(self.path)):
            if is_damaged(self.path, self._schema.tables):  # otherwise another process has replaced it
                self._put_aside(self.path, str(error))

    def _put_aside(self, path: Path, why: str) -> None:
        aside = path.with_name(f"{path.name}.damaged")
        put_aside(path, aside)
        self._damaged(why, aside)
