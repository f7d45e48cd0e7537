"""Sends only one of several equal concurrent requests, and shares its answer. One instance serves a session."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from orchmagic.errors import ModelError
from orchmagic.models.cache.key import key
from orchmagic.models.types import Deployment, Emit, Handler, Middleware, ModelRequest, ModelResponse
from orchmagic.trace.events import CacheHit

# The outcome of a request: an answer, a ModelError, or None if its call was stopped (cancelled, budget spent); then
# one of the waiting calls sends the request instead.
_Name: TypeAlias = tuple[str, float | None, bool]
_Flight: TypeAlias = asyncio.Future[ModelResponse | ModelError | None]


class SingleFlight:
    """Requests under way by key, timeout and whether in a batch: a call must not wait for one.

    Nor must a call with a long timeout share the failure of a short one.
    """

    def __init__(self) -> None:
        self._flying: dict[_Name, _Flight] = {}

    def forget(self) -> None:
        """Drops the requests under way in a forked process: only the parent gets their answers."""
        self._flying.clear()

    def holds(self, request: ModelRequest, deployment: Deployment) -> bool:
        """Whether the same request is under way at the deployment, so that its answer would be shared."""
        return request.cache != "off" and _name(request, deployment) in self._flying

    def of(self, called: Callable[[ModelRequest], Deployment], emit: Emit) -> Middleware:
        """The middleware of one run."""

        async def share(request: ModelRequest, handler: Handler) -> ModelResponse:
            if request.cache == "off":
                return await handler(request)
            name = _name(request, called(request))
            while (flight := self._flying.get(name)) is not None:
                # shielded: a cancelled waiter must not cancel what the others wait for
                outcome = await asyncio.shield(flight)
                if isinstance(outcome, ModelError):
                    raise copy.copy(outcome)  # a copy, because outer layers change its text
                if outcome is not None:
                    emit(CacheHit(call=request.call, age=0.0, usage=outcome.usage, cost=outcome.cost, shared=True))
                    return replace(outcome, age=0.0)
            return await self._lead(name, request, handler)

        return share

    async def _lead(self, name: _Name, request: ModelRequest, handler: Handler) -> ModelResponse:
        flight: _Flight = asyncio.get_running_loop().create_future()
        self._flying[name] = flight
        outcome: ModelResponse | ModelError | None = None
        try:
            outcome = answer = await handler(request)
        except ModelError as error:
            outcome = copy.copy(error)
            raise
        else:
            return answer
        finally:
            del self._flying[name]
            flight.set_result(outcome)


def _name(request: ModelRequest, deployment: Deployment) -> _Name:
    return key(request, deployment), request.timeout, deployment.batch
