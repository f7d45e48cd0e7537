"""The socket for stores of answers: small JSON objects by key, each with a time to live."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchmagic.core.plugins import Registry
from orchmagic.errors import SettingsError


class CacheWarning(RuntimeWarning):
    """The cache cannot do its work; the run goes on without it."""


class Complaints:
    """Warns once of each kind of trouble: a broken disk must not flood a notebook."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def __call__(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(text, CacheWarning, stacklevel=3)

    def over(self, kind: str) -> None:
        """That trouble is over: the next time it warns again."""
        self._warned.discard(kind)


class Cache(Protocol):
    """Answers by key. `ttl` in seconds, None = for ever.

    `get` and `set` raise nothing because of what is stored or where: damage is a CacheWarning and a miss. All are
    safe to call from several threads, and quick enough to be called on an event loop unless the cache has an
    attribute `remote` that is true: then they may wait for a network, and are called in a thread. While its attribute
    `away` is true its server cannot be reached, and every `get` is a miss. `clear` returns how many entries there were;
    `stats` has `entries`, `bytes` and `path` (shown to people: no password); these two raise SettingsError if the cache
    cannot be used. `close` is idempotent; a later use opens again.
    """

    def get(self, key: str) -> dict[str, Any] | None: ...

    def set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> None: ...

    def delete(self, key: str) -> None: ...

    def clear(self) -> int: ...

    def stats(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CachePlug:
    """A cache as the registry finds it: `create(where)` makes one, which opens at its first use.

    `where` is a folder, or, when there are `schemes`, a URL that begins with one of them, such as "redis".
    """

    name: str
    create: Callable[[str], Cache]
    schemes: tuple[str, ...] = ()


CACHES: Registry[CachePlug] = Registry("orchmagic.models.cache.stores", "plug", CachePlug, "orchmagic.caches")


def at(url: str | None, folder: Path) -> Cache:
    """The cache behind `url`; without one, that of the disk in `folder`.

    Raises:
        SettingsError: nothing is known behind such a URL; the text has its scheme alone, as a password may follow.
    """
    if url is None:
        return CACHES.get("disk").create(str(folder))
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    for plug in CACHES:
        if scheme in plug.schemes:
            return plug.create(url)
    known = ", ".join(f"{scheme}://" for plug in CACHES for scheme in plug.schemes)
    problem = f"is a {scheme}:// address" if scheme else "is no URL"
    raise SettingsError(f"cache_url {problem}: write redis://host:6379/0 (known: {known}), or none for a folder")
