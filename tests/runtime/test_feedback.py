"""What a person says of a run: kept in the history, checked against the steps, and given to rows as `expect`."""

import sqlite3

import pytest
from lives import restarted

import orchmagic
from orchmagic.errors import InputError
from orchmagic.runtime.feedback import Feedback
from orchmagic.storage.runs import Store

CELL = """%%chain triage --no-cache
extract -> feature: str, severity: "low" | "high"
    Read {{ ticket }}
reply
    Answer {{ extract.feature }}"""


@pytest.fixture
def kept(notebook, monkeypatch, tmp_path):
    """A notebook whose history is a file."""
    monkeypatch.setenv("ORCHMAGIC_HISTORY_DIR", str(tmp_path / "history"))
    notebook.session.services.environ.update({"ORCHMAGIC_HISTORY_DIR": str(tmp_path / "history")})
    read = {"feature": "export", "severity": "low"}
    notebook.script(lambda body: read if "Read" in body["messages"][-1]["content"] else "Sorry.")
    return notebook


def test_the_latest_word_is_kept_and_read_after_a_restart(kept):
    run = kept.run(CELL, ticket="a")
    assert run.feedback() is None
    run.feedback("right")
    said = run.feedback("wrong", extract={"severity": "high"}, reply="We are on it.", note=" too calm ")
    wanted = {"extract": {"severity": "high"}, "reply": "We are on it."}
    assert said == run.feedback() == Feedback("wrong", wanted, "too calm")
    with restarted(kept) as session:
        again = session.lookup.run(run.id)
        assert again.feedback() == said
        assert again.feedback("right") == again.feedback() == Feedback("right")


@pytest.mark.parametrize(
    ("given", "corrections", "found"),
    [
        (None, {"note": "why"}, "a verdict is missing: write run.feedback"),
        (None, {"reply": "x"}, "a verdict is missing"),
        ("bad", {}, "'bad' is no verdict: write run.feedback"),
        (True, {}, "True is no verdict"),
        ("wrong", {"note": 3}, "note is 3: write a text"),
        ("right", {"reply": "x"}, "a correction of 'reply', and all is right"),
        ("wrong", {"extrct": {}}, "no step 'extrct' of triage ran .*extract"),
        ("wrong", {"extract": {"severty": "high"}}, "extract has no 'severty' .*severity"),
        ("wrong", {"extract": {"severity": "huge"}}, "the correction does not fit 'extract'"),
        ("wrong", {"extract": "high"}, "the correction does not fit 'extract'"),
        ("wrong", {"reply": 3}, "the correction does not fit 'reply'"),
        ("wrong", {"reply": object()}, "reply"),
    ],
)
def test_what_is_no_feedback_is_refused_in_a_line_and_nothing_is_lost(kept, given, corrections, found):
    run = kept.run(CELL, ticket="a")
    run.feedback("wrong", note="kept")
    with pytest.raises(InputError, match=found) as raised:
        run.feedback(given, **corrections)
    assert "\n" not in str(raised.value)
    assert run.feedback() == Feedback("wrong", note="kept")


def test_corrections_are_what_rows_expect(kept):
    triage = kept.define(CELL)
    first, second = triage(ticket="a"), triage(ticket="b")
    assert not {"expect", "_feedback"} & orchmagic.rows(triage)[0].keys()
    first.feedback("wrong", extract={"severity": "high"})
    second.feedback("right")
    triage(ticket="a")  # the same inputs again: the latest output, and what was said of an earlier one
    triage(ticket="c")
    rows = orchmagic.rows(triage)
    assert {r["ticket"]: (r["_feedback"], r["expect"]) for r in rows} == {
        "a": ("wrong", {"extract": {"severity": "high"}}),
        "b": ("right", None),
        "c": (None, None),
    }
    metric = {"severity": "extract.severity == expect.extract['severity'] if expect else None"}
    result = orchmagic.evaluate(triage, on=rows, metrics=metric)
    assert result.details[0].metrics["severity"].value == 0.0


def test_a_history_of_an_older_version_gets_the_column(kept, tmp_path):
    run = kept.run(CELL, ticket="a")
    kept.session.close()
    with sqlite3.connect(tmp_path / "history" / "runs.sqlite") as file:
        file.execute("ALTER TABLE runs DROP COLUMN feedback")
    with restarted(kept) as session:
        old = session.lookup.run(run.id)
        assert old.feedback() is None
        old.feedback("wrong", note="old")
        assert old.feedback() == Feedback("wrong", note="old")


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        *(dict.fromkeys(["", "null", "[]", "{", '{"verdict": 3}', '{"verdict": "good"}'])).items(),
        ('{"verdict": "wrong", "expect": [], "note": 1}', Feedback("wrong")),
    ],
)
def test_what_cannot_be_read_of_it_counts_as_not_said(tmp_path, stored, read):
    store = Store(tmp_path / "runs.sqlite")
    run = store.begin("triage", "chain")
    store.database.write("UPDATE runs SET feedback = ?", stored)
    assert Feedback.from_json(store.run(run).feedback) == read
    store.close()
