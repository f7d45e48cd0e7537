"""Choose among the deployments of an alias; when one fails call the next. An event says why each was chosen.

Just inside fallback: here it is the same model elsewhere, there another model. Just outside the cache: an answer that
one of them gave before is served without choosing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import Any

from orchmagic.core.portable import is_too_long, retry_wait
from orchmagic.errors import BudgetExceeded, EmptyReply, ModelError, NoDeployment, RateLimited, error_kind
from orchmagic.models.routing.capabilities import capable, interchangeable
from orchmagic.models.routing.circuit_breaker import Unavailable, is_retryable_elsewhere
from orchmagic.models.routing.first_token import FirstTokenTimer
from orchmagic.models.routing.health import Health, Permit
from orchmagic.models.routing.ranking import SCORED, Choice, candidates
from orchmagic.models.types import Emit, Handler, ModelRequest, ModelResponse, Pool
from orchmagic.models.wire.chat_completions import prompt_tokens
from orchmagic.models.wire.http_errors import each, say
from orchmagic.trace.events import DeploymentChosen, FellBack
from orchmagic.trace.reasons import Reason

_TINY = 1e-6  # seconds: an answer takes some time, whatever the clock says
_POLL = 0.25  # seconds between checks of a deployment that other kernels keep busy


@dataclass(slots=True)
class LoadBalancing:
    """`pool` finds the deployments behind a name (None: there is nothing to choose or count).

    A question goes to each of them once, then to them again up to `retry` times. `known` says whether a request would
    be answered without asking (cache, the same question under way). The rest is the world, for tests.
    """

    pool: Callable[[str], Pool | None]
    health: Health
    emit: Emit
    _: KW_ONLY
    timer: FirstTokenTimer
    retry: int = 0
    known: Callable[[ModelRequest], Awaitable[bool]] | None = None
    time_left: Callable[[], float | None] = lambda: None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        pool = self.pool(request.model)
        if pool is None:
            return await handler(request)
        fitting = replace(pool, members=capable(pool, request))
        while (answered := await self._answered(fitting, request)) is not None:
            try:
                return await handler(answered)
            except ModelError as error:  # it was somebody else's call, who may be asking the next one by now
                if not is_retryable_elsewhere(error):
                    raise
        return await RoutedCall(self, fitting, request, handler).answer()

    async def _answered(self, pool: Pool, request: ModelRequest) -> ModelRequest | None:
        """The request to the deployment whose answer is known already; None: there is none."""
        for member in interchangeable(pool):
            to_member = replace(request, model=member.alias)
            if self.known is not None and await self.known(to_member):
                return to_member
        return None


@dataclass(slots=True)
class RoutedCall:
    """One question on its way through the deployments."""

    balancing: LoadBalancing
    pool: Pool
    request: ModelRequest
    handler: Handler
    failed: dict[str, ModelError] = field(default_factory=dict)  # in this round
    tried: list[tuple[str, ModelError]] = field(default_factory=list)
    rounds: int = 0
    racing: set[str] = field(default_factory=set)  # deployments that were overtaken and have not ended yet

    async def answer(self) -> ModelResponse:
        while True:
            permit = await self._admit()
            try:
                return await self._race(permit)
            except ModelError as error:
                if not is_retryable_elsewhere(error):
                    raise self._final(error) from None

    async def _admit(self) -> Permit:
        """Leave to call the best deployment; waits for one where that makes sense.

        Raises:
            ModelError: none may be called in time.
        """
        while True:
            skipped: dict[str, Unavailable] = {}
            if (permit := self._acquire(skipped)) is not None:
                return permit
            if waits := [u for u in skipped.values() if u.kind != "circuit"]:
                await self._wait(waits, skipped)
            elif self.failed:
                await self._begin_round()
            else:  # all circuits are open: better to call the one that closes first than none
                soonest = min(skipped, key=lambda name: skipped[name].until)
                reason = Reason("deployment", cause="soonest", parts=(skipped[soonest].reason,))
                if (permit := self._acquire({}, only=soonest, reason=reason)) is not None:
                    return permit
                await self.balancing.sleep(_POLL)

    def _acquire(
        self, skipped: dict[str, Unavailable], only: str | None = None, reason: Reason | None = None
    ) -> Permit | None:
        """Leave to call the first that is available; why the others are not goes to `skipped`.

        `only`: this one, even if its circuit is open. `reason` stands in the place of its score.
        """
        for choice in self._candidates(only):
            deployment = choice.deployment
            tokens = prompt_tokens(self.request.messages) + self.request.max_tokens
            permit = self.balancing.health.acquire(deployment, tokens, self.request.timeout, anyway=only is not None)
            if isinstance(permit, Permit):
                self._emit_choice(permit, reason or choice.reason, skipped)
                return permit
            skipped[deployment.alias] = permit
        return None

    def _candidates(self, only: str | None) -> Iterator[Choice]:
        pool = self.pool
        skip = self.failed.keys() | self.racing | {m.alias for m in pool.members if only not in {None, m.alias}}
        stats = self.balancing.health.stats(pool.members) if pool.policy in SCORED else {}
        return candidates(
            pool,
            stats,
            self.balancing.chance,
            skip,
            streaming=self.request.stream,
            tokens=prompt_tokens(self.request.messages),
        )

    def _emit_choice(self, permit: Permit, reason: Reason, skipped: Mapping[str, Unavailable]) -> None:
        call, chosen = self.request.call, permit.alias
        if self.tried and self.tried[-1][0] != chosen:
            name, error = self.tried[-1]
            fell_back = partial(FellBack, call=call, source=name, target=chosen)
            self.balancing.emit(fell_back(error=say(error), error_kind=error_kind(error)))
        if len(self.pool.members) > 1:
            reason = replace(reason, probe=permit.probe, parts=(*reason.parts, *_named(skipped)))
            self.balancing.emit(DeploymentChosen(call=call, alias=self.pool.alias, deployment=chosen, reason=reason))

    async def _wait(self, waits: list[Unavailable], skipped: Mapping[str, Unavailable]) -> None:
        """Until one of them may be called.

        Raises:
            ModelError: that is too late.
        """
        seconds = max(0.0, min(u.until for u in waits) - self.balancing.health.clock())
        if is_too_long(seconds, self.balancing.time_left()):
            if self.tried:
                raise self._final()
            why = "; ".join(map(str, _named(skipped)))
            raise NoDeployment(
                f"no deployment of {self.pool.alias!r} can be asked for {seconds:.0f} s: {why}", model=self.pool.alias
            )
        if any(u.kind == "busy" for u in waits):
            await self.balancing.health.wait_for_release(_POLL)
        else:
            await self.balancing.sleep(max(seconds, _POLL / 10))

    async def _race(self, permit: Permit) -> ModelResponse:
        """Call it; where the alias has a hedge, a second one too when no answer comes: the first answer is taken."""
        if self.pool.hedge is None:
            return await self._call(permit, self.request)
        race = {asyncio.create_task(self._call(permit, self.request))}
        try:
            done, _ = await asyncio.wait(race, timeout=self.pool.hedge)
            if not done and (second := self._hedge(permit)) is not None:
                # a stream of two answers at once could not be read
                race.add(asyncio.create_task(self._call(second, replace(self.request, stream=False))))
            return await _first_answer(race)
        finally:
            for task in race:
                task.cancel()
            await asyncio.gather(*race, return_exceptions=True)
            self.racing.clear()

    def _hedge(self, silent: Permit) -> Permit | None:
        self.racing.add(silent.alias)
        return self._acquire({}, reason=Reason("deployment", cause="silent", source=silent.alias, wait=self.pool.hedge))

    async def _call(self, permit: Permit, request: ModelRequest) -> ModelResponse:
        """Call this deployment once, and record how it went."""
        began = self.balancing.timer.begin(request.call)
        # the next deployment is called at once: waiting for this one helps only where it is the only one
        retries = 0 if len(self.pool.members) > 1 else request.retries
        outcome: dict[str, Any] = {"sent": False}
        try:
            answer = await self.handler(replace(request, model=permit.alias, retries=retries))
            if answer.age is None:  # else a cache gave it, or somebody else's call
                outcome = {
                    "tokens": answer.usage.total,
                    "written": answer.usage.output,
                    **self._durations(request, began),
                }
        except ModelError as error:
            outcome = {"error": error}
            self.failed[permit.alias] = error
            self.tried.append((permit.alias, error))
            raise
        except asyncio.CancelledError:  # in a race silence is a figure too
            outcome = self._durations(request, began) if permit.alias in self.racing else {}
            raise
        else:
            return answer
        finally:
            self.balancing.health.release(permit, **outcome)

    def _durations(self, request: ModelRequest, began: float) -> dict[str, float]:
        """Seconds it took, and until the first text: all of them where none came (a tool's call), 0 if not streamed."""
        first, now = self.balancing.timer.end(request.call)
        seconds = max(now - began, _TINY)
        if not request.stream:
            return {"seconds": seconds, "first": 0.0}
        return {"seconds": seconds, "first": seconds if first is None else max(first - began, _TINY)}

    async def _begin_round(self) -> None:
        """Another round, for those whose trouble may pass.

        Raises:
            ModelError: there is none.
        """
        again = {name: e for name, e in self.failed.items() if e.transient or isinstance(e, EmptyReply)}
        retries = self.balancing.retry if self.request.retries is None else self.request.retries
        if len(self.pool.members) == 1 or not again or self.rounds >= retries:
            raise self._final()
        self.rounds += 1
        asked = [e.retry_after for e in again.values() if isinstance(e, RateLimited) and e.retry_after is not None]
        wait = retry_wait(self.rounds, self.balancing.chance(), min(asked) if len(asked) == len(again) else None)
        if is_too_long(wait, self.balancing.time_left()):
            raise self._final()
        await self.balancing.sleep(wait)
        for name in again:
            del self.failed[name]

    def _final(self, error: ModelError | None = None) -> ModelError:
        """The error that ends it, which names all that were tried; by default the last one that a fallback follows."""
        if error is None:
            error = next((e for _, e in reversed(self.tried) if e.falls_back), self.tried[-1][1])
        if len(self.tried) > 1:
            error.args = (f"no deployment of {self.pool.alias!r} answered: {each(self.tried)}",)
        error.attempts = sum(e.attempts for _, e in self.tried)
        return error


async def _first_answer(race: set[asyncio.Task[ModelResponse]]) -> ModelResponse:
    """The answer that comes first; what has failed leaves the `race`, whose last error is raised."""
    while True:
        done, _ = await asyncio.wait(race, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            race.remove(task)
            error = task.exception()
            if error is None:
                return task.result()
            if not race or not isinstance(error, (ModelError, BudgetExceeded)):
                raise error


def _named(skipped: Mapping[str, Unavailable]) -> tuple[Reason, ...]:
    """Why each of them was skipped."""
    return tuple(replace(u.reason, deployment=name) for name, u in skipped.items())
