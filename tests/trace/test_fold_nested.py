"""Items, votes, inner graphs, pauses and records: nested spans that add up, whatever failed or waits."""

import time

import pytest
from telling import PROMPT, Told, done

from orchmagic.graph.model import END, FAIL, START, Call, Each, Fork, Graph, Join, Votes
from orchmagic.trace import events
from orchmagic.trace.reasons import Reason

EACH = Graph(
    "digest",
    "mapreduce",
    (Call("map", PROMPT, each=Each("chunks", "chunk")), Call("vote", PROMPT, votes=Votes(3))),
    (Fork(START, ("map", "vote")),),
    ("map",),
)


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def wide():
    return Told(EACH)


def item(told, span, error=None):
    told(events.NodeStarted(span=span, node="map", kind="item", input=f"text of {span}"))
    told.ask(f"{span}.1")
    return told(events.NodeFailed(span=span, error=error) if error else done(span, "a"))


def test_items_stand_inside_their_step_and_add_up_to_it(wide):
    wide.step("map#1")
    for number in (1, 2, 3):
        item(wide, f"map#1/{number}")
    wide(done("map#1", ["a", "a", "a"]), events.RunFinished(status="done"))
    (step,) = wide.record.steps
    items = wide.record.inside(step)
    assert [(s.kind, s.name, s.input) for s in items][-1] == ("item", "3", "text of map#1/3")
    assert sum((s.usage for s in items), events.Usage()) == step.usage == wide.record.usage
    assert wide.record.calls == 3


def test_a_run_whose_items_failed_is_done_and_says_so(wide):
    wide.step("map#1")
    for number in (1, 2, 3):
        item(wide, f"map#1/{number}", "no" if number == 2 else None)
    wide(done("map#1"), events.RunFinished(status="done"))
    record = wide.record
    assert (record.status, record.reason) == ("done", "1 of 3 rows failed in map")
    assert [s.status for s in record.inside(record.steps[0])] == ["done", "failed", "done"]
    assert record.steps[0].status == "done"


def test_an_isolated_step_stays_failed_when_the_run_goes_on(wide):
    wide.step("vote#1")(events.NodeFailed(span="vote#1", error="no"), done("vote#1"))
    wide.step("map#1")(done("map#1", []), events.RunFinished(status="done"))
    assert (wide.status("vote#1"), wide.status("map#1"), wide.record.reason) == ("failed", "done", "vote failed")


def test_votes_are_named_and_their_agreement_is_told(wide):
    wide.step("vote#1")
    for number in (1, 2, 3):
        wide(events.NodeStarted(span=f"vote#1/v{number}", node="vote", kind="vote"), done(f"vote#1/v{number}", "a"))
    wide(
        events.Decided(
            span="vote#1",
            choice="a",
            reason=Reason("decision", cause="votes", used=2, among=3),
            confidence=2 / 3,
            basis="vote agreement",
        ),
        done("vote#1", {"value": "a", "agreement": 2 / 3}),
    )
    (step,) = wide.record.steps
    assert [s.name for s in wide.record.inside(step)] == ["vote 1", "vote 2", "vote 3"]
    assert tuple(map(str, step.why)) == ("→ a: 2 of 3 votes (agreement 67%)",)


def test_inner_steps_stand_inside_their_item_and_values_are_unpacked(wide):
    wide.step("map#1", "sub")(events.NodeStarted(span="map#1/2", node="map", kind="item"))
    wide(events.NodeStarted(span="map#1/2/router#1", node="router", kind="call"))
    wide.ask("map#1/2/router#1.1")(done("map#1/2/router#1", "x"))
    wide(done("map#1/2", {"step": "router", "value": "x"}), done("map#1", [{"step": "router", "value": "x"}]))
    (step,) = wide.record.steps
    (inner,) = wide.record.inside(step)
    (router,) = wide.record.inside(inner)
    assert (router.name, router.usage.total, step.usage.total) == ("router", 15, 15)
    assert (inner.output, step.output) == ("x", ["x"])
    assert [s.kind for s in wide.record.below(step)] == ["item", "call", "ask", "attempt"]


def test_a_part_whose_beginning_is_missing_opens_all_it_is_inside(wide):
    wide(events.AttemptStarted(call="map#1/4/inner#2.1", attempt=1, model="m", provider="p"))
    assert [(s.id, s.kind) for s in wide.record.spans] == [
        ("map#1", "call"),
        ("map#1/4", "item"),
        ("map#1/4/inner#2", "call"),
        ("map#1/4/inner#2.1", "ask"),
        ("map#1/4/inner#2.1/1", "attempt"),
    ]


def test_an_answer_that_was_paid_before_counts_and_a_replayed_one_does_not(told):
    for call, paid in (("extract#1.1", True), ("extract#1.2", False)):
        told(events.CallStarted(call=call, span="extract#1", model="m"))
        told(events.JournalHit(call=call, usage=events.Usage(input=4, output=2), cost=0.5, paid=paid))
        told(events.CallFinished(call=call, text="a", model="m", provider="p"))
    record = told.record
    assert (record.cost, record.usage.total, record.calls, record.recalled) == (0.5, 6, 1, 1)
    assert [(s.recalled, s.saved) for s in record.inside(record.steps[0])] == [(True, None), (True, 0.5)]


def test_what_a_waiting_part_is_inside_waits_too(told):
    told.step("extract#1", "sub").step("extract#1/ok#1", "approve")
    told(
        events.InputRequested(
            span="extract#1/ok#1", question="ok?", choices=("approve", "reject"), value={"tool": "pay"}
        )
    )
    told(events.RunFinished(status="waiting", reason="ok?"))
    assert [s.status for s in told.record.spans] == ["waiting", "waiting"]
    assert told.record.spans[1].asked == {
        "question": "ok?",
        "choices": ["approve", "reject"],
        "value": {"tool": "pay"},
    }


def test_what_still_waits_is_visited_anew_without_asking_again(told):
    for span in ("extract#1", "reply#1"):
        told.step(span, "approve")(events.InputRequested(span=span, question="ok?"))
    told(
        events.RunFinished(status="waiting"),
        events.InputReceived(span="extract#1", reply={"action": "reject", "why": "no"}),
    )
    told.step("reply#1", "approve")(done("extract#1"), events.RunFinished(status="waiting"))
    assert (told.status("extract#1"), told.status("reply#1")) == ("done", "waiting")
    assert tuple(map(str, told.record.steps[0].why)) == ("rejected by a person: no",)


def test_a_tool_that_waits_for_approval_is_known_before_it_runs(told):
    told.step("tools#1", "tools")(events.InputRequested(span="tools#1.1", question="Run pay?", choices=("approve",)))
    told(events.RunFinished(status="waiting"))
    assert (told.record.spans[1].kind, told.status("tools#1.1"), told.status("tools#1")) == ("tool", *["waiting"] * 2)
    told(
        events.InputReceived(span="tools#1.1", reply={"action": "approve"}),
        events.ToolStarted(call="tools#1.1", span="tools#1", tool="pay", arguments="{}"),
        events.ToolFinished(call="tools#1.1", result="ok"),
    )
    (tool,) = told.record.inside(told.record.steps[0])
    assert (tool.name, tool.status, *map(str, tool.why)) == ("pay", "done", "approved by a person")


def test_the_scores_of_the_rounds_are_told(told):
    rounds = [{"round": n, "score": score, "value": "x"} for n, score in enumerate((4, 8.5, 6), 1)]
    told.step("extract#1", "code")(done("extract#1", rounds))
    assert tuple(map(str, told.record.steps[0].why)) == ("scores by round: 4, 8.5, 6; best: round 2",)


def test_a_join_is_reached_from_all_its_sources_and_a_start_leads_to_all():
    nodes = tuple(Call(name, PROMPT) for name in ("a", "b", "merge"))
    links = (Fork(START, ("a", "b")), Join(("a", "b"), "merge"))
    told = Told(Graph("p", "parallel", nodes, links, ("merge",)))
    for span in ("b#1", "a#1", "merge#1"):
        told.step(span)(done(span))
    told(events.RunFinished(status="done"))
    ways = {(START, "a"), (START, "b"), ("a", "merge"), ("b", "merge"), ("merge", END)}
    assert set(told.record.picture.taken) == ways


def test_the_picture_counts_the_items(wide):
    wide.step("map#1")
    for number in (1, 2):
        item(wide, f"map#1/{number}")
    assert wide.record.picture.note("map") == "\u00d72 chunk"


def test_how_an_inner_graph_ended_is_not_the_end_of_the_run(told):
    told.step("extract#1", "sub")(
        events.Decided(
            span="extract#1",
            choice="__cap__",
            reason=Reason("decision", cause="limit", detail="max-steps: 3 were not enough"),
        )
    )
    assert tuple(map(str, told.record.steps[0].why)) == ("→ stopped at its limit: max-steps: 3 were not enough",)
    assert told.record.picture.taken == ()


def test_a_way_out_is_known_by_its_word(told):
    told.step("extract#1").step("gate_1#1", "gate")(
        events.Decided(span="gate_1#1", choice="failed", reason=Reason("decision", cause="gate", expression="x"))
    )
    assert told.record.picture.taken[-1] == ("gate_1", FAIL)


def test_reading_items_takes_time_in_proportion_to_their_number():
    def per_item(number: int) -> float:
        told = Told(EACH)
        told.step("map#1")
        for place in range(1, number + 1):
            item(told, f"map#1/{place}")
        began = time.process_time()
        assert len(told.record.spans) == 3 * number + 1
        return (time.process_time() - began) / number

    assert min(per_item(2_000) for _ in range(3)) < 4 * max(per_item(100) for _ in range(3))


def test_steps_after_a_failed_gate_are_skipped(notebook):
    notebook.script("one")
    run = notebook.run("%%chain\nfirst\n    A\ngate first == 'two'\nsecond\n    B\nthird\n    C\n")
    assert [(s.name, s.status) for s in run.record.steps] == [
        ("first", "done"), ("gate_1", "done"), ("second", "skipped"), ("third", "skipped"),
    ]  # fmt: skip
    assert len(notebook.scripted.requests) == 1


def test_after_a_router_that_fails_every_handler_is_skipped_and_the_other_way_round_none(notebook):
    cell = "%%route\na: x\n    A {{ q }}\nb: y\n    B {{ q }}\n"
    notebook.script("no label", "none", {"label": "a"}, "done")
    assert [s.status for s in notebook.run(cell, q="1").record.steps] == ["failed", "skipped", "skipped"]
    run = notebook.run(cell, q="2")
    assert ([s.name for s in run.record.steps], run.error) == (["router", "a"], None)
