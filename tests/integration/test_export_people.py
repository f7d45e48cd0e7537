"""A person approves, edits or rejects: in the module as in the notebook, and nothing is done twice."""

from __future__ import annotations

import json

import pytest
from exported_cells import APPROVED, CAREFUL, TOOLS
from exporting import Both, Case

from orchmagic.models.scripting.reply import Reply

pytestmark = pytest.mark.slow


@pytest.fixture
def both(tmp_path):
    return Both(tmp_path)


LETTER = {"subject": "Hi", "body": "Dear Ann"}


@pytest.mark.parametrize(
    ("answer", "sent", "status"),
    [
        ({"action": "approve"}, "Send Hi: Dear Ann", "done"),
        ({"action": "edit", "value": {"subject": "Hello", "body": "Dear all"}}, "Send Hello: Dear all", "done"),
        ({"action": "reject", "why": "no"}, None, "rejected"),
    ],
)
async def test_a_person_approves_edits_or_rejects_a_value(both, answer, sent, status):
    asked, output, ended = await both.compare(Case(APPROVED, [LETTER, "sent"], answers=(answer,), customer="Ann"))
    assert ended == status
    assert [r["messages"][0]["content"] for r in asked[1:]] == ([sent] if sent else [])
    assert output == ("sent" if sent else None)


CALLS = [("find_order", {"order_id": "A1"}), ("refund", {"order_id": "A1", "cents": 5}), ("refund", {"order": 1})]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"action": "approve"}, "refunded 5 of A1: None"),
        ({"action": "edit", "value": {"order_id": "A1", "cents": 3}}, "refunded 3 of A1: None"),
        ({"action": "reject", "why": "too much"}, "Error: a person rejected this call of refund: too much"),
        ({"action": "reject"}, "Error: a person rejected this call of refund: no reason was given"),
    ],
)
async def test_a_person_approves_edits_or_rejects_a_tool_call(both, answer, told):
    case = Case(CAREFUL, [Reply(tool_calls=CALLS), "done"], code=TOOLS, answers=(answer,), question="A1?")
    asked, output, _ = await both.compare(case)
    results = [m["content"] for m in asked[1]["messages"] if m["role"] == "tool"]
    assert (output, results[:2]) == ("done", ["shipped", told])
    assert results[2].startswith("Error: bad arguments for refund")


async def test_each_tool_call_is_approved_on_its_own(both):
    calls = [("refund", {"order_id": "A1", "cents": n}) for n in (1, 2)]
    answers = ({"action": "approve"}, {"action": "reject", "why": "once is enough"})
    case = Case(CAREFUL, [Reply(tool_calls=calls), "done"], code=TOOLS, answers=answers, question="A1?")
    asked, _, _ = await both.compare(case)
    told = [m["content"] for m in asked[1]["messages"] if m["role"] == "tool"]
    assert told == ["refunded 1 of A1: None", "Error: a person rejected this call of refund: once is enough"]


def _team(body):
    text = "\n".join(str(m["content"]) for m in body["messages"])
    if "You lead a team" in text:
        return {"next": "helper", "task": "do it", "answer": ""}
    if "Plan." in text:
        return {"steps": ["one"]}
    return "DRAFT" if "Draft" in text else "sent"


INNER = "%%chain inner\ndraft\n    Draft: {{ ticket }}\n"
NESTINGS = {
    "call": "%%chain outer\nx = inner(ticket=ticket)\nsend\n    SEND {{ x }}\n",
    "gated": "%%chain outer\nx(run=inner)\ngate True else stop 'no'\nsend\n    SEND {{ x }}\n",
    "over": "%%chain outer\nx(run=inner, over=texts, item=ticket)\nsend\n    SEND {{ x }}\n",
    "deep": "%%chain outer\nx = middle(ticket=ticket)\nsend\n    SEND {{ x }}\n",
    "handler": "%%route outer\nrouter = pick(ticket)\na(run=inner): one\nb: two\n    SEND {{ ticket }}\n",
    "section": "%%parallel outer\na(run=inner)\nb = ticket + '!'\nmerge\n    SEND {{ a }} {{ b }}\n",
    "worker": "%%plan outer\nplan -> steps: list[str]\n    Plan.\nexecute(run=inner)\nanswer\n    SEND {{ results }}\n",
    "agent": "%%team outer\nsupervisor\n    Goal.\nhelper(run=inner): helps\n",
}
ENDS = {
    "reject": ('approve "Send it?"\n', ({"action": "reject", "why": "too long"},), "rejected"),
    "stop": ('gate len(draft) < 3 else stop "too long"\n', (), "done"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("nesting", NESTINGS)
async def test_what_ends_an_inner_graph_ends_the_module_too(both, nesting, end):
    controls, answers, status = ENDS[end]
    name = {"worker": " {{ step }}", "agent": " {{ task }}"}.get(nesting, "")
    inner = (
        f"{INNER.rstrip()}{name}\n{controls}",
        "%%chain middle\ny = inner(ticket=ticket)\nsend\n    SEND {{ y }}\n",
    )
    code = "def pick(ticket):\n    return 'a'\n"
    texts = {"texts": ["hello"]} if nesting == "over" else {"ticket": "hello"}
    case = Case(NESTINGS[nesting], _team, inner=inner, code=code, answers=answers, **texts)
    asked, output, ended = await both.compare(case)
    assert (output, ended) == (None, status)
    assert "DRAFT" not in str(asked)


@pytest.mark.parametrize("end", ENDS)
async def test_the_else_of_a_gate_goes_on_in_the_module_too(both, end):
    controls, answers, _ = ENDS[end]
    cell = "%%chain outer\nx = inner(ticket=ticket)\ngate x else goto other\nsend\n    SEND\nother\n    OTHER\n"
    case = Case(cell, ["DRAFT", "instead"], inner=(INNER + controls,), answers=answers, ticket="hello")
    _, output, ended = await both.compare(case)
    assert (output, ended) == ("instead", "done")


@pytest.mark.parametrize("end", ["retry 1", "goto draft", 'stop "not sent"'])
async def test_the_else_of_an_approval_is_the_same_in_the_module(both, end):
    cell = (
        f'%%chain c\ndraft\n    Draft {{{{ ticket }}}}\napprove "Send it?" else {end}\nsend\n    SEND {{{{ draft }}}}\n'
    )
    answers = ({"action": "reject", "why": "too long"}, {"action": "approve"})[: 1 if "stop" in end else 2]
    asked, output, ended = await both.compare(Case(cell, ["one", "two", "sent"], answers=answers, ticket="hello"))
    assert (output, ended) == ((None, "rejected") if "stop" in end else ("sent", "done"))
    assert ("too long" in str(asked)) is ("retry" in end)


async def test_the_model_reads_the_call_that_a_person_edited(both):
    answer = {"action": "edit", "value": {"order_id": "A1", "cents": 3}}
    case = Case(CAREFUL, [Reply(tool_calls=CALLS), "done"], code=TOOLS, answers=(answer,), question="A1?")
    asked, _, _ = await both.compare(case)
    told = next(m["tool_calls"] for m in asked[1]["messages"] if m.get("tool_calls"))
    assert [json.loads(call["function"]["arguments"]) for call in told][1] == {"order_id": "A1", "cents": 3}


def test_what_a_module_leaves_out_of_an_inner_cells_safety_is_said(both):
    lines = "--guard secrets=block --retry 0 --thread told --timeout 7"
    inner = f"%%chain inner {lines}\ndraft\n    Draft: {{{{ ticket }}}}\n"
    case = Case("%%chain outer\nx = inner(ticket=ticket)\n", ["x"], inner=(inner,), ticket="hello").retried(2)
    text = both.exported(case)
    assert "the guards of inner: secrets=block" in text
    assert "`--retry 0` of inner" in text
    assert "the conversation 'told' (`--thread`) of inner" in text
    assert "DRAFT_TIMEOUT = 7.0" in text
