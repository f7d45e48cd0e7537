"""A person approves, edits or rejects: in the module as in the notebook, and nothing is done twice."""

from __future__ import annotations

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
        ({"action": "reject", "why": "no"}, None, "done"),
    ],
)
async def test_a_person_approves_edits_or_rejects_a_value(both, answer, sent, status):
    asked, output, ended = await both.compare(Case(APPROVED, [LETTER, "sent"], answers=(answer,), customer="Ann"))
    assert ended == status
    assert [r["messages"][0]["content"] for r in asked[1:]] == ([sent] if sent else [])
    assert output == ("sent" if sent else LETTER)


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
