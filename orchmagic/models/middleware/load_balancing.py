"""Choose among the deployments of an alias; when one fails ask the next, and say why each was chosen.

Just inside fallback: here it is the same model elsewhere, there another model. Just outside the cache: an answer that
one of them gave before is served without choosing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from orchmagic.core.portable import is_too_long, retry_wait
from orchmagic.errors import BudgetExceeded, EmptyReply, ModelError, NoDeployment, RateLimited, error_kind
from orchmagic.models.routing.capabilities import capable, interchangeable
from orchmagic.models.routing.circuit_breaker import Unavailable, is_retryable_elsewhere
from orchmagic.models.routing.first_token import FirstTokenTimer
from orchmagic.models.routing.health import Health, Permit
from orchmagic.models.routing.ranking import SCORED, Choice, turns
from orchmagic.models.types import Emit, Handler, ModelRequest, ModelResponse, Pool
from orchmagic.models.wire.chat_completions import prompt_tokens
from orchmagic.models.wire.http_errors import each, kind, say
from orchmagic.trace.events import DeploymentChosen, FellBack
from orchmagic.trace.reasons import Reason

_TINY = 1e-6  # seconds: an answer takes some time, whatever the clock says
_LOOK = 0.25  # seconds between looks at a deployment that other kernels keep busy


class LoadBalancing:
    """`pool` finds the deployments behind a name (None: there is nothing to choose or count).

    A question goes to each of them once, then to them again up to `retry` times. `known` says whether a request would
    be answered without asking (cache, the same question under way). The rest is the world, for tests.
    """

    def __init__(
        self,
        pool: Callable[[str], Pool | None],
        health: Health,
        emit: Emit,
        *,
        retry: int = 0,
        known: Callable[[ModelRequest], Awaitable[bool]] | None = None,
        time_left: Callable[[], float | None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        listening: FirstTokenTimer | None = None,
    ) -> None:
        self.pool = pool
        self.health = health
        self.emit = emit
        self.retry = retry
        self.known = known
        self.time_left = time_left
        self.sleep = sleep
        self.chance = chance
        self.listening = listening or FirstTokenTimer(emit)

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        pool = self.pool(request.model)
        if pool is None:
            return await handler(request)
        fitting = replace(pool, members=capable(pool, request))
        while (asked := await self._known(fitting, request)) is not None:
            try:
                return await handler(asked)
            except ModelError as error:  # it was somebody else's call, who may be asking the next one by now
                if not is_retryable_elsewhere(error):
                    raise
        return await RoutedCall(self, fitting, request, handler).answer()

    async def _known(self, pool: Pool, request: ModelRequest) -> ModelRequest | None:
        """The request to the deployment that answers it without being asked."""
        for member in interchangeable(pool):
            asked = replace(request, model=member.alias)
            if self.known is not None and await self.known(asked):
                return asked
        return None


@dataclass(frozen=True, slots=True)
class _Admitted:
    choice: Choice
    given: Permit

    @property
    def name(self) -> str:
        return self.choice.deployment.alias


class RoutedCall:
    """One question on its way through the deployments."""

    def __init__(self, balancing: LoadBalancing, pool: Pool, request: ModelRequest, handler: Handler) -> None:
        self._by = balancing
        self._pool = pool
        self._request = request
        self._handler = handler
        self._tokens = prompt_tokens(request.messages)
        self._failed: dict[str, ModelError] = {}  # in this round
        self._tried: list[tuple[str, ModelError]] = []
        self._rounds = 0
        self._busy: set[str] = set()  # deployments that lost a race: they are still at it

    async def answer(self) -> ModelResponse:
        while True:
            admitted = await self._admit()
            try:
                admitted, answer = await self._race(admitted)
            except ModelError as error:
                if not is_retryable_elsewhere(error):
                    raise self._told(error) from None
            else:
                return replace(answer, reason=self._reason(admitted, answer))

    async def _admit(self) -> _Admitted:
        """The best deployment that may be asked now; waits for one where that makes sense.

        Raises:
            ModelError: none may be asked in time.
        """
        while True:
            closed: dict[str, Unavailable] = {}
            if (found := self._enter(closed)) is not None:
                return found
            waits = [c for c in closed.values() if c.kind != "circuit"]
            if waits:
                await self._wait(waits, closed)
            elif self._failed:
                await self._again()
            else:  # all circuits are open: better to call the one that closes first than none
                soonest = min(closed, key=lambda name: closed[name].until)
                why = Reason("deployment", cause="soonest", parts=(closed[soonest].reason,))
                if (found := self._enter({}, only=soonest, why=why)) is not None:
                    return found
                await self._by.sleep(_LOOK)

    def _enter(
        self, closed: dict[str, Unavailable], only: str | None = None, why: Reason | None = None
    ) -> _Admitted | None:
        """The first that lets us in; why the others do not goes to `closed`. `only`: this one, circuit or not.

        `why` stands in the place of its score.
        """
        skip = self._failed.keys() | self._busy
        pool, streaming = self._pool, self._request.stream
        skip |= {m.alias for m in pool.members if only not in {None, m.alias}}
        stats = self._by.health.stats(pool.members) if pool.policy in SCORED else {}
        for choice in turns(pool, stats, self._by.chance, skip, streaming=streaming, tokens=self._tokens):
            tokens = self._tokens + self._request.max_tokens
            entered = self._by.health.enter(choice.deployment, tokens, self._request.timeout, anyway=only is not None)
            if isinstance(entered, Permit):
                return self._chosen(_Admitted(choice, entered), closed, why)
            closed[choice.deployment.alias] = entered
        return None

    def _chosen(self, found: _Admitted, closed: Mapping[str, Unavailable], why: Reason | None) -> _Admitted:
        name, error = self._tried[-1] if self._tried else (found.name, None)
        if error is not None and name != found.name:
            fell = partial(FellBack, call=self._request.call, source=name, target=found.name)
            self._by.emit(fell(error=say(error), error_kind=error_kind(error)))
        if len(self._pool.members) > 1:
            why = why or found.choice.reason
            why = replace(why, probe=found.given.probe, parts=(*why.parts, *_named(closed)))
            found = replace(found, choice=replace(found.choice, reason=why))
            event = DeploymentChosen(call=self._request.call, alias=self._pool.alias, deployment=found.name, reason=why)
            self._by.emit(event)
        return found

    async def _wait(self, waits: list[Unavailable], closed: Mapping[str, Unavailable]) -> None:
        """Until one of them may be asked.

        Raises:
            ModelError: that is too late.
        """
        now = self._by.health.clock()
        seconds = max(0.0, min(c.until for c in waits) - now)
        if is_too_long(seconds, self._by.time_left()):
            if self._tried:
                raise self._last()
            why = "; ".join(map(str, _named(closed)))
            raise NoDeployment(
                f"no deployment of {self._pool.alias!r} can be asked for {seconds:.0f} s: {why}", model=self._pool.alias
            )
        if any(c.kind == "busy" for c in waits):
            await self._by.health.freed(_LOOK)
        else:
            await self._by.sleep(max(seconds, _LOOK / 10))

    async def _race(self, first: _Admitted) -> tuple[_Admitted, ModelResponse]:
        """Ask it; where the alias says so, a second one too when no answer comes: the first answer is taken."""
        if self._pool.hedge is None:
            return first, await self._ask(first, self._request)
        race = {asyncio.create_task(self._ask(first, self._request)): first}
        try:
            done, _ = await asyncio.wait(race, timeout=self._pool.hedge)
            if not done and (second := self._hedge(first)) is not None:
                # a stream of two answers at once could not be read
                race[asyncio.create_task(self._ask(second, replace(self._request, stream=False)))] = second
            return await self._first(race)
        finally:
            for task in race:
                task.cancel()
            await asyncio.gather(*race, return_exceptions=True)
            self._busy.clear()

    def _hedge(self, first: _Admitted) -> _Admitted | None:
        self._busy.add(first.name)
        why = Reason("deployment", cause="silent", source=first.name, wait=self._pool.hedge)
        return self._enter({}, why=why)

    async def _first(self, race: dict[asyncio.Task[ModelResponse], _Admitted]) -> tuple[_Admitted, ModelResponse]:
        while True:
            done, _ = await asyncio.wait(race, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                runner, error = race.pop(task), task.exception()
                if error is None:
                    return runner, task.result()
                if not race or not isinstance(error, (ModelError, BudgetExceeded)):
                    raise error

    async def _ask(self, admitted: _Admitted, request: ModelRequest) -> ModelResponse:
        """Ask this deployment once; how it went is remembered."""
        listening = self._by.listening
        began = listening.begin(request.call)
        # the next deployment is asked at once: waiting for this one helps only where it is the only one
        retries = 0 if len(self._pool.members) > 1 else request.retries
        leave = self._by.health.left
        try:
            answer = await self._handler(replace(request, model=admitted.name, retries=retries))
        except ModelError as error:
            leave(admitted.given, error=error)
            self._failed[admitted.name] = error
            self._tried.append((admitted.name, error))
            raise
        except asyncio.CancelledError:
            if admitted.name in self._busy:  # a race: silence is a figure too
                seconds, first = _waits(request, began, *listening.end(request.call))
                leave(admitted.given, seconds=seconds, first=first)
            else:
                leave(admitted.given)
            raise
        except BaseException:
            leave(admitted.given, sent=False)
            raise
        if answer.age is not None:  # a cache gave it, or somebody else's call
            leave(admitted.given, sent=False)
            return answer
        seconds, first = _waits(request, began, *listening.end(request.call))
        leave(admitted.given, seconds=seconds, first=first, tokens=answer.usage.total, written=answer.usage.output)
        return answer

    async def _again(self) -> None:
        """Another round, for those whose trouble may pass.

        Raises:
            ModelError: there is none.
        """
        again = {name: e for name, e in self._failed.items() if e.transient or isinstance(e, EmptyReply)}
        retries = self._by.retry if self._request.retries is None else self._request.retries
        if len(self._pool.members) == 1 or not again or self._rounds >= retries:
            raise self._last()
        self._rounds += 1
        asked = [e.retry_after for e in again.values() if isinstance(e, RateLimited) and e.retry_after is not None]
        wait = retry_wait(self._rounds, self._by.chance(), min(asked) if len(asked) == len(again) else None)
        if is_too_long(wait, self._by.time_left()):
            raise self._last()
        await self._by.sleep(wait)
        for name in again:
            del self._failed[name]

    def _last(self) -> ModelError:
        """The error that ends it: one that another model may help against, if there was such a one."""
        return self._told(next((e for _, e in reversed(self._tried) if e.falls_back), self._tried[-1][1]))

    def _told(self, error: ModelError) -> ModelError:
        """The same error, which names all that were tried."""
        if len(self._tried) > 1:
            error.args = (f"no deployment of {self._pool.alias!r} answered: {each(self._tried)}",)
        error.attempts = sum(e.attempts for _, e in self._tried)
        return error

    def _reason(self, admitted: _Admitted, answer: ModelResponse) -> str:
        if len(self._pool.members) == 1 or answer.age is not None:  # or a cache gave it, and said how
            return answer.reason
        after = ", ".join(f"{kind(e)} from {name}" for name, e in self._tried)
        return f"{admitted.name}: {admitted.choice.reason}" + (f"; after {after}" if after else "")


def _named(closed: Mapping[str, Unavailable]) -> tuple[Reason, ...]:
    """Why each of them was skipped."""
    return tuple(replace(c.reason, deployment=name) for name, c in closed.items())


def _waits(request: ModelRequest, began: float, first: float | None, now: float) -> tuple[float, float]:
    """Seconds it took, and until the first text: the whole where none came (a tool's call), 0 if it is not streamed."""
    seconds = max(now - began, _TINY)
    if not request.stream:
        return seconds, 0.0
    return seconds, seconds if first is None else max(first - began, _TINY)
