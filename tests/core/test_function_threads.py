"""The threads of notebook functions: bounded, not starved by functions that never return, and gone with the process."""

import asyncio
import contextvars
import threading

import pytest

from orchmagic.core import function_threads
from orchmagic.core.function_threads import Owner, current, in_thread

NAME = contextvars.ContextVar("name", default="")


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    """A pool of this test, of four threads."""
    fresh = function_threads.FunctionThreads()
    monkeypatch.setattr(function_threads, "THREADS", fresh)
    monkeypatch.setattr(function_threads, "MOST", 4)
    return fresh


@pytest.fixture
def gate():
    """Functions that wait for it never return while the test runs."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_function_sees_the_context_of_its_caller():
    NAME.set("run 7")
    assert await in_thread(NAME.get, "f") == "run 7"


async def test_two_thousand_calls_share_few_threads():
    lock, running, most = threading.Lock(), 0, 0

    def count(number):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return number

    results = await asyncio.gather(*(in_thread(lambda n=n: count(n), "f") for n in range(2_000)))
    assert results == list(range(2_000))
    assert most <= 8  # four, and some more if the machine stands still for half a second


async def test_functions_that_nobody_waits_for_take_no_place(gate):
    for number in range(12):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_thread(gate.wait, f"stuck {number}"), 0.01)
    assert await asyncio.wait_for(in_thread(lambda: "fine", "f"), 20) == "fine"


async def test_functions_that_are_stuck_hold_up_others_for_a_moment_only(gate):
    stuck = [asyncio.create_task(in_thread(gate.wait, "stuck")) for _ in range(4)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(in_thread(lambda: "fine", "f"), 20) == "fine"
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


async def test_functions_that_wait_for_functions_end():
    loop = asyncio.get_running_loop()

    def outer(number):
        return asyncio.run_coroutine_threadsafe(in_thread(lambda: number, "inner"), loop).result(30)

    calls = (in_thread(lambda n=n: outer(n), "outer") for n in range(6))
    assert await asyncio.wait_for(asyncio.gather(*calls), 60) == list(range(6))


async def test_a_run_knows_which_functions_have_not_returned(gate):
    run, begun = Owner(), threading.Event()
    with run.calling():
        task = asyncio.create_task(in_thread(lambda: (begun.set(), gate.wait()), "never('x')"))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        await asyncio.wait({task})
        assert await in_thread(lambda: 1, "quick") == 1
    assert await run.unfinished() == "; never('x') has not returned"
    (call,) = run.calls
    gate.set()
    await asyncio.wait({asyncio.wrap_future(call.future)})
    assert await run.unfinished() == ""


async def test_a_call_that_is_left_hears_of_it():
    left, begun = threading.Event(), threading.Event()

    def work():
        current().leave = left.set
        begun.set()
        assert left.wait(20)

    task = asyncio.create_task(in_thread(work, "f"))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left.is_set()


async def test_a_call_that_was_cancelled_before_it_began_does_not_run(gate):
    ran = []
    stuck = [asyncio.create_task(in_thread(gate.wait, "stuck")) for _ in range(4)]
    await asyncio.sleep(0)
    late = asyncio.create_task(in_thread(lambda: ran.append(1), "late"))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*stuck)
    assert await in_thread(lambda: "fine", "f") == "fine"
    assert ran == []
