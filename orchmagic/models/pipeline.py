"""Composes the layers of a model call, outermost first: guarding, tracing, journaling, fallback, load balancing,
caching, single-flight, retry, budgeting, provider. Answers are also guarded before each layer that stores them.

Caching is inside fallback: otherwise a fallback's answer would be served after the first model works again.
Budgeting is innermost: every attempt counts, and its worst case is checked before it is made.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from orchmagic.core.redaction import KeyValues
from orchmagic.core.user_code import contained_await
from orchmagic.errors import UnusableReply
from orchmagic.guards.guardrails import Guardrails
from orchmagic.models import Provider
from orchmagic.models.batching import BatchProvider, in_batch
from orchmagic.models.batching.desk import BatchDesk
from orchmagic.models.budget import Budget
from orchmagic.models.cache import Cache
from orchmagic.models.middleware.budgeting import Budgeting
from orchmagic.models.middleware.caching import Caching
from orchmagic.models.middleware.fallback import Fallback
from orchmagic.models.middleware.guarding import Guarding
from orchmagic.models.middleware.journaling import Journaling
from orchmagic.models.middleware.load_balancing import LoadBalancing
from orchmagic.models.middleware.retry import Retry
from orchmagic.models.middleware.semantic_caching import SemanticCaching
from orchmagic.models.middleware.single_flight import SingleFlight
from orchmagic.models.middleware.tracing import Tracing
from orchmagic.models.pricing import prices
from orchmagic.models.routing.first_token import FirstTokenTimer
from orchmagic.models.routing.health import Health, opened
from orchmagic.models.semantic.semantic_cache import SemanticCache
from orchmagic.models.types import Deployment, Emit, Handler, Middleware, ModelRequest, ModelResponse, Pool
from orchmagic.models.wire import json_tools
from orchmagic.storage.journal import Journal
from orchmagic.storage.sent_batches import BatchStore


def stack(handler: Handler, *middleware: Middleware) -> Handler:
    """Wrap a handler in middlewares; the first one is the outermost."""
    for layer in reversed(middleware):
        handler = _around(layer, handler)
    return handler


def _around(layer: Middleware, handler: Handler) -> Handler:
    return lambda request: layer(request, handler)


class ModelDirectory(Protocol):
    """Finds the deployments and the provider of a model's name."""

    def deployment(self, name: str) -> Deployment:
        """The deployment of an alias or model name."""

    def pool(self, name: str) -> Pool | None:
        """The deployments of an alias that has several, or one with rate limits; else None."""

    def provider(self, name: str) -> Provider:
        """The session's instance of a provider."""

    def price_advice(self, deployment: Deployment) -> str:
        """What to write for a deployment without a price."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The deadline of a run, `seconds` after `began` (monotonic clock); None = no limit."""

    seconds: float | None = None
    began: float = field(default_factory=time.monotonic)

    def left(self) -> float | None:
        """Seconds until the deadline; None = no limit."""
        return None if self.seconds is None else self.began + self.seconds - time.monotonic()

    def within(self, outer: Deadline) -> Deadline:
        """This deadline or `outer`, whichever ends first."""
        own, most = self.left(), outer.left()
        return self if most is None or (own is not None and own <= most) else outer


@dataclass(frozen=True, slots=True)
class World:
    """Clock (seconds since the epoch), sleep and random numbers (0 to 1); replaced in tests."""

    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class PipelineParts:
    """The inputs of `build`.

    `emit`, `budget`, `journal`, `guardrails` and `deadline` belong to the run, the others to the session. `retry`: how
    often a failed attempt is repeated. `cache` and `semantic` are None if they are switched off. No answer or question
    with one of the `keys` is stored in them.
    """

    emit: Emit
    models: ModelDirectory
    budget: Budget
    journal: Journal
    flights: SingleFlight
    retry: int
    health: Health = field(default_factory=partial(opened, None))
    cache: Cache | None = None
    semantic: SemanticCache | None = None
    guardrails: Guardrails = field(default_factory=Guardrails)
    deadline: Deadline = field(default_factory=Deadline)
    world: World = field(default_factory=World)
    keys: KeyValues = field(default_factory=KeyValues)
    batches: BatchDesk = field(default_factory=partial(BatchDesk, partial(BatchStore, None)))


def build(parts: PipelineParts) -> Handler:
    """Build the pipeline of one run; the first middleware is the outermost."""
    # cached: four layers use it, and a run keeps its deployments if the settings change meanwhile
    resolve, pool = functools.cache(parts.models.deployment), functools.cache(parts.models.pool)
    called = partial(_as_called, resolve)
    emit, cache, retry, world = parts.emit, parts.cache, parts.retry, parts.world
    caching, timer = Caching(cache, resolve, emit, world.clock, parts.keys), FirstTokenTimer(emit)
    waits: dict[str, Any] = {"time_left": parts.deadline.left, "sleep": world.sleep, "chance": world.chance}
    answers = _KnownAnswers(caching, parts.flights, called)
    chosen: dict[str, Any] = {"known": answers.has, "timer": timer, "resolve": resolve}
    balancing = LoadBalancing(pool, parts.health, emit, retry=retry, **chosen, **waits)
    guarding = Guarding(parts.guardrails)
    semantic_caching = []
    if parts.semantic is not None and cache is not None:
        known = SemanticCaching(parts.semantic, cache, resolve, emit, world.clock, world.chance, parts.keys)
        semantic_caching.append(known)
    return stack(
        _ProviderCall(timer, called, parts.models, parts.batches),
        guarding.check_request,
        Tracing(emit),
        guarding.check_response,
        Journaling(parts.journal, resolve, emit, parts.budget),
        guarding.check_response,
        Fallback(emit),
        balancing,
        caching,
        *semantic_caching,
        guarding.check_response,
        parts.flights.of(called, emit),
        Retry(retry, resolve, emit, left_alone=balancing.left_alone, **waits),
        Budgeting(parts.budget, called, parts.models.price_advice),
        guarding.redact_errors,
    )


def _as_called(resolve: Callable[[str], Deployment], request: ModelRequest) -> Deployment:
    """The deployment of a request, with `batch` if the request goes through its Batch API."""
    return in_batch(resolve(request.model)) if request.batch else resolve(request.model)


@dataclass(frozen=True, slots=True)
class _KnownAnswers:
    """Knows whether an answer is stored or under way, so that no deployment needs to be chosen."""

    caching: Caching
    flights: SingleFlight
    called: Callable[[ModelRequest], Deployment]

    async def has(self, request: ModelRequest) -> bool:
        return await self.caching.holds(request) or self.flights.holds(request, self.called(request))


@dataclass(frozen=True, slots=True)
class _ProviderCall:
    """Calls the provider as the innermost handler: adapts tools to the model, and adds the cost to the answer."""

    emit: Emit
    called: Callable[[ModelRequest], Deployment]
    models: ModelDirectory
    batches: BatchDesk

    async def __call__(self, request: ModelRequest) -> ModelResponse:
        deployment = self.called(request)
        as_actions = bool(request.tools) and deployment.tools == "json"
        question = json_tools.encode(request) if as_actions else request
        provider = self.models.provider(deployment.provider)
        try:
            with contained_await():  # a provider may be a plug-in, or answer with a function of the notebook
                if deployment.batch and isinstance(provider, BatchProvider):
                    endpoint = provider.batches(deployment)
                    answer = await self.batches.answer(question, deployment, endpoint, self.emit)
                else:
                    answer = await provider.complete(question, deployment, self.emit)
        except UnusableReply as error:
            if error.cost is None and error.usage is not None:  # it is billed too
                error.cost = prices.cost(deployment, error.usage)
            raise
        if answer.cost is None:
            answer = replace(answer, cost=prices.cost(deployment, answer.usage))
        return json_tools.decode(answer) if as_actions else answer
