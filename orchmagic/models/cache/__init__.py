"""The cache plug-in interface: stores answers as small JSON objects by key, each with a time to live."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchmagic.core.plugins import Registry
from orchmagic.errors import SettingsError


class CacheWarning(RuntimeWarning):
    """The cache cannot be read or written; the run goes on without it."""


class Complaints:
    """Emits one CacheWarning for each kind of failure, so that a broken disk does not flood a notebook."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def __call__(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(text, CacheWarning, stacklevel=3)

    def over(self, kind: str) -> None:
        """Warn again at the next failure of this kind."""
        self._warned.discard(kind)


class Cache(Protocol):
    """Stores answers by key. `ttl` in seconds, None = for ever.

    `get` and `set` never raise for damaged or unreachable storage: that is a CacheWarning and a miss. All methods are
    safe to call from several threads. They are called on the event loop unless the attribute `remote` is true: then
    they may wait for a network, and are called in a thread. While the attribute `away` is true the server cannot be
    reached, and every `get` is a miss. `clear` returns the number of removed entries; `stats` has `entries`, `bytes`
    and `path` (shown to users: no password); both raise SettingsError if the cache cannot be used. `close` is
    idempotent; a later use opens the cache again.
    """

    def get(self, key: str) -> dict[str, Any] | None: ...

    def set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> None: ...

    def delete(self, key: str) -> None: ...

    def clear(self) -> int: ...

    def stats(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CachePlug:
    """The registry entry of a cache; `create(where)` makes one, which opens at its first use.

    `where` is a folder, or, if there are `schemes`, a URL with one of them, such as "redis".
    """

    name: str
    create: Callable[[str], Cache]
    schemes: tuple[str, ...] = ()


CACHES: Registry[CachePlug] = Registry("orchmagic.models.cache.stores", "plug", CachePlug, "orchmagic.caches")


def at(url: str | None, folder: Path) -> Cache:
    """Make the cache for `url`; without one, the disk cache in `folder`.

    Raises:
        SettingsError: no cache has the URL's scheme; the text shows the scheme alone, as the rest may hold a password.
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
