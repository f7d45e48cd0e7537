"""An SQLite file shared by all kernels of this user, the run history for one: opened, checked, never a crash.

A file that cannot be used (damaged, of a newer version, in a folder that cannot be written) is one warning, and
the session works on with a database in memory. Trouble later on costs the row, not the run. JSON text only.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchmagic.errors import StoreError
from orchmagic.storage.sqlite_files import doubtful, patiently

VERSION = 1
_PATIENCE = 5.0  # seconds to wait for another process that writes
_DIGITS = 18  # of a number that SQLite can hold

# runs and writes say who works on them (pid, host, life: see process.py); `life` empty: nobody does any more
_SCHEMA = """
CREATE TABLE runs(number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, pattern TEXT, status TEXT, started TEXT,
    updated TEXT, pid INTEGER, host TEXT, life TEXT, notebook TEXT, user TEXT, source TEXT, sources TEXT,
    options TEXT, inputs TEXT, parent TEXT, record TEXT, events TEXT, cost REAL, unpriced INTEGER DEFAULT 0,
    tokens INTEGER, seconds REAL);
CREATE TABLE journal(run TEXT, id TEXT, key TEXT, own INTEGER, value TEXT, PRIMARY KEY(run, id));
CREATE INDEX journal_key ON journal(run, key);
CREATE TABLE writes(number INTEGER PRIMARY KEY AUTOINCREMENT, tool TEXT, key TEXT, call TEXT, state TEXT,
    result TEXT, run TEXT, at TEXT, pid INTEGER, host TEXT, life TEXT, UNIQUE(tool, key));
CREATE TABLE turns(thread TEXT, number INTEGER, role TEXT, content TEXT, run TEXT, PRIMARY KEY(thread, number));
"""
# columns that came later, without a new version: older ones read on
_LATER = (
    ("runs", "unpriced", "INTEGER DEFAULT 0"),
    ("deployments", "first", "REAL DEFAULT 0"),
    ("deployments", "streamed", "REAL DEFAULT 0"),
)


class StoreWarning(RuntimeWarning):
    """The run history cannot do its work; the session goes on without it."""


class Database:
    """One connection for all threads, behind a lock: every statement here takes less than handing it over.

    `path` None keeps everything in memory. `close` is final: what comes later is not kept, and nobody is told.
    """

    def __init__(
        self, path: Path | None, schema: str = _SCHEMA, version: int = VERSION, what: str = "run history"
    ) -> None:
        self.path = path
        self.what = what
        self._made = schema, version
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._told: set[str] = set()
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
    def alone(self, *, durable: bool = False) -> Iterator[Callable[..., sqlite3.Cursor]]:
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
        if done not in self._told:
            self._told.add(done)
            warnings.warn(f"the {self.what} {self.path} cannot be {done} ({why})", StoreWarning, stacklevel=4)

    def close(self) -> None:
        """Close the file. Safe to call twice, from any thread."""
        with self._lock:
            connection, self._connection, self._closed = self._connection, None, True
            if connection is not None:
                connection.close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._on_disk() or _prepared(sqlite3.connect(":memory:", **_HOW), *self._made)
            self._connection.row_factory = sqlite3.Row
            weakref.finalize(self, self._connection.close)  # a session that nobody closed
        return self._connection

    def _on_disk(self) -> sqlite3.Connection | None:
        path = self.path
        if path is None:
            return None
        try:
            _private(path)
            return patiently(lambda: _prepared(sqlite3.connect(path, **_HOW), *self._made))
        except (sqlite3.Error, OSError, _NewerError) as error:
            self.complain(
                "used",
                f"{error}: this session goes on without {self.what.split()[-1]}; move the file away to begin a new one",
            )
            return None


class _NewerError(Exception):
    pass


_HOW: Any = {"timeout": _PATIENCE, "isolation_level": None, "check_same_thread": False}


def _why(error: sqlite3.Error, loss: str) -> str:
    return f"{error}: {loss}" + ("; move the file away to begin a new one" if doubtful(error) else "")


def _storable(values: tuple[object, ...]) -> list[object]:
    """Half a surrogate pair, in the id that a model gave to a tool call for example, has no UTF-8 form."""
    return [
        v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) and not v.isascii() else v for v in values
    ]


def number(id_: str, letter: str) -> int:
    """17 for "r17"; -1, which no row has, for what is no id of this kind."""
    digits = id_[1:]
    fits = id_[:1] == letter and digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS
    return int(digits) if fits else -1


def _private(path: Path) -> None:
    """A file that only its owner reads; so is the folder, when it is made here (an older one has its own rules)."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
    path.chmod(0o600)


def _prepared(connection: sqlite3.Connection, schema: str, version: int) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # what is committed survives the death of the process; `alone(durable=True)` also that of the machine
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        _brought_up(connection, schema, version)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _brought_up(connection: sqlite3.Connection, schema: str, version: int) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > version:
        raise _NewerError(f"it was written by a newer orchmagic, version {found}, this one reads version {version}")
    if found == 0:
        for statement in schema.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
    for table, column, kind in _LATER:
        if _lacks(connection, table, column):
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def _lacks(connection: sqlite3.Connection, table: str, column: str) -> bool:
    """Whether the table is there and that column is not."""
    found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    return bool(found) and column not in found
