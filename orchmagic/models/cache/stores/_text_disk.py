"""Restricts diskcache to reading and writing text, on one connection.

diskcache unpickles what it reads (CVE-2025-69872) and has no fixed release; its JSONDisk does not protect, since
a planted row names its own mode. `TextDisk` reads and writes text and refuses every other mode. Never FanoutCache:
it loses writes silently.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from typing import Any

# slow to import, and so is this module: it is imported at the first run
from diskcache import Cache, Disk  # type: ignore[import-untyped]  # it ships no types
from diskcache.core import DBNAME, MODE_RAW, MODE_TEXT, UNKNOWN  # type: ignore[import-untyped]  # as above

from orchmagic.storage.sqlite_files import file_identity, retry_while_locked

_FILE = re.compile(r"[0-9a-f]{2}[/\\][0-9a-f]{2}[/\\][0-9a-f]{28}\.val")  # diskcache's own value files


class RefusedError(Exception):
    """A stored value, or one to store, is not text. Not an OSError, because diskcache ignores those."""


class GoneError(Exception):
    """The file of an entry is missing: another process has just replaced it, or it is lost."""


class TextDisk(Disk):  # type: ignore[misc]  # diskcache is untyped
    """Accepts text keys and values only. Never reads or writes a pickle, or a file that is not the cache's own."""

    def put(self, key: object) -> Any:
        if not isinstance(key, str):
            raise RefusedError(f"a key is a {type(key).__name__}, not text")
        return super().put(key)

    def get(self, key: object, raw: object) -> Any:
        if not raw or not isinstance(key, str):
            raise RefusedError("a stored key is not text")
        return key

    def store(self, value: object, read: object, key: object = UNKNOWN) -> Any:
        if read or not isinstance(value, str):
            raise RefusedError(f"a value is a {type(value).__name__}, not text")
        return super().store(value, False, key=key)

    def fetch(self, mode: object, filename: object, value: object, read: object) -> Any:
        if mode == MODE_RAW and isinstance(value, str):
            return value
        if mode == MODE_TEXT and not read and _FILE.fullmatch(str(filename)):
            try:
                return super().fetch(mode, filename, value, False)
            except FileNotFoundError as error:
                raise GoneError(str(error)) from error
        raise RefusedError(f"a stored row of mode {mode} is not text")

    def remove(self, file_path: object) -> None:
        if _FILE.fullmatch(str(file_path)):
            super().remove(file_path)

    def _write(self, full_path: str, *how: object) -> Any:
        try:
            return super()._write(full_path, *how)
        except OSError:  # a full disk: do not leave half a file
            with contextlib.suppress(OSError):
                os.unlink(full_path)  # noqa: PTH108 - diskcache's paths are text
            raise


class TextStore(Cache):  # type: ignore[misc]  # diskcache is untyped
    """Uses one connection for all threads; callers hold a lock. (diskcache opens one per thread and never closes it.)

    The file is not memory-mapped: a truncated file would end the process (SIGBUS).
    """

    _one: sqlite3.Connection | None = None
    _owner = 0  # id of the process that opened it
    _opened: tuple[int, int] | None = None  # identity of the file at that time

    def __init__(self, folder: str, timeout: float, size: int) -> None:
        self._file = f"{folder}/{DBNAME}"
        try:
            super().__init__(folder, timeout=timeout, disk=TextDisk, size_limit=size, sqlite_mmap_size=0)
        except BaseException:
            self.close()
            raise

    @property
    def moved(self) -> bool:
        """Whether the open file was replaced or removed at its path."""
        return self._opened is not None and self._opened != file_identity(self._file)

    def close(self) -> None:
        """Close the connection; a later use opens it again."""
        connection, self._one, self._opened = self._one, None, None
        self._txn_id = None
        if connection is not None:
            connection.close()

    def undo(self) -> None:
        """Roll back an open transaction: diskcache leaves it open if COMMIT fails, for example on a full disk."""
        self._txn_id = None
        if self._one is not None and self._one.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._one.execute("ROLLBACK")

    @property
    def _con(self) -> sqlite3.Connection:
        if self._owner != os.getpid():  # a fork must not use the connection of its parent
            self.close()
            self._owner = os.getpid()
        if self._one is None:
            self._one = retry_while_locked(self._connected)
            self._opened = file_identity(self._file)
        return self._one

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=self.timeout, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("synchronous = NORMAL", "mmap_size = 0", "cache_size = 8192"):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection
