"""The model call, outermost first: guarding, tracing, recording, fallback, balance, caching, single-flight, retry,
budget, provider; answers are guarded wherever they would be kept.

Caching is inside fallback: the other way round the fallback's answer would be served after the primary is back.
Budget is innermost: every attempt counts, and its worst case is checked before it is made.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from orchmagic.errors import UnusableReply
from orchmagic.guards.guardrails import Guardrails
from orchmagic.models import Provider
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


def stack(handler: Handler, *middleware: Middleware) -> Handler:
    """One handler of many; the first middleware is the outermost."""
    for layer in reversed(middleware):
        handler = _around(layer, handler)
    return handler


def _around(layer: Middleware, handler: Handler) -> Handler:
    return lambda request: layer(request, handler)


def build(
    *,
    emit: Emit,
    resolve: Callable[[str], Deployment],
    provider: Callable[[str], Provider],
    cache: Cache | None,
    flights: SingleFlight,
    budget: Budget,
    journal: Journal,
    retry: int,
    policy: Guardrails | None = None,
    memory: SemanticCache | None = None,
    pool: Callable[[str], Pool | None] = lambda _: None,
    health: Health | None = None,
    unpriced: Callable[[Deployment], str] | None = None,
    time_left: Callable[[], float | None] = lambda: None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    chance: Callable[[], float] = random.random,
) -> Handler:
    """The pipeline of one run. `flights` is the session's, `budget` and `journal` the run's own.

    `resolve` finds the deployment behind a name, `pool` the several of an alias, `provider` the one instance of a
    provider; `health` (the session's) knows how they do, `unpriced` what to write for one without a price. `policy`
    holds the rules for questions and answers; `memory` is the semantic cache, None = off. `time_left`: seconds that
    the run still has, None = no deadline. The last three are the world, for tests.
    """
    # asked by four layers, and a run keeps its endpoints even when the settings change under it
    resolve, pool = functools.cache(resolve), functools.cache(pool)
    caching, listening = Caching(cache, resolve, emit, clock), FirstTokenTimer(emit)
    world: dict[str, Any] = {"time_left": time_left, "sleep": sleep, "chance": chance}
    known = _known(caching, flights, resolve)
    guarding = Guarding(policy or Guardrails())
    return stack(
        _asking(listening, resolve, provider),
        guarding.check_request,
        Tracing(emit),
        guarding.check_response,
        Journaling(journal, resolve, emit, budget),
        guarding.check_response,
        Fallback(emit),
        LoadBalancing(pool, health or opened(None), emit, retry=retry, known=known, listening=listening, **world),
        caching,
        SemanticCaching(memory, cache, resolve, emit, clock, chance),
        guarding.check_response,
        flights.of(resolve, emit),
        Retry(retry, resolve, emit, **world),
        Budgeting(budget, resolve, unpriced),
        guarding.redact_errors,
    )


def _known(
    caching: Caching, flights: SingleFlight, resolve: Callable[[str], Deployment]
) -> Callable[[ModelRequest], Awaitable[bool]]:
    """Whether the answer is there, or under way, so that nobody need be chosen for it."""

    async def known(request: ModelRequest) -> bool:
        return await caching.holds(request) or flights.holds(request, resolve(request.model))

    return known


def _asking(emit: Emit, resolve: Callable[[str], Deployment], provider: Callable[[str], Provider]) -> Handler:
    """The provider as a handler: tools in the form that the model can use, and every answer with its price."""

    async def ask(request: ModelRequest) -> ModelResponse:
        deployment = resolve(request.model)
        as_actions = bool(request.tools) and deployment.tools == "json"
        question = json_tools.encode(request) if as_actions else request
        try:
            answer = await provider(deployment.provider).complete(question, deployment, emit)
        except UnusableReply as error:
            if error.cost is None and error.usage is not None:  # it is billed like any other
                error.cost = prices.cost(deployment, error.usage)
            raise
        if answer.cost is None:
            answer = replace(answer, cost=prices.cost(deployment, answer.usage))
        return json_tools.decode(answer) if as_actions else answer

    return ask
