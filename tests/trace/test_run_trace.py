"""A trace stores each event once: a node that goes on after a pause visits its finished parts again."""

from telling import Told, done

from orchmagic.trace import events as e
from orchmagic.trace.reasons import Reason
from orchmagic.trace.run_trace import Trace

STARTED = e.CallStarted(call="extract#1.1", span="extract#1", model="small")
FINISHED = e.CallFinished(call="extract#1.1", text="a", model="small", provider="p")


def decided(expression):
    return e.Decided(span="gate_1#1", choice="reply", reason=Reason("decision", cause="gate", expression=expression))


def tags(trace):
    return [e.to_json(event)["event"] for event in trace.events]


def test_a_question_that_was_answered_is_not_stored_again():
    heard = []
    trace = Trace("r1", "t", "chain")
    trace.listeners.append(heard.append)
    for event in (STARTED, FINISHED, STARTED, FINISHED):
        trace.add(event)
    assert tags(trace) == ["call_started", "call_finished"]
    assert heard == trace.events


def test_a_decision_is_stored_once_and_another_one_beside_it():
    trace = Trace("r1", "t", "chain")
    for event in (decided("x"), decided("x"), decided("y")):
        trace.add(event)
    assert [event.reason.expression for event in trace.events] == ["x", "y"]


def test_a_tool_that_failed_is_run_again_and_one_that_answered_is_not():
    trace = Trace("r1", "t", "react")
    begun = e.ToolStarted(call="act#1.1", span="act#1", tool="find", arguments="{}")
    for event in (begun, e.ToolFinished(call="act#1.1", error="no"), begun, e.ToolFinished(call="act#1.1"), begun):
        trace.add(event)
    assert tags(trace) == ["tool_started", "tool_finished", "tool_started", "tool_finished"]


def test_what_another_process_stored_is_known_and_a_run_that_begins_again_forgets_it():
    first = Told().step("extract#1").ask("extract#1.1")(done("extract#1", "a"), decided("x")).trace
    trace = Trace("r1", "t", "chain")
    trace.load(first.events)
    trace.remark("once")
    for event in (STARTED, done("extract#1"), decided("x")):
        trace.add(event)
    assert trace.events == first.events
    trace.restart()
    for event in (STARTED, done("extract#1"), decided("x")):
        trace.add(event)
    assert tags(trace) == ["call_started", "node_finished", "decided"]
    assert trace.remarks == []
