"""Buttons of a waiting run: each click answers once, at once, and what comes of it is shown below."""

import sys
import threading

import pytest
from approval_page import Page, ended

from orchmagic import Reply
from orchmagic.notebook import approval

CHAIN = '%%chain payout --no-cache\ndraft -> to: str\n    Who? {{ mail }}\napprove "Send it?"\nreply\n    Tell {{ draft.to }}\n'
ASK = '%%chain ask --no-cache\nfirst\n    Say\ngate "yes" in first else ask "May I?"\nreply\n    Go on from {{ answer }}\n'
AGENT = "%%react orders --no-cache --tools refund --approve refund\nGive back what was paid twice.\n"


@pytest.fixture
def payout(notebook):
    notebook.script({"to": "Ann"}, "It is sent.")
    return Page(notebook.run(CHAIN, mail="m"))


def test_approve_goes_on_and_shows_the_result_and_its_figure_below(payout):
    payout.click("approve")
    ended()
    assert (payout.run.status, payout.run.output) == ("done", "It is sent.")
    assert "✓ Approved" in payout.first.html
    assert "It is sent." in payout.below.result.html
    assert "application/vnd.plotly.v1+json" in payout.below.result.shown[-1]
    assert payout.below.buttons.shown == []


def test_a_click_returns_while_the_model_is_still_asked(notebook):
    gate = threading.Event()

    def slow(body):
        if "Tell" in str(body):
            gate.wait(20)
            return Reply("late")
        return Reply({"to": "Ann"})

    notebook.script(slow)
    page = Page(notebook.run(CHAIN, mail="m"))
    page.click("approve")
    assert page.run.status == "running"
    assert page.controls.buttons["approve"].disabled
    gate.set()
    ended()
    assert page.run.output == "late"


def test_two_clicks_answer_once(payout, notebook):
    payout.click("approve")
    payout.click("approve")
    payout.panel.send({"action": "reject", "why": ""})
    ended()
    assert payout.run.status == "done"
    assert len(notebook.prompts) == 2


def test_an_edit_is_made_in_the_value_itself(payout, notebook):
    payout.click("edit")
    assert payout.controls.text.value == '{\n  "to": "Ann"\n}'
    payout.send('{"to": "Bob"}')
    ended()
    assert notebook.prompts[-1] == "Tell Bob"
    assert "✎ Edited" in payout.first.html


@pytest.mark.parametrize("text", ["{no json", '{"to": 3, "of": []}'])
def test_an_edit_that_does_not_fit_is_said_in_one_line_and_may_be_tried_again(payout, text):
    payout.click("edit")
    payout.send(text)
    assert "✗" in payout.controls.note.value
    assert payout.run.status == "waiting"
    assert not payout.controls.submit.disabled
    payout.send('{"to": "Bob"}')
    ended()
    assert payout.run.status == "done"


def test_cancel_leaves_the_question_open(payout):
    payout.click("edit")
    assert payout.controls.row.layout.display == "none"
    payout.controls.cancel.click()
    assert payout.controls.row.layout.display is None
    assert payout.run.status == "waiting"


def test_reject_takes_a_reason(payout, notebook):
    payout.click("reject")
    payout.send("too much")
    ended()
    assert payout.run.status == "rejected"
    assert len(notebook.prompts) == 1
    assert "✗ Rejected" in payout.first.html
    assert "too much" in payout.first.html
    assert "rejected by a person: too much" in map(str, payout.run.record.steps[1].why)


def test_a_free_question_has_a_field_that_must_be_filled(notebook):
    notebook.script("no", "went on")
    page = Page(notebook.run(ASK))
    assert page.controls.buttons == {}
    page.send("  ")
    assert "Type an answer first" in page.controls.note.value
    page.send("yes <b>")
    ended()
    assert notebook.prompts[-1] == "Go on from yes <b>"
    assert "yes &lt;b&gt;" in page.first.html


def test_each_tool_call_is_asked_about_in_its_turn(notebook):
    done = []

    def refund(order: str) -> str:
        """Give back."""
        done.append(order)
        return "ok"

    calls = [Reply(tool_calls=[("refund", {"order": order})]) for order in ("A", "B", "C")]
    notebook.script(*calls, "All done.")
    page = Page(notebook.run(AGENT, refund=refund))
    page.click("approve")
    ended()
    second = approval.Panel(page.run, page.below.buttons, page.below)
    assert second.controls.row.children
    assert "application/vnd.jupyter.widget-view+json" in page.below.buttons.shown[-1]
    second.send({"action": "reject", "why": "once is enough"})
    ended()
    third = approval.Panel(page.run, page.below.buttons, page.below)
    third.controls.buttons["edit"].click()
    assert third.controls.text.value == '{\n  "order": "C"\n}'
    third.controls.text.value = '{"order": "D"}'
    third.controls.submit.click()
    ended()
    assert done == ["A", "D"]
    assert "All done." in page.below.result.html


def test_an_answer_that_came_another_way_is_said(payout):
    payout.run.approve()
    payout.click("approve")
    assert "only a waiting run can be answered" in payout.controls.note.value
    assert payout.controls.buttons["approve"].disabled


def test_what_is_asked_stays_text(notebook):
    notebook.script({"to": "<img src=x onerror=alert(1)>"}, "sent")
    page = Page(notebook.run(CHAIN.replace("Send it?", "<script>{{ draft.to }}"), mail="m"))
    shown = page.controls.box.children[0].value
    assert "<img" not in shown
    assert "<script" not in shown
    assert "&lt;img" in shown


def test_without_a_kernel_nothing_is_shown(payout, capsys):
    approval.show(payout.run)
    assert capsys.readouterr().out == ""


def test_a_run_that_does_not_wait_needs_no_widgets(notebook, monkeypatch):
    notebook.script("a")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    approval.show(notebook.run("%%chain\nreply\n    x\n"))
