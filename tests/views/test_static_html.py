"""Saved HTML for GitHub, nbviewer and nbconvert: one line a row, no picture, no script, and the honest marks in words."""

import re
from html import unescape

import pytest

from orchmagic import Reply, Script, install
from orchmagic.trace import humanize, marks
from orchmagic.trace.item_table import ItemTable
from orchmagic.trace.record import Record
from orchmagic.views import answer, bundle
from orchmagic.views.answer import LAST
from orchmagic.views.formats import html
from orchmagic.views.truncate import bound

RATE = "%%chain rate --no-cache\nrate(over=posts, item=post) -> label: str\n    Rate {{ post }}"
LOW = "Low confidence"


def whole(run):
    record = Record.from_json(run.record.to_json())
    return f"{answer.bundle(record)['text/html']}\n{html.render(record)}"


def words(text):
    return unescape(re.sub("<[^>]*>", "", text)).replace("\xa0", " ")


def rating(body):
    return Reply(fault="refusal") if body["messages"][-1]["content"].endswith("post 3") else {"label": "fine"}


@pytest.fixture
def rated(notebook):
    install(Script(rating))
    return notebook.run(RATE, posts=[f"post {n}" for n in range(1, 41)])


def test_no_picture_and_no_script_and_a_line_for_each_row(rated):
    text = whole(rated)
    assert not re.search(r"<(svg|script|img|style|iframe)\b", text)
    assert all(line.count("<tr>") <= 1 for line in text.splitlines())
    assert text.count("<details") == text.count("</details>") >= 2
    assert all("style=" in cell for cell, said in re.findall(r"(<t[dh][^>]*>)([^<]*)", text) if said)


def test_rows_that_failed_come_first_and_are_counted(rated):
    said = words(whole(rated))
    assert said.splitlines()[1].startswith("! Done, with failures · rate · ")
    assert "40 rows · 1 failed" in said
    assert "1 of 40 rows failed in rate" in said
    first = next(line for line in said.splitlines() if line.startswith("✗3post 3"))
    assert "refused" in first or "refusal" in first
    assert "… 25 more rows" in said


def test_the_table_of_a_run_has_every_row_in_the_order_to_look_at_them(rated):
    table = rated.table()
    assert [row["row"] for row in table] == [3, *(n for n in range(1, 41) if n != 3)]
    assert (table[0]["status"], table[0]["output"], bool(table[0]["error"])) == ("failed", None, True)
    assert table[1] == {
        "row": 1, "status": "done", "doubt": "", "input": "post 1", "output": {"label": "fine"}, "error": "",
    }  # fmt: skip
    assert (table.columns, table.step) == (["label"], "rate#1")
    assert rated.table("rate") == table
    assert rated.table("other") == []


def test_a_run_without_items_has_no_table(notebook):
    install(Script(["hi"]))
    assert ItemTable(notebook.run("%%chain one --no-cache\na\n    x").record) == []


def test_the_path_is_text_with_the_marks_of_its_steps(notebook):
    install(Script([1, 5, "done"]))
    run = notebook.run(
        "%%chain t --no-cache\ndraft -> int\n    A number\ngate draft > 3 else retry 2\nreply\n    Say {{ draft }}"
    )
    gate = run.record.steps[1].name
    assert f"draft → ! {gate} → draft → {gate} → reply" in words(whole(run))


CAPPED = "%%chain t --no-cache --max-steps 2\na\n    x\nb\n    y {{ a }}\nc\n    z {{ b }}"
FAILED = "%%chain t --no-cache\na\n    x\nb = 1 / 0"


@pytest.mark.parametrize(("cell", "word"), [(CAPPED, "Stopped at its limit"), (FAILED, "Failed")])
def test_the_last_value_of_a_run_that_stopped_is_not_shown_as_its_answer(notebook, cell, word):
    install(Script(["one", "two"]))
    run = notebook.run(cell)
    text, plain = words(whole(run)), answer.bundle(run.record)["text/plain"]
    assert f"{marks.of(run.record).sign} {word} · t" in text
    assert run.record.output is not None
    assert LAST in text
    assert LAST in plain
    assert "✓ Done" not in text


@pytest.mark.parametrize(("least", "sign"), [(0.9, "!"), (0.5, "✓")])
def test_a_vote_below_its_least_agreement_is_low_confidence(notebook, least, sign):
    install(Script([{"label": "a"}, {"label": "b"}, {"label": "a"}]))
    cell = f"%%chain t --no-cache\nreview(votes=3, by=label, min={least}) -> label: str\n    Say a or b"
    run = notebook.run(cell)
    assert (marks.of(run.record).sign, marks.of(run.record.steps[0]).sign) == (sign, sign)
    assert (LOW in words(whole(run))) is (sign == "!")


@pytest.mark.parametrize(("logprob", "sign"), [(-0.9, "!"), (-0.1, "✓")])
@pytest.mark.parametrize("around", [None, "x = desk(question=q)", "x(run=desk, over=[q], item=question)"])
def test_a_router_below_its_minimum_is_low_confidence_wherever_it_runs(notebook, logprob, sign, around):
    desk = """%%route desk --no-cache --min-confidence 0.6 --otherwise other
router
    Which? {{ question }}
billing: money
    B {{ question }}
other: the rest
    O {{ question }}"""
    label = Reply({"label": "billing"}, logprobs=[('{"label": "', 0), ("billing", logprob), ('"}', 0)])
    install(Script([label, "said", "last"]))
    if around is None:
        run = notebook.run(desk, question="q")
    else:
        made = notebook.define(desk)
        run = notebook.run(f"%%chain outer --no-cache\n{around}\nlast\n    Say {{{{ x }}}}", q="q", desk=made)
    assert run.status == "done"
    assert marks.of(run.record).sign == sign
    assert marks.of(run.record.steps[0]).sign == sign
    assert words(whole(run)).splitlines()[1].startswith("✓ Done" if sign == "✓" else "! Low confidence")
    assert ("0.6 needed" in words(whole(run))) is (sign == "!")


def test_of_a_thousand_rows_twenty_failed_and_every_saved_form_says_so(notebook):
    install(
        Script(lambda body: Reply(fault="refusal") if int(body["messages"][-1]["content"][10:]) % 50 == 0 else "ok")
    )
    run = notebook.run(
        "%%chain big --no-cache --concurrency 64\nrate(over=posts, item=post)\n    Rate {{ post }}",
        posts=[f"post {n}" for n in range(1, 1001)],
    )
    saved = bound(Record.from_json(run.record.to_json()))
    assert ItemTable(run.record).headline == ItemTable(saved).headline == "1,000 rows · 20 failed"
    assert (marks.of(saved).word, saved.reason) == ("Done, with failures", "20 of 1,000 rows failed in rate")
    forms = bundle(run.record)
    figure = forms["application/vnd.plotly.v1+json"]["layout"]["yaxis"]["ticktext"][0]
    for text in (
        answer.bundle(saved)["text/html"],
        forms["text/html"],
        forms["text/plain"],
        figure.replace("<br>", " "),
    ):
        assert re.search(r"1,000 rows\W+20 failed", words(text))


def test_text_of_plain_letters_needs_no_isolation():
    assert humanize.safe("<b> & 5") == "&lt;b&gt; &amp; 5"
    assert humanize.safe("שלום") == "<bdi>שלום</bdi>"
    assert humanize.safe("5 € ✓") == "5 € ✓"
