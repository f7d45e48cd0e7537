"""A person answers a waiting run with buttons, in JupyterLab."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.enable_socket]

SETUP = """%load_ext orchmagic
%config OrchMagic.model = "scripted"
from orchmagic import Reply, Script, install
mail = "Please send the 12.50 to Ann <b>Lee</b>"
refunds = []
def refund(order_id: str, amount: float) -> str:
    "Give money back."
    refunds.append((order_id, amount))
    return f"refunded {amount}"
"""
PAYOUT = """%%chain payout --no-cache
draft -> to: str, amount: float
    Who gets how much? {{ mail }}
approve "Send this payout?"
reply
    Tell {{ draft.to }} that {{ draft.amount }} is on its way."""
SCRIPT = """install(Script([Reply({"to": "Ann <b>Lee</b>", "amount": 12.5}), Reply("The money is on its way.", latency=6)]))
None"""
AGENT = """%%react orders --no-cache --tools refund --approve refund
Give back what was paid twice: 9 for A1, 7 for B2."""
AGENT_SCRIPT = """install(Script([
    Reply(tool_calls=[("refund", {"order_id": "A1", "amount": 9.0})]),
    Reply(tool_calls=[("refund", {"order_id": "B2", "amount": 7.0})]),
    Reply("One was refunded."),
]))
None"""
ASK = """%%chain ask --no-cache
first
    Say something
gate "yes" in first else ask "May I go on?"
reply
    Go on"""


def opened(notebook, script, cell, *more):
    book = notebook([SETUP, script, cell, *more])
    for index in range(3):
        book.run(index)
    return book, book.output(2)


def shot(book, area, name):
    area.evaluate("e => e.closest('.jp-Cell').scrollIntoView({block: 'start'})")
    book.page.wait_for_timeout(400)  # the picture is taken when the page stands still
    book.shot(f"approval-{name}")


def button(area, name):
    return area.get_by_role("button", name=name, exact=True)


def test_approve_resumes_the_run_without_holding_the_kernel(notebook):
    book, area = opened(notebook, SCRIPT, PAYOUT, "'the kernel is free'")
    button(area, "Approve").wait_for(timeout=30_000)
    text = area.inner_text()
    assert "Send this payout?" in text
    assert '"amount": 12.5' in text
    assert "Ann <b>Lee</b>" in text
    assert area.locator(".om-answer b").count() == 0
    shot(book, area, "waiting")
    button(area, "Approve").click()
    book.run(3)
    assert "the kernel is free" in book.output(3).inner_text()
    assert "The money is on its way." not in area.inner_text()
    area.get_by_text("✓ Approved").wait_for(timeout=30_000)
    shot(book, area, "approved")
    area.get_by_text("The money is on its way.").first.wait_for(timeout=30_000)
    area.locator(".js-plotly-plot .bars").nth(1).wait_for(timeout=30_000)
    assert button(area, "Approve").count() == 0
    shot(book, area, "resumed")
    assert book.problems == []


def test_an_agent_waits_for_each_tool_which_is_edited_and_then_rejected(notebook):
    book, area = opened(notebook, AGENT_SCRIPT, AGENT, "refunds")
    button(area, "Edit").wait_for(timeout=30_000)
    assert "refund" in area.inner_text()
    button(area, "Edit").click()
    field = area.locator("textarea")
    field.wait_for(state="visible")
    assert '"order_id": "A1"' in field.input_value()
    field.fill("{no json")
    button(area, "Send the edit").click()
    area.get_by_text("Not valid JSON").wait_for(timeout=30_000)
    field.fill('{"order_id": "A1", "amount": 5.0}')
    shot(book, area, "edit")
    button(area, "Send the edit").click()
    area.get_by_text("✎ Edited").wait_for(timeout=30_000)
    area.get_by_text('"order_id": "B2"').first.wait_for(timeout=30_000)
    button(area, "Reject").click()
    area.locator("textarea:visible").fill("B2 was paid once")
    shot(book, area, "reject")
    button(area, "Reject").click()
    area.get_by_text("✗ Rejected: B2 was paid once").wait_for(timeout=30_000)
    area.get_by_text("One was refunded.").first.wait_for(timeout=30_000)
    shot(book, area, "rejected")
    book.run(3)
    assert "[('A1', 5.0)]" in book.output(3).inner_text()
    assert book.problems == []


def test_a_free_question_is_answered_in_a_field(notebook):
    book, area = opened(notebook, 'install(Script(["no", "It went on."]))\nNone', ASK)
    button(area, "Send").wait_for(timeout=30_000)
    assert "May I go on?" in area.inner_text()
    button(area, "Send").click()
    area.get_by_text("Type an answer first").wait_for(timeout=30_000)
    area.locator("textarea").fill("yes, please")
    shot(book, area, "question")
    button(area, "Send").click()
    area.get_by_text("✓ Answered: yes, please").wait_for(timeout=30_000)
    area.get_by_text("It went on.").first.wait_for(timeout=30_000)
    assert book.problems == []
