"""The panel's questions: answered between two cells, in JSON, without a trace in the notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from orchmagic import Reply, Script, Session, install
from orchmagic.errors import InputError
from orchmagic.models.providers.scripted import remove
from orchmagic.notebook import panel
from orchmagic.trace.record import Record
from orchmagic.views import card

CHAIN = "%%chain triage\nextract -> product: str\n    Read {{ ticket }}\nreply\n    About {{ extract.product }}"
PAYOUT = '%%chain payout --no-cache\ndraft -> amount: float\n    How much?\napprove "Send it?"\nreply\n    Tell them'


def asked(session: Session, *question: Any) -> Any:
    """As the front end asks: JSON in, JSON out."""
    data = json.loads(json.dumps(panel.ask(session, json.dumps(question))._repr_json_()))
    assert data.keys() in ({"found"}, {"error"})
    return data.get("found", data)


@pytest.fixture
def shop(notebook, monkeypatch, tmp_path):
    """A notebook whose history is a file."""
    monkeypatch.setenv("ORCHMAGIC_HISTORY_DIR", str(tmp_path / "history"))
    notebook.session.services.environ.update({"ORCHMAGIC_HISTORY_DIR": str(tmp_path / "history")})
    return notebook


def test_the_list_begins_with_the_latest_run_and_says_what_each_cost(shop):
    shop.script({"product": "lamp"}, "sorry", {"product": "bed"}, "sorry")
    first, second = shop.run(CHAIN, ticket="a"), shop.run(CHAIN, ticket="b")
    told = asked(shop.session, "overview")
    assert [r["id"] for r in told["runs"]] == [second.id, first.id]
    assert told["runs"][0] | {"started": "", "seconds": 0} == {
        "id": second.id, "name": "triage", "pattern": "chain", "status": "done", "doubt": "", "started": "", "parent": None,
        "here": True, "seconds": 0, "tokens": second.tokens, "cost": second.cost, "unpriced": 0,
    }  # fmt: skip


def test_today_is_the_day_of_the_person_and_counts_the_runs_that_began_on_it(shop, monkeypatch):
    shop.script({"product": "lamp"}, "sorry")
    run = shop.run(CHAIN, ticket="a")
    monkeypatch.setattr(type(run), "record", property(lambda self: _dear(self.trace.snapshot())))
    now = datetime.now(UTC)
    assert panel.overview(shop.session, now=now)["today"] == 0.25
    assert panel.overview(shop.session, now=now + timedelta(days=2))["today"] == 0


def test_older_runs_are_listed_when_they_are_asked_for(shop):
    shop.script(*["x"] * 3)
    runs = [shop.run("%%chain one --no-cache\nsay\n    Hi").id for _ in range(3)][::-1]
    for shown, more in ((1, True), (2, True), (3, False), (50, False), (-5, True), (10**9, False)):
        told = asked(shop.session, "overview", shown)
        assert [r["id"] for r in told["runs"]] == runs[: max(shown, 1)]
        assert told["more"] is more
    assert panel.overview(shop.session)["more"] is False


def _dear(record: Record) -> Record:
    return replace(record, cost=0.25)


def test_a_record_is_the_trace_that_a_notebook_saves(shop):
    shop.script({"product": "lamp"}, "x" * 9_000)
    run = shop.run(CHAIN, ticket="a")
    told = asked(shop.session, "record", run.id)
    assert Record.from_json(told).steps[1].name == "reply"
    assert len(json.dumps(told)) < 20_000


def test_a_run_that_waits_says_what_for_and_is_answered_without_waiting_for_its_end(shop):
    shop.script({"amount": 12.5}, "sent")
    run = shop.run(PAYOUT)
    line = asked(shop.session, "overview")["runs"][0]
    assert line["status"] == "waiting"
    assert line["asked"] == {
        "span": "approval_1#1", "question": "Send it?", "choices": ["approve", "edit", "reject"],
        "shown": '{\n "amount": 12.5\n}',
    }  # fmt: skip
    assert asked(shop.session, "asked", run.id)["value"] == {"amount": 12.5}
    assert asked(shop.session, "answer", run.id, {"action": "edit", "value": {"amount": 5}})["status"] in {
        "running",
        "done",
    }
    run.wait()
    assert (run.status, run.draft.amount) == ("done", 5)


def test_the_list_has_the_beginning_of_a_long_value_and_the_question_all_of_it(shop):
    text = "x" * 3_000
    shop.script(text)
    run = shop.run('%%chain letter --no-cache\ndraft\n    Write\napprove "Send it?"\n')
    (line,) = asked(shop.session, "overview")["runs"]
    assert line["asked"]["shown"] == "x" * 2_000 + "… cut, 3,000 characters in all"
    assert asked(shop.session, "asked", run.id)["value"] == text


def test_an_answer_that_does_not_fit_is_told_and_the_run_still_waits(shop):
    shop.script({"amount": 12.5}, "sent")
    run = shop.run(PAYOUT)
    assert "is no answer" in asked(shop.session, "answer", run.id, {"action": "maybe"})["error"]
    assert "does not fit" in asked(shop.session, "answer", run.id, {"action": "edit", "value": "x"})["error"]
    assert run.status == "waiting"
    run.reject()
    assert "only a waiting run" in asked(shop.session, "answer", run.id, {"action": "approve"})["error"]
    assert "does not wait" in asked(shop.session, "asked", run.id)["error"]


def test_a_run_of_another_kernel_is_listed_read_and_answered(shop):
    shop.script({"amount": 12.5}, "sent")
    run = shop.run(PAYOUT)
    other = Session({}, environ=shop.session.services.environ, notify=lambda _: None)
    try:
        line = asked(other, "overview")["runs"][0]
        assert (line["id"], line["here"], line["asked"]["question"]) == (run.id, False, "Send it?")
        assert asked(other, "record", run.id)["name"] == "payout"
        assert "error" not in asked(other, "answer", run.id, {"action": "approve"})
        assert other.lookup.run(run.id).wait().status == "done"
    finally:
        other.close()


def test_a_run_that_broke_off_goes_on_in_the_background(shop):
    shop.script({"product": "lamp"}, Reply(fault="refusal"), "sorry")
    run = shop.run(CHAIN, ticket="a")
    assert run.status == "failed"
    assert asked(shop.session, "resume", run.id)["status"] in {"running", "done"}
    run.wait()
    assert run.output == "sorry"
    assert "nothing to resume" in asked(shop.session, "resume", run.id)["error"]
    assert run.trace.listeners == []


def test_what_ran_is_exported_once(shop, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shop.script({"product": "lamp"}, "sorry")
    run = shop.run(CHAIN, ticket="a")
    assert asked(shop.session, "export", run.id) == {"file": "triage.py"}
    assert "def build_graph" in (tmp_path / "triage.py").read_text()


def test_a_file_of_somebody_else_is_not_overwritten(shop, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "triage.py").write_text("mine = 1\n")
    shop.script({"product": "lamp"}, "sorry")
    assert "triage.py" in asked(shop.session, "export", shop.run(CHAIN, ticket="a").id)["error"]
    assert (tmp_path / "triage.py").read_text() == "mine = 1\n"


def test_a_run_that_is_not_there_is_one_line(shop):
    assert "no run 'r99'" in asked(shop.session, "record", "r99")["error"]
    with pytest.raises(InputError):
        panel.record(shop.session, "r99")


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    ip = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    yield ip
    ip.run_line_magic("unload_ext", "orchmagic")
    InteractiveShell.clear_instance()
    remove()


# what labextension/src/kernel.ts sends; its own test holds the same text
EXPRESSION = (
    '(lambda f: f and __import__("orchmagic.notebook.panel", fromlist=["ask"]).ask(f.session, "[\\"overview\\"]"))'
    '(getattr(get_ipython(), "_orchmagic_face", None))'
)


def test_the_front_ends_expression_is_answered_and_changes_nothing_in_the_notebook(shell):
    assert shell.user_expressions({"x": EXPRESSION})["x"]["data"] == {"text/plain": "None"}
    shell.run_line_magic("load_ext", "orchmagic")
    shell.run_line_magic("config", "OrchMagic.live = False")
    install(Script(["hello"]))
    shell.run_cell("%%chain hi --model scripted\nsay\n    Say hello", store_history=True)
    before, count = dict(shell.user_ns), shell.execution_count
    told = shell.user_expressions({"x": EXPRESSION})["x"]
    assert told["status"] == "ok"
    assert told["data"]["application/json"]["found"]["runs"][0]["name"] == "hi"
    assert (shell.user_ns, shell.execution_count) == (before, count)


def test_a_run_is_judged_and_a_bad_word_is_refused(shop):
    shop.script({"product": "lamp"}, "sorry")
    run = shop.run(CHAIN, ticket="a")
    assert asked(shop.session, "feedback", run.id) == {}
    said = {"verdict": "wrong", "expect": {"reply": "Thank you."}, "note": "rude"}
    assert asked(shop.session, "feedback", run.id, "wrong", "rude", {"reply": "Thank you."}) == said
    assert asked(shop.session, "feedback", run.id) == said
    assert "no step 'reply_' of triage" in asked(shop.session, "feedback", run.id, "wrong", "", {"reply_": 1})["error"]
    assert "there is no run" in asked(shop.session, "feedback", "r999", "right")["error"]
    assert run.feedback().note == "rude"


def test_a_run_of_another_history_is_not_judged(shop):
    shop.script({"product": "lamp"}, "sorry")
    run = shop.run(CHAIN, ticket="a")
    begun = run.record.started
    for of in (["other", begun], ["triage", "2020-01-01T00:00:00+00:00"], ["other", ""]):
        assert "is another one" in asked(shop.session, "feedback", run.id, "right", "", {}, of)["error"]
    assert run.feedback() is None
    for of in (["triage", begun], ["triage", ""]):
        assert asked(shop.session, "feedback", run.id, "right", "", {}, of)["verdict"] == "right"


def test_steps_with_the_names_of_arguments_are_corrected_or_refused(shop):
    cell = "%%chain said --no-cache\nverdict\n    A\nnote\n    B {{ verdict }}"
    shop.script("a", "b")
    run = shop.run(cell)
    assert asked(shop.session, "feedback", run.id, "wrong", "", {"verdict": "x"})["expect"] == {"verdict": "x"}
    assert "a step named 'note'" in asked(shop.session, "feedback", run.id, "wrong", "", {"note": "x"})["error"]
    assert run.feedback().expect == {"verdict": "x"}


def test_the_rows_that_a_notebook_does_not_hold_are_asked_for(shop):
    install(Script(lambda body: "said"))
    posts = [f"post {n} {'long ' * 30}" for n in range(300)]
    run = shop.run("%%chain many --no-cache\nrate(over=posts, item=post)\n    Rate {{ post }}", posts=posts)
    saved = card.table(run.record)
    of = [run.name, run.record.started]
    told = asked(shop.session, "rows", run.id, of)
    assert len(saved["rows"]) < 300
    assert (len(told["rows"]), told["rows"][: len(saved["rows"])]) == (300, saved["rows"])
    shop.session.runs.clear()  # the history has it, too
    assert asked(shop.session, "rows", run.id, of) == told
    for which, whose, said in (
        (run.id, ["another", ""], "is another one"), (run.id, ["", "2020-01-01T00:00:00+00:00"], "is another one"),
        ("r999", ["", ""], "r999"),
    ):  # fmt: skip
        assert said in asked(shop.session, "rows", which, whose)["error"]
    plain = shop.run("%%chain one --no-cache\nfirst\n    A")
    assert asked(shop.session, "rows", plain.id) == {"error": f"run {plain.id} has no rows"}
