"""A run ends in one of five ways, and whatever ends it, its trace is complete and its partial result is kept."""

import asyncio
import threading
import time

import pytest

from orchmagic import Reply, Script, install
from orchmagic.errors import InputError
from orchmagic.models.providers.scripted import remove
from orchmagic.trace.events import Usage

TWO = "%%chain two --no-cache{options}\nfirst\n    A {{{{ topic }}}}\nsecond\n    B {{{{ first }}}}\n"


def cell(options=""):
    return TWO.format(options=f" {options}" if options else "")


def test_steps_add_up_to_the_run(notebook):
    notebook.script("one", "two")
    record = notebook.run(cell(), topic="x").record
    assert sum(s.usage.total for s in record.steps) == record.usage.total > 0
    assert record.calls == 2
    assert [s.name for s in record.steps] == ["first", "second"]


@pytest.mark.slow
def test_a_deadline_caps_the_run_and_keeps_what_there_is(notebook):
    notebook.script("one", Reply("never", latency=60))
    began = time.monotonic()
    run = notebook.run(cell("--deadline 2s"), topic="x")
    assert (run.status, run.output) == ("capped", "one")
    assert "deadline" in run.reason
    assert time.monotonic() - began < 5


def test_a_hung_notebook_function_ends_at_the_deadline(notebook):
    stop = threading.Event()
    try:
        run = notebook.run("%%chain --deadline 0.3s\nx = wait()\n", wait=lambda: stop.wait(30))
        assert run.status == "capped"
    finally:
        stop.set()


@pytest.mark.slow
def test_a_timeout_ends_an_attempt_and_the_fallback_answers(notebook):
    large = install(Script(["rescued"]), "large")
    notebook.script(Reply("never", latency=60), Reply("never", latency=60), Reply("never", latency=60))
    notebook.session.services.environ.update({"ORCHMAGIC_RETRY": "0"})
    run = notebook.run("%%chain --timeout 1s --fallback scripted/large\na\n    A\n")
    remove("large")
    assert run.output == "rescued"
    assert len(large.requests) == 1
    ask = next(s for s in run.record.spans if s.kind == "ask")
    assert any(reason.kind == "fell_back" for reason in ask.why)


def test_a_token_budget_stops_before_the_call_that_could_pass_it(notebook):
    notebook.script(Reply("one", usage=Usage(input=300, output=100)), "two")
    run = notebook.run(cell("--max-tokens 1400"), topic="x")
    assert (run.status, run.output) == ("capped", "one")
    assert len(notebook.scripted.requests) == 1


def test_cancel_leaves_a_readable_partial_trace(notebook):
    notebook.script("one", Reply("never", latency=60))
    notebook.space["topic"] = "x"
    run = notebook.define(cell()).start()
    heard = threading.Event()
    run.trace.listeners.append(lambda e: heard.set() if getattr(e, "call", "") == "second#1.1" else None)
    if not any(getattr(e, "call", "") == "second#1.1" for e in run.trace.events):
        assert heard.wait(10)
    began = time.monotonic()
    run.cancel()
    assert time.monotonic() - began < 10  # of sixty
    assert (run.status, run.first) == ("cancelled", "one")
    assert [s.status for s in run.record.steps] == ["done", "cancelled"]


async def test_a_run_can_be_awaited_and_cancelled_by_its_caller(notebook):
    notebook.script(Reply("never", latency=60))
    notebook.space["topic"] = "x"
    made = notebook.define(cell())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await made.arun()
    assert made.last.status == "cancelled"


async def test_the_compiled_graph_runs_on_any_loop(notebook):
    notebook.script("one", "two")
    state = await notebook.define(cell()).graph.ainvoke({"topic": "x"})
    assert (state["first"], state["second"]) == ("one", "two")


def test_a_wrong_key_is_one_line_and_no_second_call(notebook):
    notebook.script(Reply(fault="401"))
    run = notebook.run(cell("--fallback scripted"), topic="x")
    assert run.status == "failed"
    assert len(notebook.scripted.requests) == 1
    assert "\n" not in run.error
    assert run.record.steps[0].status == "failed"


@pytest.mark.parametrize(
    ("args", "inputs", "told"),
    [
        ((), {}, "needs topic"),
        ((), {"topc": 1}, "did you mean 'topic'"),
        (("a", "b"), {}, "takes 1 inputs"),
        ((), {"topic": object()}, "which is not JSON"),
    ],
)
def test_wrong_inputs_are_told_before_anything_runs(notebook, args, inputs, told):
    with pytest.raises(InputError, match=told):
        notebook.define(cell())(*args, **inputs)
    assert notebook.scripted.requests == []


def test_one_step_runs_on_its_own(notebook):
    notebook.script("alone")
    made = notebook.define(cell())
    assert made.step("second")(first="given").output == "alone"
    assert notebook.prompts == ["B given"]
    with pytest.raises(InputError, match="did you mean 'second'"):
        made.step("secnd")


def test_an_unknown_step_of_a_run_offers_the_nearest(notebook):
    notebook.script("one", "two")
    run = notebook.run(cell(), topic="x")
    with pytest.raises(AttributeError, match="did you mean 'first'"):
        _ = run.frst


def test_a_step_named_like_an_attribute_is_reached_by_index(notebook):
    notebook.script("hot")
    run = notebook.run("%%chain --no-cache\nstatus\n    A\n")
    assert (run.status, run["status"]) == ("done", "hot")


def test_the_receipt_has_a_row_for_every_question(notebook):
    notebook.script(Reply(fault="500"), "one", "two")
    run = notebook.run(cell(), topic="x")
    rows = run.receipt()
    assert [(r["step"], r["attempts"], r["cache"]) for r in rows] == [("first", 2, "miss"), ("second", 1, "miss")]
    assert sum(r["input_tokens"] + r["output_tokens"] for r in rows) == run.tokens


def test_resuming_a_run_that_does_not_wait_is_refused(notebook):
    notebook.script("one", "two")
    with pytest.raises(InputError, match="only a waiting run"):
        notebook.run(cell(), topic="x").resume("hello")
