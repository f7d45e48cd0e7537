"""Try transient failures again, as often and as late as is sensible; an event for each attempt.

A plain loop: tenacity would hide the two things that matter here, the event with its wait and the deadline.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from orchmagic.core.portable import is_too_long, retry_wait
from orchmagic.errors import ModelError, OrchError, RateLimited, error_kind
from orchmagic.models.pricing import prices
from orchmagic.models.types import Deployment, Emit, Handler, ModelRequest, ModelResponse
from orchmagic.trace.events import AttemptFailed, AttemptFinished, AttemptStarted, Usage


class Retry:
    """At most `1 + retry` attempts. `time_left` is what the run still has, in seconds, None = no deadline.

    Retry-After is honoured up to a minute; what takes longer fails at once, so that the fallback is asked.
    """

    def __init__(
        self,
        retry: int,
        resolve: Callable[[str], Deployment],
        emit: Emit,
        *,
        time_left: Callable[[], float | None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if retry < 0:
            raise ValueError(f"retry is {retry}: write 0 or more")
        self._retry = retry
        self._resolve = resolve
        self._emit = emit
        self._time_left = time_left
        self._sleep = sleep
        self._chance = chance

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        deployment = self._resolve(request.model)
        who: dict[str, Any] = {"call": request.call, "model": deployment.alias, "provider": deployment.provider}
        attempt = 1
        while True:
            failed = partial(AttemptFailed, attempt=attempt, **who)
            self._emit(AttemptStarted(attempt=attempt, **who))
            try:
                answer = await handler(request)
            except ModelError as error:
                error.attempts = attempt
                retries = self._retry if request.retries is None else request.retries
                wait = self._wait(error, attempt) if attempt <= retries else None
                usage, cost = _spent(error, deployment)
                self._emit(failed(error=str(error), error_kind=error_kind(error), wait=wait, usage=usage, cost=cost))
                if wait is None:
                    raise
            except asyncio.CancelledError:
                self._emit(failed(error="cancelled", error_kind="cancelled", cost=_unknown(deployment)))
                raise
            except Exception as error:
                # one of ours, such as the budget's refusal, comes before anything is sent; a bug may come after
                cost = 0.0 if isinstance(error, OrchError) else _unknown(deployment)
                self._emit(failed(error=str(error) or type(error).__name__, error_kind=error_kind(error), cost=cost))
                raise
            else:
                self._emit(
                    AttemptFinished(
                        attempt=attempt, usage=answer.usage, cost=answer.cost, charged=answer.charged, **who
                    )
                )
                return answer
            await self._sleep(wait)
            attempt += 1

    def _wait(self, error: ModelError, attempt: int) -> float | None:
        """Seconds until the next attempt; None when there is none."""
        if not error.transient:
            return None
        asked = error.retry_after if isinstance(error, RateLimited) else None
        wait = retry_wait(attempt, self._chance(), asked)
        return None if is_too_long(wait, self._time_left()) else wait


def _spent(error: ModelError, deployment: Deployment) -> tuple[Usage, float | None]:
    """What a failed attempt is billed, as far as it is known."""
    usage = getattr(error, "usage", None)
    if usage is not None:
        return usage, getattr(error, "cost", None)
    return Usage(), _unknown(deployment) if error.may_have_spent else 0.0


def _unknown(deployment: Deployment) -> float | None:
    """The cost of tokens that nobody counted: nothing where tokens are free."""
    return 0.0 if prices.cost(deployment, Usage(input=1, output=1)) == 0 else None
