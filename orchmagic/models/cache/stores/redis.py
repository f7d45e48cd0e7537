"""A cache in Redis or Valkey, shared by machines: `cache_url = "redis://host:6379/0"`. JSON text only.

Every key begins with `orchmagic:answer:`; other keys are never read, counted or removed. A slow or unreachable server
costs one wait of about a second and one CacheWarning; then it is skipped for some seconds (circuit open). The URL may
contain a password, so messages show its host alone.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar
from urllib.parse import urlsplit

from orchmagic.errors import SettingsError
from orchmagic.models.cache import CachePlug, Complaints

T = TypeVar("T")

_PREFIX = "orchmagic:answer:"
_TIMEOUT = 1.0  # seconds for a connection, and for each reply
_SKIPPED = 5.0  # seconds that a server is skipped after it failed
_BATCH = 1000  # keys counted or removed per command
_CLIENT = {"valkey": "redis", "valkeys": "rediss"}  # our URL schemes and the client's
SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")


class RedisCache:
    """Stores answers on the server at `url`, which expires them itself. `clock` in seconds.

    An unreadable answer is a miss. The constructor does not connect. `stats` scans every key of the database.

    Raises:
        SettingsError: the URL cannot be read, or the client is not installed.
    """

    remote = True

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.place = _place(url)
        self._client, self._away, self._trouble = _client(url)
        self._clock = clock
        self._skipped_until = float("-inf")
        self._greeting: Future[None] | None = None
        self._lock = threading.Lock()
        self._complain = Complaints()

    @property
    def away(self) -> bool:
        """Whether the circuit is open: the server failed in the last seconds, so a miss may not be a missing key."""
        return self._clock() < self._skipped_until

    def get(self, key: str) -> dict[str, Any] | None:
        return self.attempt("read", lambda client: _object(client.get(_PREFIX + key)), None)

    def set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> None:
        if ttl is not None and ttl <= 0:
            self.delete(key)
            return
        # ASCII escapes: a lone surrogate in a reply has no UTF-8 form to be stored in
        text, lasts = json.dumps(dict(value)), None if ttl is None else max(1, round(ttl * 1000))
        self.attempt("written", lambda client: client.set(_PREFIX + key, text, px=lasts), None)

    def delete(self, key: str) -> None:
        self.attempt("written", lambda client: client.unlink(_PREFIX + key), None)

    def clear(self) -> int:
        return self._must(lambda client: sum(int(client.unlink(*names)) for names in _names(client)))

    def stats(self) -> dict[str, Any]:
        lengths = self._must(lambda client: [n for names in _names(client) for n in _lengths(client, names)])
        return {"entries": len(lengths), "bytes": sum(lengths), "path": self.place}

    def close(self) -> None:
        self._client.connection_pool.disconnect()
        with self._lock:
            self._skipped_until, self._greeting = float("-inf"), None

    def attempt(self, doing: str, action: Callable[[Any], T], otherwise: T) -> T:
        """What `action(client)` returns; `otherwise`, with a warning that nothing was `doing`, if it fails."""
        if self.away:
            return otherwise
        try:
            self._greet()
            return action(self._client)
        except self._away as error:
            self._open_circuit(error)
        except self._trouble as error:
            self._complain(
                doing, f"an answer in {self.place} cannot be {doing} ({_first_line(error)}): going on without it"
            )
        return otherwise

    def _must(self, action: Callable[[Any], T]) -> T:
        try:
            self._greet()
            return action(self._client)
        except (*self._away, *self._trouble) as error:
            if isinstance(error, self._away):
                self._open_circuit(error, quietly=True)
            raise SettingsError(
                f"the cache in {self.place} cannot be used ({_first_line(error)}): start the server, set "
                'ORCHMAGIC_CACHE_URL to one that can be reached, or to "none" to keep answers on this disk'
            ) from None

    def _greet(self) -> None:
        """Ping the server before the first use, and again after each failure.

        In its own thread: the DNS look-up of an unknown host can take longer than any socket timeout.
        """
        with self._lock:
            greeting = self._greeting
            if greeting is None:
                greeting = self._greeting = Future()
                threading.Thread(target=self._ping, args=(greeting,), daemon=True).start()
        greeting.result(2 * _TIMEOUT)

    def _ping(self, greeting: Future[None]) -> None:
        try:
            self._client.ping()
        except Exception as error:  # noqa: BLE001 - raised again by the waiting caller
            greeting.set_exception(error)
        else:
            self._complain.over("away")
            greeting.set_result(None)

    def _open_circuit(self, error: BaseException, *, quietly: bool = False) -> None:
        """Open the circuit, so that not every call waits for a server that does not answer."""
        with self._lock:
            self._skipped_until = self._clock() + _SKIPPED
            if self._greeting is not None and self._greeting.done():
                self._greeting = None
        if not quietly:
            self._complain(
                "away",
                f"the cache in {self.place} cannot be used ({_first_line(error)}): going on without it until it can",
            )


def _object(text: bytes | None) -> dict[str, Any] | None:
    value = None if text is None else json.loads(text)
    if value is not None and not isinstance(value, dict):
        raise TypeError(f"a stored value is a {type(value).__name__}, not an object")
    return value


def _names(client: Any) -> list[list[bytes]]:
    """The keys of all answers, in batches."""
    names = list(client.scan_iter(match=f"{_PREFIX}*", count=_BATCH))
    return [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]


def _lengths(client: Any, names: list[bytes]) -> list[int]:
    """Sizes in bytes of the values that still exist and are text."""
    asking = client.pipeline(transaction=False)
    for name in names:
        asking.strlen(name)
    return [n for n in asking.execute(raise_on_error=False) if isinstance(n, int) and n > 0]


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _place(url: str) -> str:
    """The URL without user, password and options, for messages."""
    try:
        parts = urlsplit(url)
        scheme, host, port, path = parts.scheme.lower(), parts.hostname, parts.port, parts.path
    except ValueError:
        raise _unreadable() from None
    # an unescaped / # ? @ in a password moves part of it into host, path or query: refuse, and do not show it
    if parts.fragment or "@" in path + parts.query or "@" in (parts.netloc.rpartition("@")[0]):
        raise _unreadable()
    if scheme == "unix":
        if not path.strip("/") or host:
            raise _unreadable()
        return f"unix://{path}"
    if not host or not (path.strip("/").isdecimal() or not path.strip("/")):
        raise _unreadable()
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{6379 if port is None else port}/{path.strip('/') or 0}"


def _unreadable() -> SettingsError:
    return SettingsError(
        "cache_url cannot be read: write redis://user:password@host:6379/0 or unix:///path/of/socket?db=0 "
        "(in a password %40 is @, %2F is /, %3A is :, %23 is #, %3F is ?)"
    )


def _client(url: str) -> tuple[Any, tuple[type[Exception], ...], tuple[type[Exception], ...]]:
    """(client, errors of an unreachable server, errors of a refused command or an unreadable value)."""
    try:
        import redis  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
        from redis.retry import Retry  # noqa: PLC0415 - as above
    except ImportError:
        raise SettingsError('answers in Redis or Valkey need an extra: pip install "orchmagic[redis]"') from None
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    try:
        pool = redis.ConnectionPool.from_url(
            f"{_CLIENT.get(scheme, scheme)}://{rest}",
            protocol=2,  # every Redis and Valkey speaks it, and it needs no handshake
            driver_info=None,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            # the default is three more attempts, seconds apart; the pool itself detects idle connections that closed
            retry=Retry(NoBackoff(), 0),
        )
        pool.connection_class(**pool.connection_kwargs)  # unknown options raise only here
    except (ValueError, TypeError, redis.RedisError):  # the text may hold a part of the password
        raise _unreadable() from None
    away = (redis.ConnectionError, redis.TimeoutError, OSError, TimeoutError)
    # the errors of a full server, a forbidden command or a manipulated value
    return redis.Redis(connection_pool=pool), away, (redis.RedisError, ValueError, TypeError, RecursionError)


plug = CachePlug("redis", RedisCache, schemes=SCHEMES)
