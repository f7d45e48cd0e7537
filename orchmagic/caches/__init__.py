"""The socket for stores of answers: small JSON objects by key, each with a time to live."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchmagic.registry import Registry


class CacheWarning(RuntimeWarning):
    """The cache cannot do its work; the run goes on without it."""


class Complaints:
    """Warns once of each kind of trouble: a broken disk must not flood a notebook."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, kind: str, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(text, CacheWarning, stacklevel=3)


class Cache(Protocol):
    """Answers by key. `ttl` in seconds, None = for ever.

    `get` and `set` raise nothing because of what is stored or where: damage is a CacheWarning and a miss. All are
    quick enough to be called on an event loop, and safe to call from several threads. `clear` returns how many
    entries there were; `stats` has `entries`, `bytes` and `path`. `close` is idempotent; a later use opens again.
    """

    def get(self, key: str) -> dict[str, Any] | None: ...

    def set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> None: ...

    def delete(self, key: str) -> None: ...

    def clear(self) -> int: ...

    def stats(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CachePlug:
    """A cache as the registry finds it: `create(folder)` makes one, which opens at its first use."""

    name: str
    create: Callable[[Path], Cache]


CACHES: Registry[CachePlug] = Registry("orchmagic.caches", "plug", CachePlug)
