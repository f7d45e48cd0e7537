"""Serve the answer to the same question in other words. Just inside caching: an exact hit never comes here.

Off unless the request has `parts`. Trouble with the embedder or the store is a warning and a miss, never a failure.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from orchmagic.errors import OrchError
from orchmagic.models import Deployment, Emit, Handler, ModelRequest, ModelResponse
from orchmagic.models.cache import Cache, Complaints, serialization
from orchmagic.models.cache.key import key
from orchmagic.models.embedders import TooLongError
from orchmagic.models.semantic import Match, verifier
from orchmagic.models.semantic.agreement import agree
from orchmagic.models.semantic.semantic_cache import EmbeddedQuestion, SemanticCache
from orchmagic.trace.events import Audited, CacheHit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Found:
    """A question with the entry that nothing keeps apart from it, and the answer of that one."""

    asked: EmbeddedQuestion
    match: Match | None = None
    answer: ModelResponse | None = None
    line: float | None = None


class SemanticCaching:
    """`memory` None switches it off. Answers are in `cache`, where caching puts them; `chance` draws the audits."""

    def __init__(
        self,
        memory: SemanticCache | None,
        cache: Cache | None,
        resolve: Callable[[str], Deployment],
        emit: Emit,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._memory = memory
        self._cache = cache
        self._resolve = resolve
        self._emit = emit
        self._clock = clock
        self._chance = chance
        self._complain = Complaints()

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        if self._memory is None or self._cache is None or not request.parts or request.tools or request.cache == "off":
            return await handler(request)
        found = await self._try("searched", partial(self._find, self._memory, self._cache, request))
        if found is None:
            return await handler(request)
        served = await self._served(self._memory, request, handler, found)
        if served is not None:
            return served
        answer = await handler(request)
        if answer.age is None:  # else it was shared, and the one who asked keeps it
            await self._try("written", partial(self._keep, self._memory, request, found, answer))
        return answer

    def _find(self, memory: SemanticCache, cache: Cache, request: ModelRequest) -> _Found | None:
        asked = memory.asked(request.parts or {}, partial(_scope, request, self._resolve(request.model)))
        if asked is None:
            return None
        match = memory.nearest(asked) if request.cache == "use" else None
        if match is None or match.difference:
            return _Found(asked)
        answer = self._stored(cache, match, request.ttl)
        if answer is None:
            # gone for all: not only too old for this request, nor in a server that cannot be asked just now
            if cache.get(match.entry.key) is None and not getattr(cache, "away", False):
                memory.forget(match.entry.number)
            return _Found(asked)
        return _Found(asked, match, answer, memory.line())

    def _stored(self, cache: Cache, match: Match, ttl: float | None) -> ModelResponse | None:
        entry = cache.get(match.entry.key)
        if entry is None:
            return None
        age = max(0.0, self._clock() - float(entry["stored"]))
        return None if ttl is not None and age >= ttl else replace(serialization.load(entry["answer"]), age=age)

    async def _served(
        self, memory: SemanticCache, request: ModelRequest, handler: Handler, found: _Found
    ) -> ModelResponse | None:
        """The stored answer, when all agree that it may be served and no audit was drawn."""
        match, answer = found.match, found.answer
        if match is None or answer is None or found.line is None or match.score < found.line:
            return None
        if not await self._verified(memory, request, handler, found.asked, match):
            return None
        if self._chance() < memory.policy.audits:
            return None
        number = await self._try("written", partial(self._note, memory, found.asked, match, answer))
        shown = match.entry.question.shown
        self._emit(
            CacheHit(
                call=request.call, age=answer.age or 0.0, usage=answer.usage, cost=answer.cost,
                matched=shown, score=match.score, hit=number,
            )
        )  # fmt: skip  # one record
        return replace(
            answer, reason=f"semantic cache, {match.score:.3f}{f', hit {number}' if number else ''}: {shown}"
        )

    def _note(self, memory: SemanticCache, asked: EmbeddedQuestion, match: Match, answer: ModelResponse) -> int:
        return memory.store.hit(match.entry, asked.question, asked.vector, match.score, self._clock(), answer.cost)

    async def _verified(
        self, memory: SemanticCache, request: ModelRequest, handler: Handler, asked: EmbeddedQuestion, match: Match
    ) -> bool:
        """Whether the verifier, if there is one, lets the hit pass; what it said of a pair is asked once."""
        name = memory.policy.verifier
        if name is None:
            return True
        pair = (match.entry, asked.question, name)
        known = await self._try("searched", partial(memory.store.verdict, *pair))
        if known is None:
            question = verifier.request(request, name, match.entry.question.shown, asked.question.shown)
            try:
                known = verifier.says_same((await handler(question)).text)
            except OrchError:  # a judge that does not answer has not agreed
                return False
            await self._try("written", partial(memory.store.judged, *pair, known))
        return known

    def _keep(self, memory: SemanticCache, request: ModelRequest, found: _Found, answer: ModelResponse) -> None:
        """Remember the question; and learn, when there was a stored answer to compare with."""
        now = self._clock()
        match, before = found.match, found.answer
        if match is not None and before is not None:
            right = agree(before, answer, partial(_alike, memory))
            audit = found.line is not None and match.score >= found.line
            memory.store.label(
                match.entry, found.asked.question, match.score, right, "audit" if audit else "near miss", now
            )
            if audit:
                shown = match.entry.question.shown
                self._emit(Audited(call=request.call, matched=shown, score=match.score, agreed=right))
            if not right:
                memory.store.deny(match.entry, found.asked.question, found.asked.vector, "another answer")
        memory.keep(found.asked, key(request, self._resolve(request.model)), now)

    async def _try(self, doing: str, action: Callable[[], T]) -> T | None:
        """In a thread: it takes some 10 ms, and the event loop has other runs to serve."""
        try:
            return await asyncio.to_thread(action)
        except Exception as error:  # noqa: BLE001 - a damaged file, a missing extra, a foreign embedder: anything
            self._complain(doing, f"the semantic cache cannot be {doing} ({error}): going on without it")
            return None


def _scope(request: ModelRequest, deployment: Deployment, equal: Mapping[str, str]) -> str:
    """A hash of all that must be equal: the exact key with the prompt's frame in the place of its messages."""
    frame = json.dumps([request.frame, sorted(equal.items())])
    blank = replace(request, messages=({"role": "user", "content": hashlib.sha256(frame.encode()).hexdigest()},))
    return key(blank, deployment)


def _alike(memory: SemanticCache, one: str, other: str) -> float:
    try:
        return float(memory.embedder.embed(one) @ memory.embedder.embed(other))
    except TooLongError:
        return 0.0
