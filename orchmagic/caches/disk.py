"""The default cache: diskcache on a private folder, JSON text only.

diskcache unpickles what it reads (CVE-2025-69872) and has no fixed release; its JSONDisk does not protect, since
a planted row names its own mode. `TextDisk` reads and writes text and refuses every other mode. Never FanoutCache:
it loses writes silently.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

# heavy, and so is this module: nobody imports it before the first run
from diskcache import Cache as Store  # type: ignore[import-untyped]  # it ships no types
from diskcache import Disk, Timeout
from diskcache.core import DBNAME, MODE_RAW, MODE_TEXT, UNKNOWN  # type: ignore[import-untyped]  # as above

from orchmagic.caches import CachePlug, Complaints
from orchmagic.errors import SettingsError

T = TypeVar("T")

_SIZE = 2**30  # bytes; the least recently stored answers go first
_LOCKED = 5.0  # seconds to wait for another process that writes
_FILE = re.compile(r"[0-9a-f]{2}[/\\][0-9a-f]{2}[/\\][0-9a-f]{28}\.val")  # as diskcache names its own


class RefusedError(Exception):
    """What is stored, or is to be stored, is no text; no OSError, which diskcache would pass over in silence."""


# whatever a full disk, a foreign owner or a planted row makes sqlite3, diskcache and json raise
_TROUBLE = (
    sqlite3.Error, Timeout, RefusedError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError,
)  # fmt: skip  # one line each says no more


class TextDisk(Disk):  # type: ignore[misc]  # diskcache is untyped
    """Keys and values are text. No pickle is read or written, and no file that is not the cache's own is touched."""

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
            return super().fetch(mode, filename, value, False)
        raise RefusedError(f"a stored row of mode {mode} is not text")

    def remove(self, file_path: object) -> None:
        if _FILE.fullmatch(str(file_path)):
            super().remove(file_path)


class DiskCache:
    """Answers in `folder` (mode 0700), shared by all kernels of this user. `size` in bytes.

    What cannot be read is a miss; a damaged file is moved aside; a folder that cannot be used is given up until
    `close`. Each of these is one CacheWarning.
    """

    def __init__(self, folder: Path, size: int = _SIZE) -> None:
        if size <= 0:
            raise ValueError(f"size is {size}: write a number of bytes")
        self.folder = folder
        self._size = size
        self._store: Any = None
        self._given_up = False
        self._lock = threading.RLock()
        self._complain = Complaints()

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored object, or None."""
        return self._try("read", lambda store: _object(store.get(key)), None)

    def set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> None:
        """Store for `ttl` seconds."""
        # ASCII escapes: a lone surrogate in a reply has no UTF-8 form to be stored in
        self._try("write", lambda store: store.set(key, json.dumps(dict(value)), expire=ttl), None)

    def delete(self, key: str) -> None:
        """Forget one answer."""
        self._try("write", lambda store: store.delete(key), None)

    def clear(self) -> int:
        """Forget all; how many there were.

        Raises:
            SettingsError: the folder cannot be used.
        """
        return int(self._must(lambda store: store.clear()))

    def stats(self) -> dict[str, Any]:
        """`entries`, `bytes` and `path`.

        Raises:
            SettingsError: the folder cannot be used.
        """
        entries, size = self._must(lambda store: (len(store), int(store.volume())))
        return {"entries": entries, "bytes": size, "path": str(self.folder)}

    def close(self) -> None:
        """Close this thread's connection (diskcache has one for each thread); a later use opens it again."""
        with self._lock:
            store = self._store
            self._given_up = False
        if store is not None:
            store.close()

    def _try(self, doing: str, action: Callable[[Any], T], otherwise: T) -> T:
        if self._given_up:
            return otherwise
        try:
            return self._healing(action)
        except _TROUBLE as error:
            self._complain(doing, f"the cache in {self.folder} cannot be {_DONE[doing]} ({error}): going on without it")
            return otherwise

    def _must(self, action: Callable[[Any], T]) -> T:
        try:
            return self._healing(action)
        except _TROUBLE as error:
            raise SettingsError(
                f"the cache in {self.folder} cannot be used ({error}): make the folder writable, or set "
                "ORCHMAGIC_CACHE_DIR to another"
            ) from error

    def _healing(self, action: Callable[[Any], T]) -> T:
        """Do it; when the file turns out to be damaged, do it on a fresh one."""
        try:
            return action(self._opened())
        except sqlite3.OperationalError:  # locked, full, not ours: no damage
            raise
        except sqlite3.DatabaseError as error:
            with self._lock:
                if _damaged(self.folder / DBNAME):  # else another thread or process was faster
                    self._complain("heal", f"the cache in {self.folder} is damaged ({error}): moved to damaged/")
                    self._move_aside()
            return action(self._opened())

    def _opened(self) -> Any:
        with self._lock:
            if self._store is None:
                try:
                    self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    self.folder.chmod(0o700)  # an older folder too
                    self._store = Store(str(self.folder), timeout=_LOCKED, disk=TextDisk, size_limit=self._size)
                except Exception:
                    self._given_up = True  # a second try at every call could take as long as this one
                    raise
            return self._store

    def _move_aside(self) -> None:
        """Into `damaged/`, where only the last such file is kept."""
        self.close()
        self._store = None
        aside = self.folder / "damaged"
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(aside)
        aside.mkdir(mode=0o700)
        for old in [*self.folder.glob(f"{DBNAME}*"), *self.folder.glob("[0-9a-f][0-9a-f]")]:
            old.rename(aside / old.name)


_DONE = {"read": "read", "write": "written"}


def _object(text: str | None) -> dict[str, Any] | None:
    found = None if text is None else json.loads(text)
    if found is not None and not isinstance(found, dict):
        raise RefusedError(f"a stored value is a {type(found).__name__}, not an object")
    return found


def _damaged(file: Path) -> bool:
    """Whether sqlite cannot make sense of the file; one that is locked or may not be read is not damaged."""
    if not file.is_file():
        return False
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=_LOCKED)) as connection:
            return connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError:
        return True


plug = CachePlug("disk", DiskCache)
