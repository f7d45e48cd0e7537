"""An orchestration that notebook code calls is a part of the run whose step called it, wherever the code runs."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest

from orchmagic import Reply, tool
from orchmagic.errors import RunError, WriteUnknown
from orchmagic.notebook.commands import run as orch
from orchmagic.trace.events import Usage
from orchmagic.trace.humanize import money

DEAR = {"dear": {"provider": "scripted", "model": "scripted", "input_price": 1000.0, "output_price": 1000.0}}
INNER = "%%chain inner --no-cache\nsay\n    About {{ topic }}"
STEP = "%%chain outer --no-cache{}\nfound = called(topic)\nsay\n    Sum up {{{{ found }}}}"
THREE = range(3)


def plain(inner):
    return lambda topic: [inner(topic=f"{topic} {i}").output for i in THREE]


def tasks(inner):
    async def called(topic):
        return [run.output for run in await asyncio.gather(*(inner.arun(topic=f"{topic} {i}") for i in THREE))]

    return called


def executor_made_inside(inner):
    def called(topic):
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(lambda i: inner(topic=f"{topic} {i}").output, THREE))

    return called


def executor_of_the_notebook(inner):
    pool = ThreadPoolExecutor(2)
    pool.submit(time.time).result()  # its first thread is older than every run
    return lambda topic: list(pool.map(lambda i: inner(topic=f"{topic} {i}").output, THREE))


def executor_of_the_loop(inner):
    async def called(topic):
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            *(loop.run_in_executor(None, lambda i=i: inner(topic=f"{topic} {i}").output) for i in THREE)
        )

    return called


def to_thread(inner):
    async def called(topic):
        return await asyncio.gather(*(asyncio.to_thread(lambda i=i: inner(topic=f"{topic} {i}").output) for i in THREE))

    return called


def threads(inner):
    def called(topic):
        found = {}

        def one(i):
            with suppress(RunError):  # the step was stopped before
                found[i] = inner(topic=f"{topic} {i}").output

        made = [threading.Thread(target=one, args=(i,)) for i in THREE]
        for thread in made:
            thread.start()
        for thread in made:
            thread.join()
        return [found[i] for i in THREE]

    return called


def thread_of_a_thread(inner):
    def called(topic):
        found = []

        def all_of_them():
            with suppress(RunError):  # the step was stopped before
                found.extend(plain(inner)(topic))

        deep = threading.Thread(target=all_of_them)
        outer = threading.Thread(target=lambda: (deep.start(), deep.join()))
        outer.start()
        outer.join()
        return found

    return called


def pool_of_threads(inner):
    def called(topic):
        with ThreadPool(3) as pool:
            return pool.map(lambda i: inner(topic=f"{topic} {i}").output, THREE)

    return called


def in_the_background(inner):
    def called(topic):
        for i in THREE:
            inner.start(topic=f"{topic} {i}")
        return "started"

    return called


def compiled(inner):
    async def called(topic):
        return [(await inner.graph.ainvoke({"topic": f"{topic} {i}"}))["say"] for i in THREE]

    return called


WAYS = [
    plain,
    tasks,
    executor_made_inside,
    executor_of_the_notebook,
    executor_of_the_loop,
    to_thread,
    threads,
    thread_of_a_thread,
    pool_of_threads,
    in_the_background,
    compiled,
]


@pytest.fixture
def book(notebook):
    notebook.session.add_models(DEAR)
    notebook.session.services.environ["ORCHMAGIC_MODEL"] = "dear"
    notebook.session.reload()
    notebook.script(lambda body: "fine words")
    notebook.space["inner"] = notebook.define(INNER)
    return notebook


def spent(book):
    return book.session.services.budget.whole.spent_cost


@pytest.mark.parametrize("way", WAYS)
def test_what_a_function_calls_counts_in_its_run_and_nowhere_twice(book, way):
    run = book.run(STEP.format(""), called=way(book.space["inner"]), topic="bees")
    assert (run.status, len(book.scripted.requests)) == ("done", 4)
    assert run.record.calls == 4
    assert run.cost == pytest.approx(run.receipt().totals["cost"]) == pytest.approx(spent(book))
    assert {row["step"] for row in run.receipt()} == {"found/inner/say", "say"}
    assert set(book.session.services.budget.names) == {"outer"}
    inside = [stored for stored in book.session.lookup.latest() if stored.name == "inner"]
    assert {stored.caller for stored in inside} <= {run.id}
    assert f"{run.tokens} tokens, {money(run.cost)} in 1 run." in orch(book.session, "budget")


@pytest.mark.parametrize("way", WAYS)
def test_no_way_passes_the_budget_of_the_calling_run(book, way):
    book.script(lambda body: Reply("word " * 1000, usage=Usage(input=10, output=1024)))
    run = book.run(STEP.format(" --budget 3"), called=way(book.space["inner"]), topic="bees")
    assert run.status == "capped"
    assert run.reason.startswith("budget: limit $3, spent $")
    assert 0 < spent(book) <= 3
    assert run.cost == pytest.approx(spent(book))


def test_the_kernel_limit_is_not_lost_on_the_way(book):
    orch(book.session, "budget 0.05")
    run = book.run(STEP.format(""), called=plain(book.space["inner"]), topic="bees")
    assert (run.status, book.scripted.requests) == ("capped", [])
    assert "notebook budget" in run.reason


def as_tool(book):
    @tool
    def look(topic: str) -> str:
        """Look it up."""
        return book.space["inner"](topic=topic).output

    book.script(
        lambda body: (
            Reply(tool_calls=[("look", {"topic": "bees"})])
            if "tools" in body and len(body["messages"]) == 1
            else "fine words"
        )
    )
    book.space["look"] = look
    return "%%react outer --no-cache --tools look\nWhat of {{ topic }}?"


def as_guard(book):
    book.space["fair"] = lambda text: bool(text.startswith("fine") and book.space["inner"](topic="guard").error)
    return "%%chain outer --no-cache --guard fair=block@output\nsay\n    Of {{ topic }}"


def as_gate(book):
    book.space["ok"] = lambda text: "fine" in book.space["inner"](topic=text).output
    return "%%chain outer --no-cache\nsay\n    Of {{ topic }}\ngate ok(say)"


def as_condition(book):
    book.space["wanted"] = lambda text: "fine" in book.space["inner"](topic=text).output
    return "%%chain outer --no-cache\nsay(when=wanted(topic))\n    Of {{ topic }}"


def as_items(book):
    book.space["listed"] = lambda text: [book.space["inner"](topic=text).output]
    return "%%chain outer --no-cache\nsay(over=listed(topic), item=it)\n    Of {{ it }}"


@pytest.mark.parametrize("place", [as_tool, as_guard, as_gate, as_condition, as_items])
def test_every_place_of_notebook_code_counts(book, place):
    run = book.run(place(book), topic="bees")
    assert run.status == "done", run.error
    inner = [row for row in run.receipt() if "/inner/" in row["step"]]
    assert len(inner) == 1
    assert run.cost == pytest.approx(spent(book))
    assert run.record.calls == len(book.scripted.requests)


def test_steps_inside_count_for_max_steps(book):
    run = book.run(STEP.format(" --max-steps 2"), called=plain(book.space["inner"]), topic="bees")
    assert (run.status, run.reason) == ("capped", "max-steps: 2 steps were not enough")
    assert len(book.scripted.requests) == 2


@pytest.mark.parametrize("way", [plain, tasks, threads, executor_made_inside, in_the_background])
def test_the_deadline_stops_what_is_inside(book, way):
    book.script(lambda body: Reply("late", latency=30))
    run = book.run(STEP.format(" --deadline 0.3"), called=way(book.space["inner"]), topic="bees")
    assert run.status == "capped"
    assert run.reason.startswith("deadline: 0.3 s were not enough")  # on a busy machine the function is named, too
    assert {r.status for r in book.session.runs if r.name == "inner"} <= {"cancelled", "capped"}


@pytest.mark.parametrize("way", [plain, tasks, threads])
def test_stop_stops_what_is_inside_and_lets_nothing_new_begin(book, way):
    begun = threading.Event()

    def reply(body):
        begun.set()
        return Reply("late", latency=30)

    book.script(reply)
    book.space.update(called=way(book.space["inner"]), topic="bees")
    run = book.define(STEP.format("")).start()
    assert begun.wait(10)
    run.cancel()
    assert run.status == "cancelled"
    inside = [r for r in book.session.runs if r.name == "inner"]
    assert {r.status for r in inside} == {"cancelled"}
    assert 1 <= len(inside) <= (1 if way is plain else 3)  # Stop may come before all of them have begun


def test_a_run_that_was_made_before_a_stop_is_not_started_after_it(book):
    made, stopped, over, told = threading.Event(), threading.Event(), threading.Event(), []

    def called(topic):
        late = book.space["inner"].prepare(topic=topic)
        made.set()
        stopped.wait(10)
        try:
            late.start()
        except RunError as error:
            told.append(f"{late.status}: {error}")
        over.set()

    book.space.update(called=called, topic="bees")
    run = book.define(STEP.format("")).start()
    requests = len(book.scripted.requests)
    assert made.wait(10)
    run.cancel()
    stopped.set()
    assert over.wait(10)
    assert [t.partition(":")[0] for t in told] == ["cancelled"]
    assert "inner was not started: the step" in told[0]
    assert len(book.scripted.requests) == requests


def test_a_resumed_run_pays_for_no_part_twice_and_counts_all_of_it(book):
    fails = [True]

    def called(topic):
        found = plain(book.space["inner"])(topic)
        if fails.pop():
            raise RuntimeError("half done")
        return found

    first = book.run(STEP.format(""), called=called, topic="bees")
    assert (first.status, len(book.scripted.requests)) == ("failed", 3)
    fails.append(False)
    again = first.resume()
    assert (again.status, len(book.scripted.requests)) == ("done", 4)
    assert again.cost == pytest.approx(spent(book))


def test_a_part_that_was_done_before_a_resume_still_counts(book):
    book.space["later"] = lambda text: {}[text]
    cell = STEP.format("") + "\nlast = later(say)"
    run = book.run(cell, called=plain(book.space["inner"]), topic="bees")
    assert run.status == "failed"
    before = run.cost
    book.space["later"] = str
    assert run.resume().status == "done"
    assert len(book.scripted.requests) == 4
    assert run.cost == pytest.approx(before) == pytest.approx(spent(book))


@pytest.mark.parametrize("place", [as_tool, as_guard, as_gate, as_condition])
def test_a_replay_makes_no_call_inside_either(book, place):
    run = book.run(place(book), topic="bees")
    made = len(book.scripted.requests)
    again = run.replay()
    assert (again.status, len(book.scripted.requests), again.cost) == ("done", made, 0.0)


def test_a_thread_that_outlives_a_stopped_step_starts_nothing(book):
    gate, errors = threading.Event(), []

    def late():
        gate.wait(10)
        try:
            book.space["inner"](topic="late")
        except RunError as error:
            errors.append(str(error))

    def called(topic):
        book.space["thread"] = threading.Thread(target=late)
        book.space["thread"].start()
        raise RuntimeError("no")

    run = book.run(STEP.format(""), called=called, topic="bees")
    gate.set()
    book.space["thread"].join(10)
    assert errors == [f"inner was not started: the step found#1 of run {run.id}, which calls it, ended"]
    assert book.scripted.requests == []


def test_threads_outside_a_run_are_as_they_were(book):
    book.run(STEP.format(""), called=plain(book.space["inner"]), topic="bees")
    runs = []
    thread = threading.Thread(target=lambda: runs.append(book.space["inner"](topic="alone")))
    thread.start()
    thread.join(10)
    assert runs[0].status == "done"
    assert book.session.lookup.latest(1)[0].caller is None


def test_a_call_on_the_loop_itself_is_refused_before_it_costs(book):
    async def called(topic):
        return book.space["inner"](topic=topic).output

    run = book.run(STEP.format(""), called=called, topic="bees")
    assert run.status == "failed"
    assert "await NAME.arun" in run.error
    assert book.scripted.requests == []


def test_the_audit_log_names_a_run_once(book, tmp_path: Path):
    log = tmp_path / "audit.jsonl"
    book.session.services.environ["ORCHMAGIC_AUDIT"] = str(log)
    book.session.reload()
    run = book.run(STEP.format(""), called=plain(book.space["inner"]), topic="bees")
    assert [(line["event"], line["run"]) for line in map(json.loads, log.read_text().split())] == [
        ("begun", run.id),
        ("ended", run.id),
    ]


def test_a_write_of_unknown_end_inside_ends_the_calling_run(book):
    @tool
    def pay(topic: str) -> str:
        """Pay."""
        raise WriteUnknown("pay was begun and its end is unknown")

    book.space["pay"] = pay
    calls = [("pay", {"topic": "bees"})]
    book.script(lambda body: Reply(tool_calls=calls) if "tools" in body else "fine")
    book.space["inner"] = book.define("%%react inner --no-cache --tools pay\n{{ topic }}")
    run = book.run(STEP.format(""), called=plain(book.space["inner"]), topic="bees")
    assert (run.status, run.error, len(book.scripted.requests)) == ("failed", "pay was begun and its end is unknown", 1)
