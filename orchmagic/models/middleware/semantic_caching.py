"""Serves a stored answer to the same question in other words. Just inside caching: an exact hit does not get here.

Off unless the request has `parts`. A failure of the embedder or the store is a warning and a miss.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from orchmagic.core.function_threads import in_thread
from orchmagic.core.redaction import KeyValues
from orchmagic.errors import OrchError
from orchmagic.models.cache import Cache, Complaints, serialization
from orchmagic.models.cache.key import key
from orchmagic.models.embedders import TooLongError
from orchmagic.models.semantic import Match, verifier
from orchmagic.models.semantic.agreement import agree
from orchmagic.models.semantic.semantic_cache import EmbeddedQuestion, SemanticCache
from orchmagic.models.types import Deployment, Emit, Handler, ModelRequest, ModelResponse
from orchmagic.trace.events import CacheHit, CacheHitChecked

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A question, and the nearest entry without a difference: its match, stored answer and the current threshold.

    All three are None if there is no such entry.
    """

    question: EmbeddedQuestion
    match: Match | None = None
    answer: ModelResponse | None = None
    threshold: float | None = None

    @property
    def is_hit(self) -> bool:
        return self.match is not None and self.threshold is not None and self.match.score >= self.threshold


@dataclass(slots=True)
class SemanticCaching:
    """`memory` holds the questions, `cache` the answers, stored there by Caching. `chance` selects hits to audit."""

    memory: SemanticCache
    cache: Cache
    resolve: Callable[[str], Deployment]
    emit: Emit
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    keys: KeyValues = field(default_factory=KeyValues)
    complain: Complaints = field(default_factory=Complaints, init=False)

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        if not request.parts or request.tools or request.cache == "off" or self.keys.holds(request.messages):
            return await handler(request)
        candidate = await self._try("searched", partial(self._find, request))
        if candidate is None:
            return await handler(request)
        hit = await self._hit(request, handler, candidate)
        if hit is not None:
            return hit
        answer = await handler(request)
        # an answer with an age was shared, and the call that sent the request stores it
        if answer.age is None and not self.keys.holds(answer):
            await self._try("written", partial(self._store, request, candidate, answer))
        return answer

    def _find(self, request: ModelRequest) -> _Candidate | None:
        question = self.memory.embed(request.parts or {}, partial(_scope, request, self.resolve(request.model)))
        if question is None:
            return None
        match = self.memory.nearest(question) if request.cache == "use" else None
        if match is None or match.difference:
            return _Candidate(question)
        stored = self.cache.get(match.entry.key)
        # the answer was removed; not only unreachable
        if stored is None and not getattr(self.cache, "away", False):
            self.memory.forget(match.entry.number)
        answer = None if stored is None else serialization.load_entry(stored, request.ttl, self.clock())
        return _Candidate(question) if answer is None else _Candidate(question, match, answer, self.memory.threshold())

    async def _hit(self, request: ModelRequest, handler: Handler, candidate: _Candidate) -> ModelResponse | None:
        """The stored answer if it reaches the threshold, the verifier agrees and it is not selected for an audit."""
        question, match, answer = candidate.question, candidate.match, candidate.answer
        if match is None or answer is None or not candidate.is_hit:
            return None
        if not await self._verified(request, handler, question, match):
            return None
        if self.chance() < self.memory.policy.audits:
            return None
        number = await self._try("written", partial(self._record, question, match, answer))
        self.emit(
            CacheHit(
                call=request.call, age=answer.age or 0.0, usage=answer.usage, cost=answer.cost,
                matched=match.entry.question.shown, score=match.score, hit=number,
            )
        )  # fmt: skip  # one record
        return replace(answer, stored_as=match.entry.key)

    def _record(self, question: EmbeddedQuestion, match: Match, answer: ModelResponse) -> int:
        now = self.clock()
        return self.memory.store.hit(match.entry, question.question, question.vector, match.score, now, answer.cost)

    async def _verified(
        self, request: ModelRequest, handler: Handler, question: EmbeddedQuestion, match: Match
    ) -> bool:
        """Whether the verifier, if there is one, accepts the hit. Its verdict on a pair is stored."""
        name = self.memory.policy.verifier
        if name is None:
            return True
        pair = (match.entry, question.question, name)
        same = await self._try("searched", partial(self.memory.store.verdict, *pair))
        if same is None:
            verification = verifier.request(request, name, match.entry.question.shown, question.question.shown)
            try:
                same = verifier.says_same((await handler(verification)).text)
            except OrchError:  # no answer counts as a veto
                return False
            await self._try("written", partial(self.memory.store.judged, *pair, same))
        return same

    def _store(self, request: ModelRequest, candidate: _Candidate, answer: ModelResponse) -> None:
        """Add the question; if there is a stored answer to compare with, label the pair."""
        now = self.clock()
        question, match, stored = candidate.question, candidate.match, candidate.answer
        if match is not None and stored is not None:
            right = agree(stored, answer, partial(_similarity, self.memory))
            source = "audit" if candidate.is_hit else "near miss"
            self.memory.store.label(match.entry, question.question, match.score, right, source, now)
            if candidate.is_hit:
                shown = match.entry.question.shown
                self.emit(CacheHitChecked(call=request.call, matched=shown, score=match.score, agreed=right))
            if not right:
                self.memory.store.deny(match.entry, question.question, question.vector, "another answer")
        self.memory.add(question, key(request, self.resolve(request.model)), now)

    async def _try(self, doing: str, action: Callable[[], T]) -> T | None:
        """Run `action` in a thread, since it takes about 10 ms; None and a warning if it fails."""
        try:
            return await in_thread(action, "the semantic cache")
        except Exception as error:  # noqa: BLE001 - a damaged file, a missing extra, a foreign embedder: anything
            self.complain(doing, f"the semantic cache cannot be {doing} ({error}): going on without it")
            return None


def _scope(request: ModelRequest, deployment: Deployment, equal: Mapping[str, str]) -> str:
    """A hash of everything that must be equal: the exact cache key, with the prompt's frame instead of its messages."""
    frame = json.dumps([request.frame, sorted(equal.items())])
    blank = replace(request, messages=({"role": "user", "content": hashlib.sha256(frame.encode()).hexdigest()},))
    return key(blank, deployment)


def _similarity(memory: SemanticCache, one: str, other: str) -> float:
    try:
        return float(memory.embedder.embed(one) @ memory.embedder.embed(other))
    except TooLongError:
        return 0.0
