"""An in-memory cache, lost when the process ends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from orchmagic.models.cache import CachePlug

_ENTRIES = 10_000  # at most; the oldest are removed first


class MemoryCache:
    """Stores answers in a dict, as JSON text, so that changing a value that was read does not change the stored one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, entries: int = _ENTRIES) -> None:
        self._entries_by_key: dict[str, tuple[str, float | None]] = {}
        self._clock = clock
        self._entries = entries
        self._lock = threading.Lock()

    def get(self, key: str) -> dict[str, Any] | None:
        with self._lock:
            text, until = self._entries_by_key.get(key, ("null", None))
            if until is not None and self._clock() >= until:
                del self._entries_by_key[key]
                return None
        value: dict[str, Any] | None = json.loads(text)
        return value

    def set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> None:
        text = json.dumps(dict(value))
        with self._lock:
            self._entries_by_key.pop(key, None)  # so that it counts as new
            self._entries_by_key[key] = (text, None if ttl is None else self._clock() + ttl)
            while len(self._entries_by_key) > self._entries:
                del self._entries_by_key[next(iter(self._entries_by_key))]

    def delete(self, key: str) -> None:
        with self._lock:
            self._entries_by_key.pop(key, None)

    def clear(self) -> int:
        with self._lock:
            count = len(self._entries_by_key)
            self._entries_by_key.clear()
        return count

    def stats(self) -> dict[str, Any]:
        with self._lock:
            size = sum(len(key) + len(text) for key, (text, _) in self._entries_by_key.items())
            return {"entries": len(self._entries_by_key), "bytes": size, "path": "memory"}

    def close(self) -> None:
        """Nothing is open."""


plug = CachePlug("memory", lambda _folder: MemoryCache())
