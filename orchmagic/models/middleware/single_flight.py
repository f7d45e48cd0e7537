"""The same question asked twice at once is asked once. One instance serves all runs of a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from orchmagic.events import CacheHit
from orchmagic.models import Deployment, Emit, Handler, Middleware, ModelRequest, ModelResponse
from orchmagic.models.key import key


class SingleFlight:
    """Questions under way, by key. When the one who asks is cancelled, one of those who wait asks instead."""

    def __init__(self) -> None:
        self._flying: dict[str, asyncio.Future[ModelResponse]] = {}

    def of(self, resolve: Callable[[str], Deployment], emit: Emit) -> Middleware:
        """The middleware of one run."""

        async def call(request: ModelRequest, handler: Handler) -> ModelResponse:
            if request.cache != "use":
                return await handler(request)
            return await self._share(key(request, resolve(request.model)), request, handler, emit)

        return call

    async def _share(self, name: str, request: ModelRequest, handler: Handler, emit: Emit) -> ModelResponse:
        while (leader := self._flying.get(name)) is not None:
            try:
                answer = await asyncio.shield(leader)
            except asyncio.CancelledError:
                if not leader.cancelled():
                    raise  # we were cancelled ourselves
                continue  # the one who asked was: the first who comes here asks instead
            emit(CacheHit(call=request.call, age=0.0, usage=answer.usage, cost=answer.cost, shared=True))
            return replace(answer, age=0.0, reason="shared with the same question under way")
        return await self._lead(name, request, handler)

    async def _lead(self, name: str, request: ModelRequest, handler: Handler) -> ModelResponse:
        flight: asyncio.Future[ModelResponse] = asyncio.get_running_loop().create_future()
        self._flying[name] = flight
        try:
            answer = await handler(request)
        except asyncio.CancelledError:
            flight.cancel()
            raise
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # nobody may be waiting: mark it as seen
            raise
        else:
            flight.set_result(answer)
            return answer
        finally:
            del self._flying[name]
