"""Counts the calls of deployments with rate limits in Redis or Valkey, for all machines with the same `cache_url`.

One script on the server enters a call, or says which limit is reached; it runs alone there and uses the server's clock.
While the server cannot be reached, each machine counts for itself alone.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import uuid4

from orchmagic.models.cache.stores.redis import SCHEMES, RedisCache
from orchmagic.models.routing.circuit_breaker import Unavailable
from orchmagic.models.types import Deployment
from orchmagic.trace.reasons import Reason

_THREADS = 8
_KEYS = ("at", "until", "tokens")  # sorted sets of calls by begin and by latest end (ms), hash of their tokens
_ENTER = """
local calls, open, sizes, id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local size, lasts, requests, tokens, at_once = unpack(ARGV, 2)
size, requests, tokens, at_once = tonumber(size), tonumber(requests), tonumber(tokens), tonumber(at_once)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, old in ipairs(redis.call('ZRANGEBYSCORE', calls, '-inf', now - 60000)) do
  redis.call('ZREM', calls, old)
  redis.call('HDEL', sizes, old)
end
redis.call('ZREMRANGEBYSCORE', open, '-inf', now)
local count, busy = redis.call('ZCARD', calls), redis.call('ZCARD', open)
if at_once > 0 and busy >= at_once then return {'busy', busy, 0} end
if requests > 0 and count >= requests then
  local first = redis.call('ZRANGE', calls, count - requests, count - requests, 'WITHSCORES')
  return {'requests', count, first[2] + 60000 - now}
end
if tokens > 0 and count > 0 then
  local used = 0
  for _, n in ipairs(redis.call('HVALS', sizes)) do used = used + n end
  if used + size > tokens then
    local left, at = used, now
    local all = redis.call('ZRANGE', calls, 0, -1, 'WITHSCORES')
    for i = 1, #all, 2 do
      left, at = left - redis.call('HGET', sizes, all[i]), all[i + 1]
      if left + size <= tokens then break end
    end
    return {'tokens', used, at + 60000 - now}
  end
end
redis.call('ZADD', calls, now, id)
redis.call('ZADD', open, now + lasts, id)
redis.call('HSET', sizes, id, size)
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, 86400) end
return {'', 0, 0}
"""
_LEAVE = """
local calls, open, sizes, id, tokens, sent = KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[2]), ARGV[3]
redis.call('ZREM', open, id)
if sent == '0' then
  redis.call('ZREM', calls, id)
  redis.call('HDEL', sizes, id)
elseif tokens > 0 and redis.call('HEXISTS', sizes, id) == 1 then
  redis.call('HSET', sizes, id, tokens)
end
"""


def is_shared(url: str | None) -> bool:
    """Whether the calls of limited deployments are counted at this `cache_url`."""
    return url is not None and url.partition("://")[0].lower() in SCHEMES


def opened(url: str | None) -> SharedRates | None:
    """The counter at this `cache_url`; None if it is not one for rates."""
    return SharedRates(url) if url is not None and is_shared(url) else None


class SharedRates:
    """The calls of all machines that use the server at `url`. `close` is idempotent."""

    def __init__(self, url: str) -> None:
        self._server = RedisCache(url)
        self._threads = ThreadPoolExecutor(_THREADS, "orchmagic-rates")

    async def enter(
        self, name: str, deployment: Deployment, tokens: int, lasts: float, now: float
    ) -> str | Unavailable | None:
        """Count a call of the deployment `name` that ends after `lasts` seconds at the latest; returns its id.

        Unavailable if a limit is reached (`now`: seconds since the epoch, from which it waits), None if the server
        cannot be reached.
        """
        id_ = uuid4().hex
        limits = (deployment.requests_per_minute, deployment.tokens_per_minute, deployment.concurrency)
        values = (id_, tokens, round(lasts * 1000), *(limit or 0 for limit in limits))
        entering = self._threads.submit(self._run, _ENTER, name, *values)
        try:
            found = await asyncio.shield(asyncio.wrap_future(entering))
        except asyncio.CancelledError:
            # In the thread that entered it, also while closing.
            entering.add_done_callback(lambda _: self._run(_LEAVE, name, id_, 0, 0))
            raise
        if found is None:
            return None
        kind, used, wait = found
        return _unavailable(kind.decode(), used, deployment, now + wait / 1000) if kind else id_

    def leave(self, name: str, id_: str, *, tokens: int = 0, sent: bool = True) -> None:
        """A call has ended with `tokens` (0: as many as it was entered with), or was not `sent`. Returns at once."""
        with suppress(RuntimeError):  # closed: the server drops the call in time
            self._threads.submit(self._run, _LEAVE, name, id_, tokens, int(sent))

    def close(self) -> None:
        """Wait for what was begun, and disconnect."""
        self._threads.shutdown()
        self._server.close()

    def _run(self, script: str, name: str, *values: object) -> Any:
        keys = [f"orchmagic:calls:{{{name}}}:{key}" for key in _KEYS]
        return self._server.attempt("counted", lambda client: client.eval(script, len(keys), *keys, *values), None)


def _unavailable(kind: str, used: int, deployment: Deployment, until: float) -> Unavailable:
    if kind == "busy":
        return Unavailable("busy", Reason("unavailable", cause="busy", used=used), until)
    if kind == "requests":
        return Unavailable("limit", Reason("unavailable", cause="requests", used=used), until)
    limit = deployment.tokens_per_minute or 0
    return Unavailable("limit", Reason("unavailable", cause="tokens", used=used, limit=limit), until)
