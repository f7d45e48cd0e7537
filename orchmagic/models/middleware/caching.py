"""Serve an answer that was given before. Errors are never stored; what cannot be read is a miss."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from orchmagic.caches import Cache
from orchmagic.events import CacheHit, Usage
from orchmagic.models import Deployment, Emit, Handler, ModelRequest, ModelResponse, TokenLogprob, ToolCall
from orchmagic.models.key import key


class Caching:
    """`cache` None switches it off. Disk reads of a few kB take some 20 µs: no thread needed."""

    def __init__(
        self,
        cache: Cache | None,
        resolve: Callable[[str], Deployment],
        emit: Emit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._resolve = resolve
        self._emit = emit
        self._clock = clock

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        if self._cache is None or request.cache == "off":
            return await handler(request)
        name = key(request, self._resolve(request.model))
        if request.cache == "use" and (found := self._read(name)) is not None:
            self._emit(CacheHit(call=request.call, age=found.age or 0.0, usage=found.usage, cost=found.cost))
            return found
        answer = await handler(request)
        if answer.age is None:
            entry = {"stored": self._clock(), "answer": asdict(replace(answer, reason="first choice"))}
            self._cache.set(name, entry, request.ttl)
        return answer

    def _read(self, name: str) -> ModelResponse | None:
        assert self._cache is not None
        entry = self._cache.get(name)
        if entry is None:
            return None
        try:
            return _answer(entry["answer"], max(0.0, self._clock() - float(entry["stored"])))
        except (KeyError, TypeError, ValueError):
            self._cache.delete(name)
            return None


def _answer(data: Mapping[str, Any], age: float) -> ModelResponse:
    read = {
        **data,
        "usage": Usage(**data["usage"]),
        "tool_calls": tuple(ToolCall(**c) for c in data["tool_calls"]),
        "logprobs": None if data["logprobs"] is None else tuple(TokenLogprob(**t) for t in data["logprobs"]),
        "age": age,
        "reason": "cached",
    }
    return ModelResponse(**read)
