"""Which question waits: whoever shows one and whoever answers it mean the same, however many wait."""

import json

import pytest
from approval_page import Page, ended
from lives import bind, restarted

from orchmagic import Reply
from orchmagic.errors import InputError
from orchmagic.export.vendored import tool_runtime
from orchmagic.notebook import panel
from orchmagic.notebook.commands import run as orch
from orchmagic.trace.decisions import DECISIONS
from orchmagic.trace.questions import pending_questions
from orchmagic.views import answer

AGENT = "%%react cashier --no-cache --tools refund --approve refund\n{{ q }}\n"
ORDERS = ("A-1", "B-2", "C-3")


class Cashier:
    """A run that waits with three refunds at once; `done` are those that were carried out."""

    def __init__(self, notebook):
        self.done = []

        def refund(order: str) -> str:
            """Pay back."""
            self.done.append(order)
            return "ok"

        calls = Reply("", tool_calls=[("refund", {"order": order}) for order in ORDERS])
        notebook.script(lambda body: calls if body["messages"][-1]["role"] == "user" else "done")
        self.notebook = notebook
        self.refund = refund
        self.run = notebook.run(AGENT, refund=refund, q="please")

    @property
    def session(self):
        return self.notebook.session

    def ask_panel(self, *question):
        return panel.ask(self.session, json.dumps(question)).data


@pytest.fixture
def cashier(notebook, monkeypatch, tmp_path):
    monkeypatch.setenv("ORCHMAGIC_HISTORY_DIR", str(tmp_path / "history"))
    notebook.session.services.environ.update({"ORCHMAGIC_HISTORY_DIR": str(tmp_path / "history")})
    return Cashier(notebook)


def order_of(question):
    return question.value["arguments"]["order"]


def test_all_questions_wait_in_the_order_of_the_calls_and_the_first_one_first(cashier):
    assert [order_of(q) for q in cashier.run.questions] == list(ORDERS)
    assert order_of(cashier.run.waiting) == "A-1"
    cashier.run.approve()
    assert [order_of(q) for q in cashier.run.questions] == ["B-2", "C-3"]
    assert (order_of(cashier.run.waiting), cashier.done) == ("B-2", ["A-1"])


def by_panel(cashier):
    shown = cashier.ask_panel("overview")["found"]["runs"][0]["asked"]
    whole = cashier.ask_panel("asked", cashier.run.id, shown["span"])["found"]
    assert json.dumps(whole["value"], indent=1) == shown["shown"]
    assert "error" not in cashier.ask_panel("answer", cashier.run.id, {"action": "approve"}, shown["span"])
    cashier.run.wait()
    return whole["value"]["arguments"]["order"]


def by_widget(cashier):
    page = Page(cashier.run)
    shown = page.controls.box.children[0].value
    page.click("approve")
    ended()
    return next(order for order in ORDERS if order in shown)


def by_command(cashier):
    shown = answer.bundle(cashier.run.record)["text/plain"]
    command = next(word for word in shown.partition("Answer with: ")[2].split(" · ") if "approve" in word)
    orch(cashier.session, command.removeprefix("%orch "))
    return next(order for order in ORDERS if f'"{order}"' in shown)


def by_code(cashier):
    shown = order_of(cashier.run.waiting)
    cashier.run.approve()
    return shown


@pytest.mark.parametrize("approve", [by_panel, by_widget, by_command, by_code])
def test_what_is_shown_is_what_is_approved(cashier, approve):
    shown = approve(cashier)
    assert cashier.done == [shown] == ["A-1"]
    shown = approve(cashier)
    assert cashier.done == ["A-1", shown] == ["A-1", "B-2"]
    approve(cashier)
    assert (cashier.run.status, cashier.done) == ("done", list(ORDERS))


def test_an_answer_may_name_a_question_that_is_not_the_first(cashier):
    first, second, third = cashier.run.questions
    cashier.run.approve(span=third.span)
    assert (cashier.done, cashier.run.questions) == (["C-3"], (first, second))
    cashier.run.edit({"order": "B-9"}, span=second.span)
    orch(cashier.session, f"reject {cashier.run.id}:{first.span} not this one")
    assert (cashier.run.status, cashier.done) == ("done", ["C-3", "B-9"])
    told = [m["content"] for m in cashier.notebook.scripted.requests[-1]["messages"] if m["role"] == "tool"]
    assert "not this one" in told[0]
    assert told[1:] == ["ok", "ok"]
    assert len(cashier.notebook.scripted.requests) == 2


def test_an_answer_to_a_question_that_no_longer_waits_approves_nothing(cashier):
    shown = cashier.ask_panel("overview")["found"]["runs"][0]["asked"]
    page = Page(cashier.run)
    cashier.run.reject("no")
    told = cashier.ask_panel("answer", cashier.run.id, {"action": "approve"}, shown["span"])["error"]
    assert "does not wait any more, and nothing was answered" in told
    assert "does not wait any more" in cashier.ask_panel("asked", cashier.run.id, shown["span"])["error"]
    page.click("approve")
    assert "does not wait any more" in page.controls.note.value
    assert page.controls.buttons["approve"].disabled
    with pytest.raises(InputError, match="does not wait any more"):
        orch(cashier.session, f"approve {cashier.run.id}:{shown['span']}")
    assert (cashier.run.status, cashier.done) == ("waiting", [])
    assert [order_of(q) for q in cashier.run.questions] == ["B-2", "C-3"]


def test_the_next_kernel_shows_and_answers_the_same_questions(cashier):
    waiting = cashier.run.questions
    cashier.run.approve(span=waiting[1].span)
    cashier.session.close()
    with restarted(cashier.notebook, AGENT, refund=cashier.refund, q="please") as session:
        run = session.lookup.run(cashier.run.id)
        assert run.questions == (waiting[0], waiting[2])
        assert panel.asked(session, run.id)["span"] == waiting[0].span
        run.approve(span=waiting[2].span)
        run.approve()
        assert (run.status, cashier.done) == ("done", ["B-2", "C-3", "A-1"])


def test_questions_of_items_wait_in_the_order_of_the_items_whoever_asked_first(notebook):
    bind(notebook, '%%chain careful\ndraft\n    Draft for {{ who }}\napprove "Send it to {{ who }}?"\n')
    people = [f"p{i}" for i in range(1, 12)]
    # the later an item, the sooner its draft is there, and the sooner it asks
    notebook.script(lambda body: Reply("x", latency=0.02 * (12 - int(body["messages"][-1]["content"][11:]))))
    cell = "%%chain everybody --concurrency 12\neach(run=careful, over=people, item=who)\n"
    run = notebook.run(cell, people=people)
    assert [q.question for q in run.questions] == [f"Send it to {who}?" for who in people]


def test_a_run_that_does_not_wait_has_no_question(notebook):
    notebook.script("a")
    run = notebook.run("%%chain\nreply\n    x\n")
    assert (run.questions, pending_questions(run.record)) == ((), ())


def test_a_free_answer_may_have_any_form_that_json_has(notebook):
    notebook.script({"label": "human"})
    run = notebook.run('%%route desk\nbot: easy\n    {{ q }}\nhuman(ask="Please"): the rest\n', q="hard")
    assert run.resume({"action": ["approve"]}).output["action"] == ["approve"]


def test_exported_modules_know_the_same_decisions():
    assert tool_runtime.CHOICES == DECISIONS


def refund_of(order: str, amount: int) -> str:
    """Pay back."""
    return f"{amount} of {order}"


REFUND = "%%react payer --tools refund_of --approve refund_of --no-cache\n{{ request }}\n"


@pytest.mark.parametrize("way", ["at once", "later kernel", "replay"])
def test_the_model_reads_the_call_that_a_person_edited(notebook, way):
    notebook.space |= {"refund_of": refund_of, "request": "Please."}
    call = Reply(tool_calls=[("refund_of", {"order": "A", "amount": 9}), ("refund_of", {"order": "B", "amount": 5})])
    script = notebook.script(call, "done", "again")
    run = bind(notebook, REFUND)()
    run.edit({"order": "A", "amount": 1})
    if way == "later kernel":
        with restarted(notebook, request="Please.", refund_of=refund_of) as session:
            run = session.lookup.run(run.id).approve()
    else:
        run.approve()
    if way == "replay":
        run = run.replay()
    assert run.status == "done"
    messages = run["messages"][:-1] if way == "replay" else script.requests[-1]["messages"][1:]
    told = [json.loads(c["function"]["arguments"]) for m in messages for c in m.get("tool_calls") or ()]
    assert told == [{"order": "A", "amount": 1}, {"order": "B", "amount": 5}]
    assert [m["content"] for m in messages if m["role"] == "tool"] == ["1 of A", "5 of B"]
    assert [m["role"] for m in messages] == ["assistant", "tool", "tool"]
    tools = [s.input for s in run.record.spans if s.kind == "tool"]
    assert way == "replay" or json.loads(tools[0]) == {"order": "A", "amount": 1}


def test_an_edited_call_that_fails_is_told_with_its_edit(notebook):
    notebook.space["request"] = "Please."

    def failing(order: str) -> str:
        """Pay back."""
        raise RuntimeError(f"no {order}")

    notebook.space["refund_of"] = failing
    script = notebook.script(Reply(tool_calls=[("refund_of", {"order": "A"})]), "done")
    bind(notebook, REFUND)().edit({"order": "B"})
    messages = script.requests[-1]["messages"]
    assert json.loads(messages[1]["tool_calls"][0]["function"]["arguments"]) == {"order": "B"}
    assert "no B" in messages[2]["content"]
