"""Try transient failures again, as often and as late as is sensible; say so for each attempt.

A plain loop: tenacity would hide the one thing that matters here, an event for each attempt with its wait.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from orchmagic.errors import ModelError, RateLimited
from orchmagic.events import AttemptFailed, AttemptFinished, AttemptStarted, Usage
from orchmagic.models import Deployment, Emit, Handler, ModelRequest, ModelResponse, prices

_BASE, _CAP, _PATIENCE = 0.5, 20.0, 60.0  # seconds: first wait, longest wait of ours, longest Retry-After


class Retry:
    """At most `1 + retry` attempts. Retry-After is honoured up to a minute; longer, and the fallback is asked."""

    def __init__(
        self,
        retry: int,
        resolve: Callable[[str], Deployment],
        emit: Emit,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if retry < 0:
            raise ValueError(f"retry {retry} is negative: write 0 or more")
        self._retry = retry
        self._resolve = resolve
        self._emit = emit
        self._sleep = sleep
        self._chance = chance

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        deployment = self._resolve(request.model)
        who = {"call": request.call, "model": deployment.alias, "provider": deployment.provider}
        for attempt in range(1, self._retry + 2):
            self._emit(AttemptStarted(attempt=attempt, **who))
            try:
                answer = await handler(request)
            except ModelError as error:
                wait = self._wait(error, attempt)
                usage = getattr(error, "usage", None) or Usage()
                cost = prices.cost(deployment, usage)
                self._emit(
                    AttemptFailed(attempt=attempt, error=str(error), wait=wait, usage=usage, cost=cost, **who)
                )
                if wait is None:
                    raise
                await self._sleep(wait)
            except Exception as error:
                self._emit(AttemptFailed(attempt=attempt, error=str(error), **who))
                raise
            except asyncio.CancelledError:
                self._emit(AttemptFailed(attempt=attempt, error="cancelled", **who))
                raise
            else:
                self._emit(AttemptFinished(attempt=attempt, usage=answer.usage, cost=answer.cost, **who))
                return answer
        raise AssertionError("unreachable: the last attempt answers or raises")

    def _wait(self, error: ModelError, attempt: int) -> float | None:
        """Seconds until the next attempt; None when there is none."""
        if not error.transient or attempt > self._retry:
            return None
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return error.retry_after if error.retry_after <= _PATIENCE else None
        longest = min(_CAP, _BASE * 2 ** (attempt - 1))
        return longest * (0.5 + self._chance() / 2)
