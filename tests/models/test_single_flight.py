"""The same question at the same time is asked once, and nobody suffers from another's end."""

import asyncio
from dataclasses import replace

import pytest

from orchmagic.errors import BudgetExceeded, ServerFailed
from orchmagic.models.middleware.single_flight import SingleFlight
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse
from orchmagic.trace.events import CacheHit, Usage

REQUEST = ModelRequest(call="a#1.1", model="small", messages=({"role": "user", "content": "hi"},))
ANSWER = ModelResponse("yes", usage=Usage(input=3, output=1), cost=0.5)


class Tower:
    """Flights whose landing the test decides: `land(outcome)` ends the oldest that is under way."""

    def __init__(self):
        self.flights = SingleFlight()
        self.waiting = []
        self.asked = 0
        self.said = []

    async def handler(self, request):
        self.asked += 1
        landing = asyncio.get_running_loop().create_future()
        self.waiting.append(landing)
        return await landing

    async def ask(self, request=REQUEST):
        middleware = self.flights.of(lambda r: Deployment(r.model, "openai", "m"), self.said.append)
        return await middleware(request, self.handler)

    async def start(self, *requests):
        tasks = [asyncio.create_task(self.ask(request)) for request in requests]
        await settle()
        return tasks

    def land(self, outcome):
        landing = self.waiting.pop(0)
        landing.set_exception(outcome) if isinstance(outcome, Exception) else landing.set_result(outcome)


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_many_ask_and_one_call_is_made():
    tower = Tower()
    tasks = await tower.start(*[replace(REQUEST, call=f"a#1.{n}") for n in range(5)])
    tower.land(ANSWER)
    leader, *followers = await asyncio.gather(*tasks)
    assert tower.asked == 1
    assert leader is ANSWER
    assert all((f.text, f.age) == ("yes", 0.0) for f in followers)


async def test_a_follower_is_a_shared_hit_and_the_leader_is_none():
    tower = Tower()
    tasks = await tower.start(REQUEST, replace(REQUEST, call="b#1.1"))
    tower.land(ANSWER)
    await asyncio.gather(*tasks)
    assert tower.said == [CacheHit(call="b#1.1", age=0.0, usage=ANSWER.usage, cost=0.5, shared=True)]


@pytest.mark.parametrize(
    "change",
    [{"cache": "off"}, {"vote": 2}, {"timeout": 1.0}, {"parameters": {"temperature": 1}}, {"model": "other"}],
)
async def test_what_differs_flies_alone(change):
    tower = Tower()
    base = replace(REQUEST, vote=1)
    changed = replace(base, **change)
    if "model" in change:  # an alias is a name: the same model behind it is the same question
        tasks = await tower.start(base, changed)
        assert tower.asked == 1
        tower.land(ANSWER)
    else:
        tasks = await tower.start(base, changed)
        assert tower.asked == 2
        tower.land(ANSWER)
        tower.land(ANSWER)
    await asyncio.gather(*tasks)


async def test_one_after_the_other_is_asked_twice():
    tower = Tower()
    for _ in range(2):
        (task,) = await tower.start(REQUEST)
        tower.land(ANSWER)
        await task
    assert tower.asked == 2


async def test_a_cancelled_waiter_disturbs_nobody():
    tower = Tower()
    leader, follower, third = await tower.start(REQUEST, REQUEST, REQUEST)
    follower.cancel()
    await settle()
    tower.land(ANSWER)
    assert (await leader).text == (await third).text == "yes"
    assert follower.cancelled()


async def test_when_the_leader_is_cancelled_one_waiter_takes_over():
    tower = Tower()
    leader, second, third = await tower.start(REQUEST, REQUEST, REQUEST)
    leader.cancel()
    await settle()
    assert leader.cancelled()
    assert tower.asked == 2
    tower.waiting.pop(0)
    tower.land(ANSWER)
    assert (await second).age is None
    assert (await third).age == 0.0


async def test_a_run_that_is_cancelled_as_a_whole_asks_nothing_more():
    tower = Tower()
    tasks = await tower.start(REQUEST, REQUEST, REQUEST)
    for task in tasks:
        task.cancel()
    await settle()
    assert all(task.cancelled() for task in tasks)
    assert tower.asked == 1


async def test_the_endpoints_failure_is_everyones_and_each_has_its_own_error():
    tower = Tower()
    tasks = await tower.start(REQUEST, REQUEST, REQUEST)
    failed = ServerFailed("500", status=500)
    failed.attempts = 3
    tower.land(failed)
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert tower.asked == 1
    assert [(str(e), e.status, e.attempts) for e in errors] == [("500", 500, 3)] * 3
    assert len({id(e) for e in errors}) == 3


async def test_a_spent_budget_is_the_leaders_own():
    tower = Tower()
    leader, follower = await tower.start(REQUEST, REQUEST)
    tower.land(BudgetExceeded("no money in this run"))
    await settle()
    assert tower.asked == 2
    tower.land(ANSWER)
    assert await follower is ANSWER
    with pytest.raises(BudgetExceeded):
        await leader


async def test_nothing_stays_behind():
    tower = Tower()
    tasks = await tower.start(REQUEST, REQUEST)
    tower.land(ServerFailed("500"))
    await asyncio.gather(*tasks, return_exceptions=True)
    assert tower.flights._flying == {}
