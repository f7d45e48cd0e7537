"""Rate limits and budgets of worker processes that share nothing but a real Redis."""

import asyncio
import multiprocessing
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import pytest

pytest.importorskip("redis")

from redis_server import needs_redis

from orchmagic import Reply, Script, serve
from orchmagic.models.cache import CacheWarning
from orchmagic.models.routing.circuit_breaker import Unavailable
from orchmagic.models.shared_rates import SharedRates
from orchmagic.models.types import Deployment
from orchmagic.runtime import row_worker
from orchmagic.trace.events import Usage

pytestmark = [pytest.mark.slow, needs_redis, pytest.mark.timeout(300)]  # workers start
WORKERS, LATENCY = 3, 0.05  # seconds
CELL = "%%chain one --model m\nfirst\n    First {{ n }}\n"


def live_elsewhere():
    """The worker sees no folder of the kernel, as on another machine."""
    row_worker._is_here = lambda _: False


@pytest.fixture(scope="module")
def workers():
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, spawned, initializer=live_elsewhere) as pool:
        yield pool


class Endpoint:
    """Answers after LATENCY, notes when it was asked; a call costs $0.10."""

    def __init__(self):
        self.asked = []

    def reply(self, _):
        self.asked.append(time.monotonic())
        return Reply("ok", latency=LATENCY, usage=Usage(input=10, output=990))


@pytest.fixture
def asked(notebook, server):
    """How to map rows on the workers with some limits of the model: (answers, times at which the endpoint was asked)."""
    endpoint = Endpoint()
    with serve(Script(endpoint.reply)) as there:

        def on_workers(workers, rows, cell=CELL, limits=None, **options):
            entry = {"model": "m", "base_url": there.base_url, "input_price": 100, "output_price": 100}
            notebook.session.services.environ["ORCHMAGIC_CACHE_URL"] = server.url
            notebook.session.reload()
            notebook.session.add_models({"m": entry | (limits or {})})
            rows = [{"n": n} for n in range(rows)]
            return notebook.define(cell).map(rows, engine=workers, concurrency=24, **options), endpoint.asked

        yield on_workers


def done(answers):
    return sum(row["_status"] == "done" for row in answers)


def test_requests_a_minute_hold_over_all_workers(workers, asked):
    within = CELL.replace("--model m", "--model m --deadline 5")
    answers, times = asked(workers, 45, within, {"requests_per_minute": 20})
    assert times[-1] - times[0] < 60
    assert len(times) == done(answers) == 20
    assert {row["_status"] for row in answers} == {"done", "no answer"}


def test_calls_at_a_time_hold_over_all_workers(workers, asked):
    answers, times = asked(workers, 45, limits={"concurrency": 4})
    assert done(answers) == len(times) == 45
    assert all(later - early >= LATENCY for early, later in zip(times, times[4:], strict=False))  # the 5th waited


@pytest.mark.parametrize("money", [0.35, 1.25])
def test_a_budget_that_all_workers_spend_at_once_is_never_passed(workers, asked, notebook, money):
    answers, times = asked(workers, 45, budget=money)
    assert notebook.session.services.budget.whole.spent_cost == pytest.approx(0.1 * len(times))
    assert 0 < len(times) <= money / 0.1
    assert done(answers) == len(times)


# --- the counter ---


@pytest.fixture
async def two(server):
    """How two machines count a call, and the counters."""
    machines = SharedRates(server.url), SharedRates(server.url)

    async def enter(machine, tokens=10, **limits):
        return await machines[machine].enter("d", Deployment("d", "openai", "m", **limits), tokens, 30.0, 1000.0)

    yield enter, machines
    for machine in machines:
        machine.close()


async def left(machine, *given, **more):
    """A call has left, and the server knows."""
    machine.leave("d", *given, **more)
    await asyncio.gather(*(asyncio.wrap_future(machine._threads.submit(int)) for _ in range(8)))


def shift(server, seconds):
    """As if all calls had been entered earlier."""
    with server.inside as inside:
        for call, at in inside.zrange("orchmagic:calls:{d}:at", 0, -1, withscores=True):
            inside.zadd("orchmagic:calls:{d}:at", {call: at - 1000 * seconds})


async def test_a_request_waits_until_the_oldest_is_a_minute_ago(server, two):
    enter, _ = two
    assert isinstance(await enter(0, requests_per_minute=2), str)
    shift(server, 40)
    assert isinstance(await enter(1, requests_per_minute=2), str)
    refused = await enter(0, requests_per_minute=2)
    assert isinstance(refused, Unavailable)
    assert (refused.kind, refused.reason.cause) == ("limit", "requests")
    assert 1010 < refused.until <= 1020
    shift(server, 21)
    assert isinstance(await enter(0, requests_per_minute=2), str)


async def test_tokens_of_a_minute_are_those_that_were_used(two):
    enter, machines = two
    first = await enter(0, 80, tokens_per_minute=100)
    assert (await enter(1, 30, tokens_per_minute=100)).reason.cause == "tokens"
    await left(machines[0], first, tokens=60)
    assert isinstance(await enter(1, 30, tokens_per_minute=100), str)
    assert (await enter(0, 11, tokens_per_minute=100)).reason.cause == "tokens"


async def test_what_was_not_sent_is_not_counted(two):
    enter, machines = two
    first = await enter(0, concurrency=1, requests_per_minute=1)
    assert (await enter(1, concurrency=1)).kind == "busy"
    await left(machines[0], first, sent=False)
    assert isinstance(await enter(1, concurrency=1, requests_per_minute=1), str)


async def test_a_call_that_is_stopped_while_it_is_entered_is_not_counted(server, two):
    enter, machines = two
    with server.frozen():
        task = asyncio.create_task(enter(0, concurrency=1))
        await asyncio.sleep(0)  # it is being entered
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    machines[0].close()
    assert isinstance(await enter(1, concurrency=1), str)


async def test_without_the_server_a_machine_counts_for_itself(two, server):
    enter, _ = two
    with server.frozen(), pytest.warns(CacheWarning, match="going on without it"):
        assert await enter(0, requests_per_minute=1) is None
    with warnings.catch_warnings(action="error"):
        assert isinstance(await enter(1, requests_per_minute=1), str)
