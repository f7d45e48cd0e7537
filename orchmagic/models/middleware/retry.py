"""Retries transient failures with a growing wait, and emits an event for each attempt.

A plain loop and not tenacity, because each event needs the wait, and each wait the deadline.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any

from orchmagic.core.portable import is_too_long, retry_wait
from orchmagic.errors import ModelError, OrchError, TruncatedReply, error_kind
from orchmagic.models.budget import sent_at_most
from orchmagic.models.pricing import prices
from orchmagic.models.types import Deployment, Emit, Handler, ModelRequest, ModelResponse
from orchmagic.models.wire.urls import vendor
from orchmagic.trace.events import AttemptFailed, AttemptFinished, AttemptStarted, Usage


@dataclass(slots=True)
class Retry:
    """Makes at most `1 + retry` attempts. `time_left`: seconds until the run's deadline, None = no deadline.

    Retry-After is honoured up to a minute; a longer wait fails at once, so that the fallback is called. `left_alone`
    is told each failure; if it returns true, the model is not called again.
    """

    retry: int
    resolve: Callable[[str], Deployment]
    emit: Emit
    _: KW_ONLY
    left_alone: Callable[[ModelRequest, ModelError], bool] = lambda _, __: False
    time_left: Callable[[], float | None] = lambda: None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.retry < 0:
            raise ValueError(f"retry is {self.retry}: write 0 or more")

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        deployment = self.resolve(request.model)
        who: dict[str, Any] = {
            "call": request.call,
            "model": deployment.alias,
            "provider": vendor(deployment.provider, deployment.base_url),
        }
        attempt, extra = 1, 0
        while True:
            failed = partial(AttemptFailed, attempt=attempt, **who)
            self.emit(AttemptStarted(attempt=attempt, **who))
            try:
                answer = await handler(request)
            except ModelError as error:
                wait: float | None
                error.attempts = attempt
                retries = self.retry if request.retries is None else request.retries
                if isinstance(error, TruncatedReply) and error.is_short:
                    wait, extra = 0.0, extra + 1
                else:
                    is_last = self.left_alone(request, error) or attempt > retries + extra
                    wait = None if is_last else self._wait(error, attempt)
                text, kind = str(error), error_kind(error)
                if (billed := prices.of_failure(error)) is None:
                    self.emit(failed(error=text, error_kind=kind, wait=wait, **_perhaps(error, deployment)))
                else:
                    self.emit(failed(error=text, error_kind=kind, wait=wait, usage=billed[0], cost=billed[1]))
                if wait is None:
                    raise
            except asyncio.CancelledError as error:
                self.emit(failed(error="cancelled", error_kind="cancelled", **_perhaps(error, deployment)))
                raise
            except Exception as error:
                # our own errors (budget exceeded) are raised before anything is sent, other errors may be later
                bill = {} if isinstance(error, OrchError) else _perhaps(error, deployment)
                self.emit(failed(error=str(error) or type(error).__name__, error_kind=error_kind(error), **bill))
                raise
            else:
                self.emit(
                    AttemptFinished(
                        attempt=attempt, usage=answer.usage, cost=answer.cost, charged=answer.charged, **who
                    )
                )
                return answer
            await self.sleep(wait)
            attempt += 1

    def _wait(self, error: ModelError, attempt: int) -> float | None:
        """Seconds until the next attempt; None = no further attempt."""
        if not error.transient:
            return None
        wait = retry_wait(attempt, self.chance(), error.retry_after)
        return None if is_too_long(wait, self.time_left()) else wait


def _perhaps(error: BaseException, deployment: Deployment) -> dict[str, Any]:
    """The fields of an attempt that was perhaps billed: nothing is known if it was sent and tokens are not free."""
    worst = sent_at_most(error)
    free = prices.cost(deployment, Usage(input=1, output=1)) == 0
    if worst is None:  # it ended before it was sent, or no budgeting says how much it can have cost
        return {"cost": 0.0 if free else None}
    return {"cost": 0.0 if free else None, "perhaps": not free, "perhaps_cost": 0.0 if free else worst.cost}
