"""A cache that lives as long as the process."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchmagic.caches import CachePlug


class MemoryCache:
    """Answers in a dict."""

    def __init__(self, _folder: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept: dict[str, tuple[dict[str, Any], float | None]] = {}
        self._clock = clock

    def get(self, key: str) -> dict[str, Any] | None:
        """A copy of the stored object, or None."""
        value, until = self._kept.get(key, (None, None))
        if until is not None and self._clock() >= until:
            del self._kept[key]
            return None
        return copy.deepcopy(value)

    def set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> None:
        """Keep a copy for `ttl` seconds."""
        self._kept[key] = (copy.deepcopy(dict(value)), None if ttl is None else self._clock() + ttl)

    def delete(self, key: str) -> None:
        """Forget one answer."""
        self._kept.pop(key, None)

    def clear(self) -> int:
        """Forget all; how many there were."""
        count = len(self._kept)
        self._kept.clear()
        return count

    def stats(self) -> dict[str, Any]:
        """`entries`, `bytes` (0: not counted) and `path`."""
        return {"entries": len(self._kept), "bytes": 0, "path": "memory"}

    def close(self) -> None:
        """Nothing is open."""


plug = CachePlug("memory", MemoryCache)
