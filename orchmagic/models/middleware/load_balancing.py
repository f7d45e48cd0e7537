"""Chooses a deployment of an alias for each call, and fails over to the next. An event says why it was chosen.

It is just inside fallback, which calls another model; failover calls the same model elsewhere. It is just outside the
cache: if one of the deployments has a stored answer, that is served and none is chosen.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import Any

from orchmagic.core.portable import is_too_long, retry_wait
from orchmagic.errors import BudgetExceeded, EmptyReply, ModelError, NoDeployment, error_kind
from orchmagic.models.batching import in_batch
from orchmagic.models.routing.capabilities import capable, interchangeable
from orchmagic.models.routing.circuit_breaker import Unavailable, is_outage, is_retryable_elsewhere
from orchmagic.models.routing.first_token import FirstTokenTimer
from orchmagic.models.routing.health import Health, Permit
from orchmagic.models.routing.ranking import SCORED, Choice, candidates
from orchmagic.models.types import Deployment, Emit, Handler, ModelRequest, ModelResponse, Pool
from orchmagic.models.wire.chat_completions import prompt_tokens
from orchmagic.models.wire.http_errors import each, say
from orchmagic.trace.events import DeploymentChosen, FellBack
from orchmagic.trace.reasons import Reason

_TINY = 1e-6  # seconds: the least duration of an answer, so that no rate divides by 0
_POLL = 0.25  # seconds between checks of a busy deployment: other kernels do not signal the end of a call


@dataclass(slots=True)
class LoadBalancing:
    """`pool` finds the deployments of a name (None: one deployment without limits, so nothing to choose or count).

    A single deployment with a fallback (`resolve` finds it) is skipped while its circuit is open.
    A request is sent to each deployment once, then in up to `retry` more rounds. `known` says whether a request has an
    answer without a call (stored, or the same request is under way). The other fields are replaced in tests.
    """

    pool: Callable[[str], Pool | None]
    health: Health
    emit: Emit
    _: KW_ONLY
    resolve: Callable[[str], Deployment]
    timer: FirstTokenTimer
    retry: int = 0
    known: Callable[[ModelRequest], Awaitable[bool]] | None = None
    time_left: Callable[[], float | None] = lambda: None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        pool = self.pool(request.model)
        if pool is None:
            return await (self._single(request, handler) if request.fallback else handler(request))
        if request.batch:
            pool = replace(pool, members=tuple(map(in_batch, pool.members)))
        if any(m.batch for m in pool.members):  # a second call would be paid, too
            pool = replace(pool, hedge=None)
        fitting = replace(pool, members=capable(pool, request))
        while (answered := await self._answered(fitting, request)) is not None:
            try:
                return await handler(answered)
            except ModelError as error:  # the error of a shared call, whose owner may be calling the next deployment
                if not is_retryable_elsewhere(error):
                    raise
        return await RoutedCall(self, fitting, request, handler).answer()

    async def _single(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        """Call the only deployment of a model that has a fallback, unless its circuit is open.

        Raises:
            NoDeployment: it is open; nothing was sent.
        """
        if self.known is not None and await self.known(request):
            return await handler(request)
        permit = self.health.acquire(self.resolve(request.model), 0, request.timeout)
        if isinstance(permit, Unavailable):
            raise NoDeployment(f"{request.model!r} is skipped: {permit.reason}", model=request.model)
        began, outcome = self.timer.begin(request.call), dict[str, float]()
        try:
            answer = await handler(request)
            _, ended = self.timer.end(request.call)
            outcome = {"seconds": max(ended - began, _TINY)} if answer.age is None else {}
        finally:
            self.health.release(permit, seconds=outcome.get("seconds", 0.0))
        return answer

    def left_alone(self, request: ModelRequest, error: ModelError) -> bool:
        """Record a failed attempt at the only deployment of a model; true if the fallback is called instead of it."""
        if not request.fallback or not is_outage(error):
            return False
        return self.health.failed(self.resolve(request.model), error)

    async def _answered(self, pool: Pool, request: ModelRequest) -> ModelRequest | None:
        """The request to a deployment whose answer is stored or under way; None if there is none."""
        for member in interchangeable(pool):
            to_member = replace(request, model=member.alias)
            if self.known is not None and await self.known(to_member):
                return to_member
        return None


@dataclass(slots=True)
class RoutedCall:
    """One request and the deployments tried for it."""

    balancing: LoadBalancing
    pool: Pool
    request: ModelRequest
    handler: Handler
    failed: dict[str, ModelError] = field(default_factory=dict)  # in this round
    tried: list[tuple[str, ModelError]] = field(default_factory=list)
    rounds: int = 0
    racing: set[str] = field(default_factory=set)  # hedged deployments: a second call was started, theirs has not ended

    async def answer(self) -> ModelResponse:
        while True:
            permit = await self._admit()
            try:
                return await self._race(permit)
            except ModelError as error:
                if not is_retryable_elsewhere(error):
                    raise self._final(error) from None

    async def _admit(self) -> Permit:
        """Get a permit for the best deployment; waits if one will be available in time.

        Raises:
            ModelError: no deployment is available in time.
        """
        while True:
            skipped: dict[str, Unavailable] = {}
            if (permit := await self._acquire(skipped)) is not None:
                return permit
            if waits := [u for u in skipped.values() if u.kind != "circuit"]:
                await self._wait(waits, skipped)
            elif self.failed:
                await self._begin_round()
            elif self.request.fallback:
                why = "; ".join(map(str, _named(skipped)))
                raise NoDeployment(f"all of {self.pool.alias!r} are skipped: {why}", model=self.pool.alias)
            else:  # all circuits are open: call the one that half-opens first
                soonest = min(skipped, key=lambda name: skipped[name].until)
                reason = Reason("deployment", cause="soonest", parts=(skipped[soonest].reason,))
                if (permit := await self._acquire({}, only=soonest, reason=reason)) is not None:
                    return permit
                await self.balancing.sleep(_POLL)

    async def _acquire(
        self, skipped: dict[str, Unavailable], only: str | None = None, reason: Reason | None = None
    ) -> Permit | None:
        """Get a permit for the first available deployment, or None; adds to `skipped` why others are not available.

        `only`: this deployment, even if its circuit is open. `reason` replaces the reason of the ranking.
        """
        for choice in self._candidates(only):
            deployment = choice.deployment
            tokens = prompt_tokens(self.request.messages) + self.request.max_tokens
            permit = await self.balancing.health.admit(
                deployment, tokens, self.request.timeout, anyway=only is not None
            )
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
        """Wait until a deployment may be available.

        Raises:
            ModelError: the wait is too long, or longer than the time left.
        """
        seconds = max(0.0, min(u.until for u in waits) - self.balancing.health.clock())
        if is_too_long(seconds, self.balancing.time_left()):
            if self.tried:
                raise self._final()
            why = "; ".join(map(str, _named(skipped)))
            raise NoDeployment(
                f"no deployment of {self.pool.alias!r} can be called for {seconds:.0f} s: {why}", model=self.pool.alias
            )
        if any(u.kind == "busy" for u in waits):
            await self.balancing.health.wait_for_release(_POLL)
        else:
            await self.balancing.sleep(max(seconds, _POLL / 10))

    async def _race(self, permit: Permit) -> ModelResponse:
        """Call the deployment, and after `pool.hedge` seconds without an answer a second one; the first answer wins."""
        if self.pool.hedge is None:
            return await self._call(permit, self.request)
        race = {asyncio.create_task(self._call(permit, self.request))}
        try:
            done, _ = await asyncio.wait(race, timeout=self.pool.hedge)
            if not done and (second := await self._hedge(permit)) is not None:
                # two answers streamed at once would be mixed
                race.add(asyncio.create_task(self._call(second, replace(self.request, stream=False))))
            return await _first_answer(race)
        finally:
            for task in race:
                task.cancel()
            await asyncio.gather(*race, return_exceptions=True)
            self.racing.clear()

    async def _hedge(self, silent: Permit) -> Permit | None:
        self.racing.add(silent.alias)
        reason = Reason("deployment", cause="silent", source=silent.alias, wait=self.pool.hedge)
        return await self._acquire({}, reason=reason)

    async def _call(self, permit: Permit, request: ModelRequest) -> ModelResponse:
        """Call this deployment once, and record the outcome in its health."""
        began = self.balancing.timer.begin(request.call)
        # failover comes before retrying: only a single deployment is retried here
        retries = 0 if len(self.pool.members) > 1 else request.retries
        outcome: dict[str, Any] = {"sent": False}
        try:
            answer = await self.handler(replace(request, model=permit.alias, retries=retries, fallback=()))
            if answer.age is None:  # else it came from a cache or a shared call
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
        except asyncio.CancelledError:  # a hedged call: its duration so far counts
            outcome = self._durations(request, began) if permit.alias in self.racing else {}
            raise
        else:
            return answer
        finally:
            self.balancing.health.release(permit, **outcome)

    def _durations(self, request: ModelRequest, began: float) -> dict[str, float]:
        """Seconds of the call, and to its first text: the same if it had none (a tool call), 0 if not streamed."""
        first, now = self.balancing.timer.end(request.call)
        seconds = max(now - began, _TINY)
        if not request.stream:
            return {"seconds": seconds, "first": 0.0}
        return {"seconds": seconds, "first": seconds if first is None else max(first - began, _TINY)}

    async def _begin_round(self) -> None:
        """Begin another round with the deployments whose errors are transient.

        Raises:
            ModelError: no round is left, or none of the errors is transient.
        """
        again = {name: e for name, e in self.failed.items() if e.transient or isinstance(e, EmptyReply)}
        retries = self.balancing.retry if self.request.retries is None else self.request.retries
        if len(self.pool.members) == 1 or not again or self.rounds >= retries:
            raise self._final()
        self.rounds += 1
        asked = [e.retry_after for e in again.values() if e.retry_after is not None]
        wait = retry_wait(self.rounds, self.balancing.chance(), min(asked) if len(asked) == len(again) else None)
        if is_too_long(wait, self.balancing.time_left()):
            raise self._final()
        await self.balancing.sleep(wait)
        for name in again:
            del self.failed[name]

    def _final(self, error: ModelError | None = None) -> ModelError:
        """The error to raise, naming all deployments tried; by default the last one that allows a fallback."""
        if error is None:
            error = next((e for _, e in reversed(self.tried) if e.falls_back), self.tried[-1][1])
        if len(self.tried) > 1:
            error.args = (f"no deployment of {self.pool.alias!r} answered: {each(self.tried)}",)
        error.attempts = sum(e.attempts for _, e in self.tried)
        return error


async def _first_answer(race: set[asyncio.Task[ModelResponse]]) -> ModelResponse:
    """Wait for the first answer. Failed calls are removed from `race`; if all fail, the last error is raised."""
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
    """The reason why each deployment was skipped, with its name."""
    return tuple(replace(u.reason, deployment=name) for name, u in skipped.items())
