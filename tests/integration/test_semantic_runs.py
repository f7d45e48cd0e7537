"""`--cache semantic` in a notebook: what is served to other words, what is asked, what a person sees and can do."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from orchmagic import Reply, Session
from orchmagic.errors import CellError, InputError, SettingsError
from orchmagic.models.cache import CacheWarning
from orchmagic.notebook import commands
from orchmagic.views.formats import text

pytestmark = pytest.mark.slow

CELL = "%%chain faq {}\nanswer{}\n    You are a helpful assistant. Answer: {{{{ question }}}}"
ASKED, SAME, OTHER = "How do I reset my password?", "How can I reset my password?", "How do I reset my router?"


@pytest.fixture(autouse=True)
def _numbered(notebook, monkeypatch):
    """Every reply is another one; and nothing is audited unless a test says so."""
    notebook.script(lambda _: f"answer {len(notebook.scripted.requests)}")
    settings(notebook, semantic="audits=0")


def settings(notebook, **given):
    notebook.session.services.environ.update({f"ORCHMAGIC_{k.upper()}": v for k, v in given.items()})
    notebook.session.reload()


def ask(notebook, question, line="--cache semantic", step=""):
    return notebook.run(CELL.format(line, step), question=question)


def orch(notebook, line):
    return str(commands.run(notebook.session, line))


def test_the_same_question_in_other_words_is_served_with_the_text_it_matched_and_the_score(notebook):
    first, second = ask(notebook, ASKED), ask(notebook, SAME)
    assert (first.output, second.output) == ("answer 1", "answer 1")
    assert second.cost == 0
    (line,) = second.receipt()
    assert line["reason"].startswith("semantic cache, 0.9")
    assert line["reason"].endswith(f", hit 1: {ASKED}")
    assert line["cache"] == "hit"
    assert ASKED in text.render(second.record)


@pytest.mark.parametrize(
    "other",
    [OTHER, "How can I not reset my password?", "How do I reset my 2 passwords?", "How do I reset her password?"],
)
def test_another_question_is_asked(notebook, other):
    ask(notebook, ASKED)
    assert ask(notebook, other).output == "answer 2"


def test_without_the_word_semantic_other_words_are_another_question(notebook):
    ask(notebook, ASKED)
    assert ask(notebook, SAME, line="").output == "answer 2"
    assert ask(notebook, SAME, line="--cache 1d").output == "answer 2"


def test_another_prompt_never_meets_the_answers_of_this_one(notebook):
    ask(notebook, ASKED)
    cell = CELL.format("--cache semantic", "").replace("helpful", "rude")
    assert notebook.run(cell, question=SAME).output == "answer 2"


def test_a_reply_that_does_not_fit_is_asked_again_of_the_model_whatever_was_asked_again_before(notebook):
    notebook.script("no number", {"value": 1}, {"value": 2})
    runs = [ask(notebook, question, step=" -> int") for question in (ASKED, SAME)]
    assert [run.output for run in runs] == [1, 2]
    told = ["does not fit" in request["messages"][-1]["content"] for request in notebook.scripted.requests]
    assert told == [False, True, False]  # the reply that did not fit is no answer to the second question


@pytest.mark.parametrize(("line", "said"), [("--no-cache", "answer 2"), ("--refresh --cache semantic", "answer 2")])
def test_no_cache_and_refresh_ask_anew(notebook, line, said):
    ask(notebook, ASKED)
    assert ask(notebook, SAME, line=line).output == said


def test_one_step_alone_can_be_compared_by_meaning_and_one_can_be_kept_out(notebook):
    ask(notebook, ASKED, line="", step="(cache=semantic)")
    assert ask(notebook, SAME, line="", step="(cache=semantic)").output == "answer 1"
    assert ask(notebook, SAME, step="(cache=exact)").output == "answer 2"
    assert ask(notebook, ASKED, step="(cache=off)").output == "answer 3"


def test_the_setting_holds_for_every_cell_and_a_time_alone_leaves_it_on(notebook):
    settings(notebook, cache="semantic,12h")
    ask(notebook, ASKED, line="")
    assert ask(notebook, SAME, line="--cache 1d").output == "answer 1"
    assert ask(notebook, SAME, line="--cache off").output == "answer 2"


def test_a_policy_that_cannot_be_read_is_one_clear_line(notebook):
    with pytest.raises(SettingsError, match=r"ORCHMAGIC_SEMANTIC is .*: write for example threshold=") as told:
        settings(notebook, semantic="threshhold=0.9")
    assert "'threshhold=0.9' is no setting of the semantic cache" in str(told.value)


@pytest.mark.parametrize("line", ["--cache semantics", "--cache semantic,off", "--cache 1d,2d", "--cache 5s"])
def test_a_line_that_cannot_be_read_is_told_before_anything_runs(notebook, line):
    with pytest.raises(CellError, match="Write a time from 10s to 365d, semantic"):
        ask(notebook, ASKED, line=line)
    assert notebook.scripted.requests == []


def test_a_step_that_cannot_be_read_is_told_too(notebook):
    with pytest.raises(CellError, match="cache=1d"):
        ask(notebook, ASKED, step="(cache=semantics)")


def test_a_hit_that_is_called_wrong_is_asked_from_then_on(notebook):
    ask(notebook, ASKED), ask(notebook, SAME)
    hits = orch(notebook, "cache hits").splitlines()
    assert hits[1].split("  ")[0] == "1"
    assert SAME in hits[1]
    assert ASKED in hits[1]
    assert orch(notebook, "cache wrong 1") == "Hit 1 is marked as wrong: questions like it call the model."
    assert ask(notebook, "How could I reset my password?").output == "answer 2"
    assert orch(notebook, "cache hits").splitlines()[1].endswith("wrong")


def test_an_entry_can_be_looked_at_and_removed(notebook):
    ask(notebook, ASKED)
    assert orch(notebook, "cache entries").splitlines()[1].startswith(f"1      {ASKED}")
    assert orch(notebook, "cache remove 1") == "Entry 1 is removed."
    assert ask(notebook, SAME).output == "answer 2"


def test_the_cache_command_tells_hits_savings_and_what_is_known_of_the_error(notebook):
    assert "Semantic" not in orch(notebook, "cache")
    ask(notebook, ASKED), ask(notebook, SAME)
    said = orch(notebook, "cache")
    assert "Semantic cache: 1 question, 1 hit, 0 marked as wrong, $0 saved." in said
    assert "its error rate is unknown" in said


def test_an_audit_asks_again_and_the_trace_says_what_came_of_it(notebook):
    settings(notebook, semantic="audits=1")
    ask(notebook, ASKED)
    audited = ask(notebook, SAME)
    assert audited.output == "answer 2"
    (why,) = [str(w) for s in audited.record.spans for w in s.why]
    assert why.startswith("called again to check the semantic cache, 0.99")
    assert why.endswith(f"another answer as to {ASKED}")
    assert "Of 1 hit audited at random, 1 had another answer" in orch(notebook, "cache")


def test_clear_leaves_no_question_in_the_file(notebook, tmp_path):
    settings(notebook, semantic="audits=1")
    ask(notebook, ASKED), ask(notebook, SAME)
    assert orch(notebook, "cache clear").startswith("Removed ")
    notebook.session.reload()
    with sqlite3.connect(tmp_path / "semantic.sqlite") as found:
        names = [n for (n,) in found.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = json.dumps([found.execute(f"SELECT * FROM {n}").fetchall() for n in names], default=str)
    found.close()
    assert "password" not in rows
    assert "audit" in rows


def test_a_gate_that_sends_a_step_back_is_not_answered_with_the_question_before_it(notebook):
    replies = iter([Reply('{"ok": "no"}'), Reply('{"ok": "yes"}')])
    notebook.script(lambda _: next(replies))
    cell = "%%chain gated --cache semantic\na -> ok: str\n    Judge: {{ question }}\ngate a.ok == 'yes' else retry 1"
    assert notebook.run(cell, question=ASKED).output.ok == "yes"


def test_what_a_guard_covers_is_not_compared(notebook):
    line = "--cache semantic --guard pii=redact"
    ask(notebook, "How do I reset the password of joe@example.com?", line=line)
    said = ask(notebook, "How can I reset the password of joe@example.com?", line=line)
    assert said.output == "answer 2"


def test_earlier_turns_of_a_thread_must_be_equal(notebook):
    ask(notebook, ASKED, line="--cache semantic --thread a")
    assert ask(notebook, SAME, line="--cache semantic --thread b").output == "answer 1"
    assert ask(notebook, SAME, line="--cache semantic --thread a").output == "answer 2"


def test_votes_stay_apart(notebook):
    cell = "%%chain poll --cache semantic\na(votes=3, by=ok, temperature=1) -> ok: str, why: str\n    Is it so? {{ question }}"
    notebook.script(lambda _: Reply('{"ok": "yes", "why": "so"}'))
    notebook.run(cell, question=ASKED)
    assert len(notebook.scripted.requests) == 3
    assert notebook.run(cell, question=SAME).record.calls == 0


def test_without_the_extra_one_warning_says_what_to_install_and_the_run_goes_on(notebook, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.warns(CacheWarning, match=r'need onnxruntime: pip install "orchmagic\[semantic\]"'):
        assert ask(notebook, ASKED).output == "answer 1"


def test_a_damaged_file_is_a_warning_and_a_miss(notebook, tmp_path):
    ask(notebook, ASKED)
    notebook.session.reload()
    for file in tmp_path.glob("semantic.sqlite*"):
        Path(file).write_bytes(b"no database at all" * 500)
    with pytest.warns(CacheWarning, match="semantic"):
        assert ask(notebook, SAME).output == "answer 2"


def test_two_kernels_share_what_is_known(notebook):
    ask(notebook, ASKED)
    other = Session({"question": SAME}, environ=notebook.session.services.environ, notify=lambda _: None)
    try:
        head, _, body = CELL.format("--cache semantic", "").partition("\n")
        assert other.define("chain", head.removeprefix("%%chain "), body)().output == "answer 1"
    finally:
        other.close()


@pytest.mark.parametrize("line", ["cache what", "cache wrong", "cache remove"])
def test_a_command_that_is_none_says_what_to_write(notebook, line):
    with pytest.raises(InputError, match="wrong HIT, remove ENTRY or clear"):
        orch(notebook, line)
