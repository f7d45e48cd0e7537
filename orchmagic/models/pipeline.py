"""The model call, outermost first: tracing, fallback, caching, single-flight, retry, budget, provider.

Caching is inside fallback: the other way round the fallback's answer would be served after the primary is back.
Budget is innermost: every attempt counts, and its worst case is checked before it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce

from orchmagic.caches import Cache
from orchmagic.models import Deployment, Emit, Handler, Middleware, ModelRequest, ModelResponse, Provider, actions, prices
from orchmagic.models.middleware.budget import Budget, Budgeting
from orchmagic.models.middleware.caching import Caching
from orchmagic.models.middleware.fallback import Fallback
from orchmagic.models.middleware.retry import Retry
from orchmagic.models.middleware.single_flight import SingleFlight
from orchmagic.models.middleware.tracing import Tracing


def stack(handler: Handler, *middleware: Middleware) -> Handler:
    """One handler of many; the first middleware is the outermost."""
    return reduce(lambda inner, outer: partial(outer, handler=inner), reversed(middleware), handler)


def build(
    *,
    emit: Emit,
    resolve: Callable[[str], Deployment],
    provider: Callable[[str], Provider],
    cache: Cache | None,
    flights: SingleFlight,
    budget: Budget,
    retry: int,
) -> Handler:
    """The pipeline of one run. `resolve` finds the deployment behind a name, `provider` its one instance."""

    async def ask(request: ModelRequest) -> ModelResponse:
        deployment = resolve(request.model)
        sent = actions.encode(request) if deployment.tools == "json" else request
        answer = await provider(deployment.provider).complete(sent, deployment, emit)
        paid = replace(answer, cost=prices.cost(deployment, answer.usage))
        return actions.decode(paid) if deployment.tools == "json" and request.tools else paid

    return stack(
        ask,
        Tracing(emit, resolve),
        Fallback(emit),
        Caching(cache, resolve, emit),
        flights.of(resolve, emit),
        Retry(retry, resolve, emit),
        Budgeting(budget, resolve),
    )
