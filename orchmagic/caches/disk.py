"""The default cache: diskcache on a private folder, JSON only.

diskcache unpickles what it reads (CVE-2025-69872) and has no fixed release; its JSONDisk does not protect,
since a planted row names its own mode. `PlainDisk` knows text and raw bytes and refuses every other mode.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diskcache import Cache as Store
from diskcache import Disk
from diskcache.core import MODE_BINARY, MODE_RAW, MODE_TEXT

from orchmagic.caches import CachePlug

_SIZE = 2**30  # bytes; the least recently stored answers go first
_BROKEN = (sqlite3.Error, OSError, ValueError, TypeError, KeyError, RecursionError)


class PlainDisk(Disk):  # type: ignore[misc]  # diskcache is untyped
    """A Disk that neither writes nor reads a pickle."""

    def store(self, value: Any, read: bool, key: Any = None) -> Any:  # noqa: FBT001 - diskcache's signature
        if not isinstance(value, str | bytes):
            raise TypeError(f"only text is stored, not {type(value).__name__}")
        return super().store(value, read, key=key)

    def put(self, key: Any) -> Any:
        if not isinstance(key, str):
            raise TypeError(f"keys are text, not {type(key).__name__}")
        return super().put(key)

    def get(self, key: Any, raw: Any) -> Any:
        if not raw:
            raise ValueError("a pickled key")
        return super().get(key, raw)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:  # noqa: FBT001 - as above
        if mode not in {MODE_RAW, MODE_TEXT, MODE_BINARY}:
            raise ValueError(f"storage mode {mode} is not text")
        return super().fetch(mode, filename, value, read)


class DiskCache:
    """Answers in `folder` (mode 0700), shared by all kernels of this user. Whatever is broken is a miss."""

    def __init__(self, folder: Path, size: int = _SIZE) -> None:
        self.folder = folder
        self._size = size
        self._store: Any = None
        self._told: set[str] = set()

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored object, or None."""
        try:
            text = self._opened().get(key)
            found = None if text is None else json.loads(text)
        except _BROKEN as error:
            self._warn("read", error)
            self.delete(key)
            return None
        return found if isinstance(found, dict) else None

    def set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> None:
        """Store for `ttl` seconds (None: for ever). A failure is a warning: the answer itself is not lost."""
        try:
            self._opened().set(key, json.dumps(value, ensure_ascii=False), expire=ttl)
        except (*_BROKEN, UnicodeEncodeError) as error:
            self._warn("write", error)

    def delete(self, key: str) -> None:
        """Forget one answer."""
        try:
            self._opened().delete(key)
        except _BROKEN as error:
            self._warn("delete", error)

    def clear(self) -> int:
        """Forget all; how many there were."""
        return int(self._opened().clear())

    def stats(self) -> dict[str, Any]:
        """`entries`, `bytes` and `path`."""
        store = self._opened()
        return {"entries": len(store), "bytes": int(store.volume()), "path": str(self.folder)}

    def close(self) -> None:
        """Close the file. Safe to call twice; a later use opens it again."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _opened(self) -> Any:
        if self._store is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.chmod(self.folder, 0o700)  # noqa: PTH101 - an existing folder too
            try:
                self._store = self._open()
            except sqlite3.DatabaseError as error:
                self._warn("open", error)
                self._move_aside()
                self._store = self._open()
        return self._store

    def _open(self) -> Any:
        return Store(str(self.folder), disk=PlainDisk, size_limit=self._size, timeout=10)

    def _move_aside(self) -> None:
        stamp = int(time.time())
        for file in self.folder.glob("cache.db*"):
            file.rename(file.with_name(f"damaged-{stamp}-{file.name}"))

    def _warn(self, doing: str, error: Exception) -> None:
        """Once for each kind of trouble: a broken disk must not flood a notebook."""
        if doing not in self._told:
            self._told.add(doing)
            warnings.warn(
                f"cache {self.folder}: cannot {doing} ({error}); going on without it", RuntimeWarning, stacklevel=3
            )


plug = CachePlug("disk", DiskCache)
