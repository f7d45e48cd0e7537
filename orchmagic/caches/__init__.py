"""The socket for stores of answers: small JSON objects by key, each with a time to live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchmagic.registry import Registry


class Cache(Protocol):
    """Nothing here raises because of what is stored: a damaged entry is a warning and a miss."""

    def get(self, key: str) -> dict[str, Any] | None: ...

    def set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> None: ...

    def delete(self, key: str) -> None: ...

    def clear(self) -> int: ...

    def stats(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CachePlug:
    """A cache as the registry finds it: `create(folder)` opens it lazily."""

    name: str
    create: Callable[[Path], Cache]


CACHES: Registry[CachePlug] = Registry("orchmagic.caches", "plug", CachePlug)
