"""`orchmagic.label`: rows are drawn at random, each label is on disk at once, and what the labels are used for."""

from __future__ import annotations

import json

import pytest

import orchmagic
from orchmagic.errors import InputError
from orchmagic.evaluation.evaluate import Evaluation
from orchmagic.evaluation.evaluate_cell import read_cell
from orchmagic.notebook import labelling
from orchmagic.notebook.labelling import LabelPanel

ANSWER = "%%chain answer --model scripted\nsay\n    Echo {{ ticket }}\n"
JUDGED = """answer --on {rows}
helpful(model=scripted, human=good) -> verdict: "good" | "bad", why: str
    Answer: {{{{ output }}}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def here(notebook, monkeypatch):
    """The session of the notebook, as `orchmagic.label` finds it."""
    monkeypatch.setattr(labelling, "session_here", lambda: notebook.session)
    return notebook


def rows_of(count):
    return [{"ticket": f"no {i}", "output": f"answer {i}", "_status": "done"} for i in range(count)]


def panel_of(labels):
    pytest.importorskip("ipywidgets")
    return LabelPanel(labels)


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_rows_are_drawn_at_random_by_content_and_seed():
    rows = rows_of(50)
    drawn = list(orchmagic.label(rows).items)
    assert drawn == list(orchmagic.label(rows[::-1]).items)
    assert drawn != list(orchmagic.label(rows, seed=1).items)
    places = [item.place for item in orchmagic.label(rows).items.values()]
    assert places != sorted(places)
    assert sorted(places) == [*range(50)]


def test_each_click_is_on_disk_before_the_next_row_is_shown(folder):
    labels = orchmagic.label(rows_of(5), "good")
    panel = panel_of(labels)
    ids = list(labels.items)
    file = folder / "labels_good.jsonl"
    for number, (verdict, text) in enumerate([("right", ""), ("wrong", "better"), ("skip", ""), ("wrong", "")], 1):
        panel.correction.value = text
        panel.buttons[verdict].click()
        assert len(lines(file)) == number
    assert [(line["id"], line["verdict"], line["correction"]) for line in lines(file)] == [
        (ids[0], "right", None), (ids[1], "wrong", "better"), (ids[2], "skip", None), (ids[3], "wrong", None),
    ]  # fmt: skip
    assert "3 of 5 rows labelled, 1 skipped" in panel.head.value
    again = orchmagic.label(rows_of(5), "good")  # another kernel: nothing was closed here
    assert again.next.id == ids[4]
    assert again.rows == labels.rows


@pytest.mark.parametrize(
    ("typed", "verdict"), [("y", "right"), ("n", "wrong"), ("S", "skip"), (" y", "right"), ("x", None)]
)
def test_keys_label(typed, verdict):
    labels = orchmagic.label(rows_of(3))
    panel, first = panel_of(labels), labels.next
    panel.keys.value = typed
    said = labels.said(first.id)
    assert (said and said.verdict) == verdict
    assert panel.keys.value == ""


def test_back_shows_the_row_before_and_the_last_word_counts(folder):
    labels = orchmagic.label(rows_of(3))
    panel, first = panel_of(labels), labels.next
    panel.say("right")
    panel.back.click()
    assert first.output in panel.row.value
    panel.say("wrong")
    assert labels.said(first.id).verdict == "wrong"
    assert [line["verdict"] for line in lines(folder / "labels.jsonl")] == ["right", "wrong"]


def test_all_text_of_a_row_is_shown_as_text():
    row = {"ticket": "<script>alert(1)</script>", "output": "long " * 2000 + "end <b>"}
    panel = panel_of(orchmagic.label([row]))
    assert "<script>" not in panel.row.value
    assert "end &lt;b&gt;" in panel.row.value
    panel.say("right")
    assert "All rows were shown" in panel.row.value
    assert all(button.disabled for button in panel.buttons.values())
    panel.say("right")  # nothing is left: no effect


def test_a_correction_of_a_right_row_is_not_lost():
    labels = orchmagic.label(rows_of(2))
    panel = panel_of(labels)
    panel.correction.value = "better"
    panel.say("right")
    assert "call it wrong" in panel.note.value
    assert (labels.counts(), panel.correction.value) == ("0 of 2 rows labelled", "better")


def test_labels_are_columns_of_the_rows(folder):
    labels = orchmagic.label(rows_of(4), "good")
    one, other, skipped, _ = labels.items
    labels.set(one, "right")
    labels.set(other, False, correction={"team": "billing"})
    labels.set(skipped, "skip")
    found = {labels.items[i].place: row for i in labels.items for row in [labels.rows[labels.items[i].place]]}
    by_id = {i: found[labels.items[i].place] for i in labels.items}
    assert [(row["good"], row["expect"]) for row in by_id.values()] == [
        (True, by_id[one]["output"]), (False, {"team": "billing"}), (None, None), (None, None),
    ]  # fmt: skip
    assert len(labels) == 4
    assert list(labels) == labels.rows
    table = labels.df()
    assert table["_id"].tolist() == list(labels.items)
    assert table["_label"].tolist()[:3] == ["right", "wrong", "skip"]
    assert f'labels.set("{labels.next.id}", "right", "wrong" or "skip")' in repr(labels)


def test_rows_without_an_output_get_what_would_be_right():
    labels = orchmagic.label([{"ticket": "a"}, {"ticket": "b"}])
    panel, first = panel_of(labels), labels.next
    assert panel.buttons["right"].disabled
    panel.keys.value = "y"
    assert "no output that could be right" in panel.note.value
    panel.correction.value = "billing"
    panel.keys.value = "n"
    assert labels.rows[first.place]["expect"] == "billing"


def test_labels_of_runs_are_feedback_and_rows_have_them(here):
    here.script(lambda body: json.dumps({"team": "tech", "urgent": True}))
    triage = here.define('%%chain triage\nextract -> team: "tech" | "billing", urgent: bool\n    Ticket {{ ticket }}\n')
    for ticket in ("a", "b", "c"):
        triage(ticket=ticket)
    labels = orchmagic.label(orchmagic.rows(triage))
    panel = panel_of(labels)
    first, second, _ = labels.items.values()
    panel.say("right")
    panel.correction.value = '{"team": "nobody"}'
    panel.say("wrong")
    assert "the correction does not fit &#x27;extract&#x27;" in panel.note.value
    assert labels.said(second.id) is None  # nothing is kept of what does not fit
    panel.correction.value = '{"team": "billing"}'
    panel.say("wrong")
    found = {row["ticket"]: (row["_feedback"], row["expect"]) for row in orchmagic.rows(triage)}
    assert found[first.shown["ticket"]] == ("right", None)
    assert found[second.shown["ticket"]] == ("wrong", {"extract": {"team": "billing"}})


def test_the_run_of_another_history_is_not_judged(here):
    here.script("x", "x")
    triage = here.define("%%chain triage\nsay\n    About {{ ticket }}\n")
    run = triage(ticket="a")
    labels = orchmagic.label(
        [{"ticket": "b", "output": "x", "_run": run.id}, {"ticket": "c", "output": "x", "_run": "r999"}]
    )
    for id_ in labels.items:
        labels.set(id_, "wrong")
    assert run.feedback() is None
    assert [row["human"] for row in labels] == [False, False]


def test_labels_correct_a_judge_and_hold_for_the_labelled_answers_only(here):
    def reply(body):
        text = body["messages"][-1]["content"]
        return '{"verdict": "good", "why": "so"}' if "Answer" in text else text.split()[-1] + str(body["model"])

    here.script(reply)
    here.define(ANSWER)

    def evaluated(rows):
        here.space["tickets"] = rows
        line, _, body = JUDGED.format(rows="tickets").partition("\n")
        return Evaluation(read_cell(line, body, here.space, here.session.find).setup).run()

    first = evaluated([{"ticket": f"no {i}", "good": None} for i in range(30)])
    labels = orchmagic.label(first, "helpful")
    assert (labels.column, labels.words, labels.path.name) == ("good", ("good", "bad"), "labels_helpful.jsonl")
    for number, id_ in enumerate(list(labels.items)[:24]):
        labels.set(id_, "good" if number % 4 else "bad")
    [calibration] = evaluated(labels).calibration
    assert (calibration.labels, calibration.kind) == (24, 6)
    assert 'Label more: orchmagic.label(result, "helpful").' in calibration.text()
    here.define(ANSWER.replace("Echo", "Say"))  # other answers: the labels are not theirs
    here.script(lambda body: reply(body) if "Answer" in str(body) else "other")
    assert evaluated(labels).calibration == []
    assert labels.counts() == "24 of 30 rows labelled"
    assert orchmagic.label(first).column == "good"  # the judge is labelled if no metric is named
    with pytest.raises(InputError, match=r"no metric 'helpfull'.*did you mean 'helpful'"):
        orchmagic.label(first, "helpfull")
    with pytest.raises(InputError, match="no variant 'x'"):
        orchmagic.label(first, variant="x")


def test_rows_that_persons_labelled_before_are_not_drawn_again():
    rows = [{"ticket": str(i), "output": "x", "good": [True, None, False][i % 3]} for i in range(9)]
    labels = orchmagic.label(rows, "good")
    assert (len(labels.items), labels.counts()) == (3, "6 of 9 rows labelled")
    assert [row["good"] for row in labels][:3] == [True, None, False]


BAD = {
    "a column": (lambda: orchmagic.label([{"team": "tech"}], "team"), "'team' is a column of the rows ('tech'): give the labels another name"),
    "no rows": (lambda: orchmagic.label([]), "rows has no rows"),
    "no table": (lambda: orchmagic.label(3), "rows is of type int"),
    "a variant": (lambda: orchmagic.label(rows_of(1), variant="a"), "rows have no variants"),
    "file": (lambda: orchmagic.label(rows_of(1), file="a.csv"), "its name must end in .jsonl"),
    "id": (lambda: orchmagic.label(rows_of(1)).set("x", "right"), "no row 'x': labels.df() has the column _id"),
    "verdict": (lambda: _set("rihgt"), "'rihgt' is no label: write right, wrong, skip; did you mean 'right'?"),
    "correction": (lambda: _set("right", "b"), "a correction of a row that is right"),
    "no folder": (lambda: _set("right", file="none/a.jsonl"), "the label cannot be written to"),
}  # fmt: skip


def _set(verdict, correction=None, file=None):
    labels = orchmagic.label(rows_of(1), file=file)
    labels.set(labels.next.id, verdict, correction)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_to_write_and_keeps_nothing(folder, case):
    call, words = BAD[case]
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
    assert [*folder.glob("*.jsonl")] == []


def test_a_line_that_a_crash_cut_off_is_left_out_and_another_file_is_refused(folder):
    labels = orchmagic.label(rows_of(3))
    one, other, third = labels.items
    labels.set(one, "right")
    file = folder / "labels.jsonl"
    file.write_bytes(file.read_bytes() + b'{"id": "abc", "verd')
    again = orchmagic.label(rows_of(3))
    assert again.next.id == other
    again.set(other, "wrong")
    assert orchmagic.label(rows_of(3), seed=0, file=file).next.id == third
    (folder / "rows.jsonl").write_text('{"ticket": "a"}\n', "utf-8")
    with pytest.raises(InputError, match=r"rows.jsonl, line 1, is no label: name another file"):
        orchmagic.label(rows_of(3), file="rows.jsonl")


def test_an_api_key_is_not_written(folder, monkeypatch):
    key = "sk-Qm7fT2xVb9LzR4wK8nPd"
    session = orchmagic.Session({}, environ={"OPENAI_API_KEY": key, "ORCHMAGIC_CACHE_DIR": str(folder)})
    monkeypatch.setattr(labelling, "session_here", lambda: session)
    labels = orchmagic.label(rows_of(1))
    with pytest.raises(InputError, match="holds an API key"):
        labels.set(labels.next.id, "wrong", f"use {key}")
    assert not (folder / "labels.jsonl").exists()
    session.close()


def test_without_widgets_it_is_text_and_never_waits():
    labels = orchmagic.label(rows_of(2))
    assert labels._repr_mimebundle_() == {"text/plain": repr(labels)}
    assert repr(labels).startswith("0 of 2 rows labelled; the labels are in ")


@pytest.fixture
def clock(monkeypatch):
    """`clock(n)`: the messages that are handled from now on were sent at moment n."""
    moment = []
    monkeypatch.setattr(labelling, "_when_sent", lambda: moment[-1] if moment else None)
    return moment.append


def corrections(labels):
    return [(label.verdict, label.correction) for label in map(labels.said, labels.items) if label]


def test_a_correction_that_arrives_after_the_verdict_belongs_to_the_row_it_was_typed_for(clock):
    labels = orchmagic.label(rows_of(4), "good")
    panel = panel_of(labels)
    for moment, verdict in ((1, "right"), (3, "wrong"), (4, "skip")):
        clock(moment)
        panel.say(verdict)
    clock(2)
    panel.correction.value = "better"
    assert corrections(labels) == [("right", None), ("wrong", "better"), ("skip", None)]
    assert panel.correction.value == ""
    clock(5)
    panel.correction.value = "for the row that is shown"
    panel.say("wrong")
    assert corrections(labels)[-1] == ("wrong", "for the row that is shown")


def test_a_late_correction_of_a_row_that_was_called_right_is_told(clock):
    labels = orchmagic.label(rows_of(3), "good")
    panel = panel_of(labels)
    clock(2)
    panel.say("right")
    clock(1)
    panel.correction.value = "better"
    assert corrections(labels) == [("right", None)]
    assert "The correction &#x27;better&#x27; came late" in panel.note.value
    assert panel.correction.value == ""


def test_where_the_front_end_does_not_say_when_it_sent_a_correction_is_of_the_row_that_is_shown():
    labels = orchmagic.label(rows_of(3), "good")
    panel = panel_of(labels)
    panel.say("right")
    panel.correction.value = "better"
    panel.say("wrong")
    assert corrections(labels) == [("right", None), ("wrong", "better")]
