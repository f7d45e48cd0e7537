"""Transient failures are tried again, not too often, not too late, and every attempt is in the trace."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchmagic.errors import (
    BudgetExceeded,
    CallTimeout,
    ConnectionLost,
    EmptyReply,
    QuotaExhausted,
    RateLimited,
    RefusedReply,
    RequestRejected,
    ServerFailed,
    TruncatedReply,
)
from orchmagic.models.middleware.retry import Retry
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse
from orchmagic.trace.events import AttemptFailed, AttemptFinished, AttemptStarted, Usage

REQUEST = ModelRequest(call="ask#1.1", model="small", messages=())
PRICED = Deployment("small", "openai", "m", input_price=1.0, output_price=2.0)
ANSWER = ModelResponse("yes", usage=Usage(input=3, output=1), cost=0.5)


class World:
    """A retry in a world whose clock only moves by its waits. `outcomes` are raised or returned in order."""

    def __init__(self, *outcomes, retry=2, time_left=None, chance=1.0, deployment=PRICED):
        self.outcomes = list(outcomes)
        self.time_left = time_left
        self.waits = []
        self.said = []
        self.retry = Retry(
            retry,
            lambda _: deployment,
            self.said.append,
            time_left=lambda: self.time_left,
            sleep=self.sleep,
            chance=lambda: chance,
        )

    async def sleep(self, seconds):
        self.waits.append(seconds)
        if self.time_left is not None:
            self.time_left -= seconds

    async def handler(self, request):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def ask(self):
        return await self.retry(REQUEST, self.handler)

    def failures(self):
        return [event for event in self.said if isinstance(event, AttemptFailed)]


async def test_an_answer_is_one_attempt():
    world = World(ANSWER)
    assert await world.ask() is ANSWER
    who = {"call": "ask#1.1", "attempt": 1, "model": "small", "provider": "openai"}
    assert world.said == [AttemptStarted(**who), AttemptFinished(**who, usage=ANSWER.usage, cost=0.5)]


@pytest.mark.parametrize("kind", [RateLimited, ServerFailed, CallTimeout, ConnectionLost])
async def test_a_transient_failure_is_tried_again(kind):
    world = World(kind("no"), ANSWER)
    assert await world.ask() is ANSWER
    assert [type(event) for event in world.said] == [AttemptStarted, AttemptFailed, AttemptStarted, AttemptFinished]


@pytest.mark.parametrize(
    "kind", [QuotaExhausted, RequestRejected, EmptyReply, TruncatedReply, RefusedReply, BudgetExceeded, ValueError]
)
async def test_nothing_else_is(kind):
    world = World(kind("no"))
    with pytest.raises(kind):
        await world.ask()
    assert world.waits == []
    assert world.said[-1].wait is None


async def test_there_are_at_most_one_and_retry_attempts():
    world = World(*[ServerFailed("no") for _ in range(9)], retry=3)
    with pytest.raises(ServerFailed) as caught:
        await world.ask()
    assert len(world.outcomes) == 5
    assert caught.value.attempts == 4
    assert [failed.attempt for failed in world.failures()] == [1, 2, 3, 4]


async def test_waits_double_up_to_a_cap_and_are_in_the_trace():
    world = World(*[ServerFailed("no") for _ in range(9)], retry=7)
    with pytest.raises(ServerFailed):
        await world.ask()
    assert world.waits == [0.5, 1, 2, 4, 8, 16, 20]
    assert [failed.wait for failed in world.failures()] == [*world.waits, None]


@given(chance=st.floats(0, 1, exclude_max=True))
def test_the_jitter_is_full(chance):
    world = World(ServerFailed("no"), ServerFailed("no"), ANSWER, chance=chance)
    asyncio.run(world.ask())
    assert world.waits == [0.5 * chance, chance]


@pytest.mark.parametrize("seconds", [0, 2, 60])
async def test_retry_after_is_honoured(seconds):
    world = World(RateLimited("slow", retry_after=seconds), ANSWER)
    await world.ask()
    assert world.waits == [seconds]


async def test_a_retry_after_beyond_a_minute_gives_up_at_once():
    world = World(RateLimited("slow", retry_after=61), ANSWER)
    with pytest.raises(RateLimited):
        await world.ask()
    assert world.waits == []


async def test_a_wait_that_passes_the_deadline_is_not_begun():
    world = World(*[RateLimited("slow", retry_after=4) for _ in range(3)], time_left=10.0, retry=9)
    with pytest.raises(RateLimited):
        await world.ask()
    assert world.waits == [4, 4]
    assert world.failures()[-1].wait is None


async def test_an_unusable_reply_is_billed():
    error = EmptyReply("nothing", usage=Usage(input=5, output=2), cost=0.25)
    world = World(error)
    with pytest.raises(EmptyReply):
        await world.ask()
    assert (world.said[-1].usage, world.said[-1].cost) == (error.usage, 0.25)


FREE = replace(PRICED, input_price=0.0, output_price=0.0)


@pytest.mark.parametrize(
    ("error", "deployment", "cost"),
    [
        (ServerFailed("500"), PRICED, 0.0),
        (BudgetExceeded("no"), PRICED, 0.0),
        (CallTimeout("late"), PRICED, None),
        (CallTimeout("late"), FREE, 0.0),
        (asyncio.CancelledError(), PRICED, None),
        (asyncio.CancelledError(), FREE, 0.0),
        (ValueError("a bug"), PRICED, None),
    ],
)
async def test_what_a_failed_attempt_cost_is_only_said_when_it_is_known(error, deployment, cost):
    world = World(error, retry=0, deployment=deployment)
    with pytest.raises(type(error)):
        await world.ask()
    assert world.said[-1].cost == cost


async def test_a_cancelled_attempt_ends_in_the_trace():
    world = World(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await world.ask()
    assert world.said[-1].error == "cancelled"


async def test_a_cancel_during_a_wait_ends_the_call():
    world = World(ServerFailed("no"), ANSWER)
    waiting = asyncio.Event()

    async def forever(_):
        waiting.set()
        await asyncio.Event().wait()

    world.retry.sleep = forever
    task = asyncio.create_task(world.ask())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.outcomes == [ANSWER]


def test_a_negative_number_of_retries_is_refused():
    with pytest.raises(ValueError, match="retry is -1: write 0 or more"):
        World(retry=-1)
