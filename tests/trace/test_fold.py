"""From events to spans: sums that add up, statuses that are true wherever the trace breaks off, the path taken."""

import math
import time

import pytest
from telling import PROMPT, Told, done

from orchmagic import Reply
from orchmagic.graph.model import CAP, END, FAIL, Arm, Branch, Call, Graph
from orchmagic.trace import events as e
from orchmagic.trace.reasons import Reason
from orchmagic.trace.run_trace import Trace


@pytest.fixture
def told():
    return Told()


def test_steps_hold_asks_and_asks_hold_attempts(told):
    told.step("extract#1").ask("extract#1.1", attempts=("429",))(done("extract#1", "a"))
    record = told.record
    (step,) = record.steps
    (ask,) = record.inside(step)
    assert [s.status for s in record.inside(ask)] == ["retried", "done"]
    assert (step.kind, step.input, step.output, step.usage.total, step.cost) == ("call", "in", "a", 15, 0.25)
    assert tuple(map(str, ask.why)) == ("attempt 1 failed (429); tried again after 0.5 s",)


def test_steps_add_up_to_the_run_exactly(told):
    for n in range(1, 30):
        told.step(f"extract#{n}").ask(f"extract#{n}.1", usage=(n, 3), cost=0.1 * n)
        told.ask(f"extract#{n}.2", usage=(7, n), cost=None if n % 3 else 1e-9)(done(f"extract#{n}"))
    record = told.record
    assert record.cost == math.fsum(s.cost or 0.0 for s in record.steps)
    assert record.usage == sum((s.usage for s in record.steps), e.Usage())
    assert record.unpriced == 20
    assert record.calls == 58


def test_a_step_of_unknown_price_costs_none_but_a_refused_attempt_costs_nothing(told):
    told.step("extract#1").ask("extract#1.1", cost=None)
    assert (told.record.steps[0].cost, told.record.steps[0].unpriced) == (None, 1)
    who = {"call": "reply#1.1", "attempt": 1, "model": "m", "provider": "p"}
    told.step("reply#1")(e.CallStarted(call="reply#1.1", span="reply#1", model="m"), e.AttemptStarted(**who))
    told(e.AttemptFailed(**who, error="429", wait=None))
    assert (told.record.steps[1].cost, told.record.unpriced) == (0.0, 1)


def test_an_attempt_of_which_nobody_knows_what_it_spent_is_not_said_to_be_free(told):
    told.step("reply#1").ask("reply#1.1", cost=0.25)
    who = {"call": "reply#1.2", "attempt": 1, "model": "m", "provider": "p"}
    told(e.CallStarted(call="reply#1.2", span="reply#1", model="m"), e.AttemptStarted(**who))
    told(e.AttemptFailed(**who, error="no answer in 60 s", wait=None, cost=None))
    step = told.record.steps[0]
    assert (step.cost, step.unpriced, told.record.unpriced) == (0.25, 1, 1)


def test_a_cached_answer_costs_nothing_and_says_what_it_saved(told):
    told.step("extract#1")(
        e.CallStarted(call="extract#1.1", span="extract#1", model="small"),
        e.CacheHit(call="extract#1.1", age=60.0, usage=e.Usage(input=9, output=9), cost=0.5),
        e.CallFinished(call="extract#1.1", text="a", model="small", provider="p"),
        done("extract#1"),
    )
    record = told.record
    (ask,) = record.inside(record.steps[0])
    assert (ask.age, ask.saved, ask.usage.total, ask.cost, ask.why) == (60.0, 0.5, 0, 0.0, ())
    assert (record.calls, record.cached, record.cost) == (0, 1, 0.0)


def test_a_reply_that_did_not_fit_is_retried_and_the_complaint_is_told(told):
    longer = ({"content": "q"}, {"content": "bad"}, {"content": "That reply does not fit: severity"})
    told.step("extract#1").ask("extract#1.1").ask("extract#1.2", messages=longer)
    first, second = told.record.inside(told.record.steps[0])
    assert (first.status, second.status) == ("retried", "done")
    assert [(w.kind, w.text) for w in second.why] == [("called_again", "That reply does not fit: severity")]
    assert told.record.calls == 2


def test_a_fallback_is_told_once_and_its_attempts_stay_apart(told):
    told.step("extract#1")(e.CallStarted(call="extract#1.1", span="extract#1", model="small"))
    for model, ends in (("small", e.AttemptFailed), ("large", e.AttemptFinished)):
        who = {"call": "extract#1.1", "attempt": 1, "model": model, "provider": "p"}
        told(e.AttemptStarted(**who))
        if ends is e.AttemptFailed:
            told(e.AttemptFailed(**who, error="500"))
            told(e.FellBack(call="extract#1.1", source="small", target="large", error="500"))
        else:
            told(e.AttemptFinished(**who, usage=e.Usage(), cost=0.0))
    told(e.CallFinished(call="extract#1.1", text="a", model="large", provider="p"))
    (ask,) = told.record.inside(told.record.steps[0])
    assert tuple(map(str, ask.why)) == ("switched from small to large: 500",)
    assert [(s.model, s.status) for s in told.record.inside(ask)] == [("small", "failed"), ("large", "done")]


@pytest.mark.parametrize(
    ("end", "status"), [("cancelled", "cancelled"), ("failed", "failed"), ("capped", "cancelled"), (None, "running")]
)
def test_what_is_open_takes_the_status_of_the_end(told, end, status):
    told.step("extract#1")(e.CallStarted(call="extract#1.1", span="extract#1", model="m"))
    told(e.AttemptStarted(call="extract#1.1", attempt=1, model="m", provider="p"))
    if end:
        told(e.RunFinished(status=end))
    spans = [s for s in told.record.spans if s.status != "skipped"]  # steps that a failed run did not come to
    assert [s.status for s in spans] == [status] * 3
    assert [s.end for s in spans] == [None if end is None else 4.0] * 3


def test_what_ran_beside_the_step_that_failed_was_cancelled(told):
    told.step("extract#1").step("reply#1")(e.NodeFailed(span="reply#1", error="no"), e.RunFinished(status="failed"))
    assert (told.status("reply#1"), told.status("extract#1")) == ("failed", "cancelled")


def test_a_cancelled_attempt_has_not_failed(told):
    who = {"call": "extract#1.1", "attempt": 1, "model": "m", "provider": "p"}
    told.step("extract#1")(e.CallStarted(call="extract#1.1", span="extract#1", model="m"), e.AttemptStarted(**who))
    told(e.AttemptFailed(**who, error="cancelled", error_kind="cancelled"))
    told(e.CallFailed(call="extract#1.1", error="cancelled", error_kind="cancelled"))
    told(e.RunFinished(status="cancelled"))
    assert {s.status for s in told.record.spans} == {"cancelled"}


def test_events_whose_beginning_is_missing_open_their_spans():
    told = Told()
    told(e.NodeFailed(span="extract#1", error="the template cannot be filled in"), e.RunFinished(status="failed"))
    assert (told.record.steps[0].id, told.record.steps[0].status) == ("extract#1", "failed")
    assert {s.status for s in told.record.steps[1:]} == {"skipped"}
    for event in (
        done("gate_1#1"),
        e.CallFinished(call="reply#1.1", text="a", model="m", provider="p"),
        e.CacheHit(call="reply#1.1", age=1.0, usage=e.Usage(), cost=None),
        e.AttemptFinished(call="reply#1.1", attempt=1, model="m", provider="p", usage=e.Usage(input=1), cost=0.0),
        e.ToolFinished(call="tools#1.1", result="r"),
        e.Decided(span="gate_1#1", choice="reply", reason=Reason("decision", cause="label")),
        e.InputReceived(span="human#1", reply="yes"),
    ):
        assert Told()(event).record.spans


def test_every_prefix_of_a_trace_can_be_read(notebook):
    notebook.script(Reply(fault="500"), {"name": "lamp"}, "the reply")
    cell = "%%chain t --no-cache\nextract -> name: str\n    {{ text }}\ngate extract.name else retry 2\nreply\n    x\n"
    events = notebook.run(cell, text="t").trace.events
    for length in range(len(events) + 1):
        trace = Trace("r", "t", "chain")
        trace.events = events[:length]
        record = trace.snapshot()
        assert record.usage == sum((s.usage for s in record.steps), e.Usage())


def test_a_prompt_that_cannot_be_filled_in_leaves_a_readable_run(notebook):
    run = notebook.run("%%chain t\nreply\n    {{ x.nope.deep }}\n", x={})
    assert (run.status, run.record.steps[0].status) == ("failed", "failed")


def test_tools_stand_inside_their_step(told):
    told.step("tools#1", "tools")(
        e.ToolStarted(call="tools#1.1", span="tools#1", tool="find", arguments="{}"),
        e.ToolStarted(call="tools#1.2", span="tools#1", tool="refund", arguments="{}"),
        e.ToolFinished(call="tools#1.2", error="Error: no"),
        e.ToolFinished(call="tools#1.1", result="found"),
        done("tools#1"),
    )
    record = told.record
    assert [(s.name, s.status, s.seconds) for s in record.inside(record.steps[0])] == [
        ("find", "done", 3.0),
        ("refund", "failed", 1.0),
    ]


def test_a_waiting_run_waits_and_goes_on(told):
    told.step("reply#1", "approve")(e.InputRequested(span="reply#1", question="ok?"), e.RunFinished(status="waiting"))
    assert (told.record.status, told.status("reply#1")) == ("waiting", "waiting")
    told(e.InputReceived(span="reply#1", reply="yes"))
    assert (told.record.status, told.status("reply#1")) == ("running", "running")
    told(done("reply#1", "yes"), e.RunFinished(status="done"))
    assert (told.record.status, told.status("reply#1")) == ("done", "done")
    assert len(told.record.steps) == 1


def test_a_skipped_step_keeps_its_kind_and_reason(told):
    told(e.NodeSkipped(node="gate_1", span="gate_1#1", reason=Reason("condition_false", expression="x")))
    (step,) = told.record.steps
    assert (step.kind, step.status, step.seconds, *map(str, step.why)) == ("gate", "skipped", 0.0, "when x is false")


def test_the_taken_path_goes_along_arrows_to_the_end(told):
    for span in ("extract#1", "gate_1#1", "extract#2", "gate_1#2", "reply#1"):
        told.step(span)(done(span))
    told(e.RunFinished(status="done"))
    assert told.record.picture.taken == (
        ("extract", "gate_1"),
        ("gate_1", "extract"),
        ("gate_1", "reply"),
        ("reply", END),
    )


def test_a_way_out_that_was_chosen_is_taken_and_said_in_words(told):
    told.step("extract#1").step("gate_1#1", "gate")(done("gate_1#1", False))
    false = Reason("decision", cause="gate", expression="extract", text="extract = ''")
    told(e.Decided(span="gate_1#1", choice=FAIL, reason=false), e.RunFinished(status="failed"))
    assert told.record.picture.taken[-1] == ("gate_1", FAIL)
    assert tuple(map(str, told.record.steps[1].why)) == ("→ failed: extract is false (extract = '')",)


def test_a_decision_tells_how_sure_it_was(told):
    told.step("extract#1")(
        e.Decided(
            span="extract#1",
            choice="reply",
            reason=Reason("decision", cause="label"),
            confidence=0.93,
            basis="logprobs",
        )
    )
    assert tuple(map(str, told.record.steps[0].why)) == ("→ reply (confidence 0.93, logprobs)",)


def test_a_deadline_takes_no_way_out():
    loop = Graph("g", "react", (Call("agent", PROMPT),), (Branch("agent", "x", (Arm(True, END),), CAP),), ("agent",))
    told = Told(loop).step("agent#1")(e.RunFinished(status="capped", reason="deadline: 1 s were not enough"))
    assert told.record.picture.taken == ()


def test_ten_thousand_spans_are_read_in_linear_time(told):
    told.step("extract#1")
    for n in range(3_500):
        told.ask(f"extract#1.{n}")
    began = time.process_time()
    assert len(told.record.spans) > 7_000
    assert time.process_time() - began < 2
