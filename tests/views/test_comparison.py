"""Runs side by side: what each took, cost and gave, how well it did, and where their steps differ."""

import json
import re
from dataclasses import replace
from html import unescape

import pytest
from IPython.core.formatters import DisplayFormatter

from orchmagic import Reply
from orchmagic.errors import InputError
from orchmagic.trace.events import Usage
from orchmagic.trace.reasons import Reason
from orchmagic.trace.record import Picture, Record, Span
from orchmagic.views.comparison import compare
from orchmagic.views.comparison.quality import quality
from orchmagic.views.palette import GREEN, RED, translucent

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)></details>\x1b[31m\u202e$a^2$"
CELL = "%%chain answer --no-cache\ndraft -> text: str, score: float\n    Answer {{ q }}\ncheck\n    Check {{ draft.text }}\n"
REFINE = """%%refine tagline --no-cache
generate
    A tagline for {{ product }}.
evaluate -> score: float, feedback: str
    Score: {{ generate }}
until evaluate.score >= 8 max 2"""
SURE = Reason("decision", choice="billing", detail="money", confidence=0.93, basis="logprobs")


def step(id_, start, end, *, tokens=0, cost=0.0, status="done", output=None, kind="call"):
    name = id_.partition("#")[0]
    usage = Usage(input=tokens)
    return Span(id_, None, kind, name, status, start, end, usage=usage, cost=cost, output=output)


def made(run, *steps, status="done", output="out", cost=0.0):
    return Record(
        run=run, name="n", pattern="chain", status=status, started="", seconds=max((s.end for s in steps), default=0.0),
        usage=sum((s.usage for s in steps), Usage()), cost=cost, unpriced=0, calls=0, cached=0, inputs={}, output=output,
        error=None, reason=None, limits={}, picture=Picture(), spans=steps,
    )  # fmt: skip


@pytest.fixture
def pair(notebook):
    notebook.script({"text": "one", "score": 0.25}, "no", {"text": "two", "score": 0.75}, "yes")
    return [notebook.run(CELL, q=q).record for q in ("x", "y")]


def test_a_row_tells_what_a_run_took_and_gave(pair):
    first, second = compare(pair).rows
    assert (first["letter"], second["letter"]) == ("A", "B")
    assert (first["status"], first["calls"], first["cached"], first["models"]) == ("done", 2, 0, ["scripted"])
    assert (first["tokens"], first["output"]) == (pair[0].usage.total, "no")
    assert second["quality"] == {"draft.score": 0.75}


@pytest.mark.parametrize("count", [0, 1, 7])
def test_two_to_six_runs_can_be_compared(pair, count):
    with pytest.raises(InputError, match="name 2 to 6"):
        compare([pair[0]] * count)


def test_six_runs_have_six_letters(pair):
    assert [row["letter"] for row in compare([pair[0]] * 6).rows] == list("ABCDEF")


def cells(records):
    """The second table, of steps: for each row the texts of its cells, and the length of each bar in em."""
    table = compare(records).bundle()["text/html"].split("<table")[2].partition("</table>")[0]
    rows = [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr>")[1:]]
    texts = [[unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in rows]
    return texts, [[*map(float, re.findall("width:([0-9.]+)em", "".join(row)))] for row in rows]


def test_tokens_and_costs_stand_above_bars_of_one_scale():
    a = made("r1", step("a#1", 0, 1, tokens=10, cost=0.25), step("b#1", 1, 2, tokens=5, cost=0.5), cost=0.75)
    b = made("r2", step("a#1", 0, 4, tokens=30, cost=0.1), cost=0.1)
    texts, bars = cells([a, b])
    assert texts == [
        ["step", "A r1", "B r2"],
        ["a", "1.0 s · 10 tok · $0.25", "4.0 s · 30 tok · $0.10"],
        ["b", "1.0 s · 5 tok · $0.50", "-"],
    ]
    assert bars == [[], [2.8, 11.0], [2.8]]


def test_a_step_without_time_has_a_bar_that_is_seen():
    a = made("r1", step("a#1", 0, 9), step("b#1", 9, 9, tokens=1))
    assert cells([a, a])[1] == [[], [11.0, 11.0], [0.2, 0.2]]


def test_steps_of_several_visits_are_kept_apart_and_named():
    a = made("r1", step("try#1", 0, 1), step("try#2", 1, 2))
    b = made("r2", step("try#1", 0, 1))
    text = compare([a, b]).bundle()["text/plain"]
    assert "try 2  1.0 s  -" in text


def test_steps_that_only_a_later_run_came_to_stand_where_it_came_to_them():
    a = made("r1", step("a#1", 0, 1), step("c#1", 1, 2))
    b = made("r2", step("a#1", 0, 1), step("b#1", 1, 2), step("c#1", 2, 3))
    text = compare([a, b]).bundle()["text/plain"]
    assert text.index("\na  ") < text.index("\nb  ") < text.index("\nc  ")


def test_a_step_that_took_no_time_is_counted_and_not_shown():
    a = made("r1", step("long#1", 0, 10), step("quick#1", 10, 10, kind="code"))
    bundle = compare([a, a]).bundle()
    assert "<div>not shown: 1 step that took hardly any time</div>" in bundle["text/html"]
    assert "\nnot shown: 1 step that took hardly any time\n" in bundle["text/plain"]
    assert "quick" not in str(cells([a, a])[0])


def test_a_quick_step_that_failed_is_shown():
    a = made("r1", step("long#1", 0, 10), step("quick#1", 10, 10, kind="code", status="failed"), status="failed")
    assert ["quick", *["✗ Failed 0 ms"] * 2] in cells([a, a])[0]


def test_very_many_steps_are_bounded():
    a = made("r1", *(step(f"s{i}#1", i, i + 1) for i in range(500)))
    assert "<div>… 470 more steps</div>" in compare([a] * 6).bundle()["text/html"]
    assert len(json.dumps(compare([a] * 6).bundle())) < 80_000


def test_prices_are_no_formula_and_the_tables_stand_one_row_a_line(pair):
    html = compare(pair).bundle()["text/html"]
    assert html.count("<div class=") == html.count('class="tex2jax_ignore mathjax_ignore"') == 3
    assert all(line.count("<tr>") <= 1 for line in html.splitlines())


def test_long_outputs_are_bounded():
    a = made("r1", step("a#1", 0, 1, output="x" * 1_000_000), output="x" * 1_000_000)
    b = made("r2", step("a#1", 0, 1, output="\n".join(map(str, range(100_000)))), output="short")
    assert len(json.dumps(compare([a, b]).bundle())) < 60_000


def test_a_long_line_of_a_difference_is_shortened_and_shows_that_it_is():
    a, b = (made(run, step("a#1", 0, 1, output=text * 1_000)) for run, text in (("r1", "x"), ("r2", "y")))
    assert f"- {'x' * 397}…<" in compare([a, b]).bundle()["text/html"]


def test_the_difference_of_prompts_and_outputs_is_told_with_signs_and_colours(pair):
    bundle = compare(pair).bundle()
    assert "    - Answer x\n    + Answer y" in bundle["text/plain"]
    html = bundle["text/html"]
    assert "<details open>" in html
    assert f'<div style="background:{translucent(RED, 0.18)}">&nbsp;&nbsp;&nbsp;&nbsp;- Answer x</div>' in html
    assert f'<div style="background:{translucent(GREEN, 0.18)}">&nbsp;&nbsp;&nbsp;&nbsp;+ Answer y</div>' in html


def test_every_run_is_compared_with_the_first(pair):
    text = compare([*pair, replace(pair[0], run="r9")]).bundle()["text/plain"]
    assert "r1 answer (Done) → r2 answer (Done)" in text
    assert "r1 answer (Done) → r9 answer (Done)" in text


def test_steps_of_one_run_alone_share_a_line():
    a = made("r1", step("a#1", 0, 1), step("b#1", 1, 2), step("c#1", 2, 3))
    b = made("r2", step("a#1", 0, 1))
    assert "b#1, c#1: only in the first run" in compare([a, b]).bundle()["text/plain"]


def test_quality_is_read_from_outputs_that_name_it():
    a = made(
        "r1",
        step("vote#1", 0, 1, output={"label": "ok", "agreement": 0.8}),
        step("answer#1", 1, 2, output="text"),
        step("verified#1", 2, 3, output=True, kind="code"),
        output={"confidence": 0.5, "score": "not a number"},
    )
    assert quality(a) == {"vote.agreement": 0.8, "verified": 1.0, "confidence": 0.5}


def test_the_best_round_counts_not_the_last(notebook):
    notebook.script("a", {"score": 6, "feedback": "f"}, "b", {"score": 4, "feedback": "f"})
    found = quality(notebook.run(REFINE, product="a lamp").record)
    assert found["rounds.best score"] == 6
    assert found["evaluate.score"] == 4


def test_a_confidence_that_a_decision_tells_counts():
    a = made("r1", replace(step("router#1", 0, 1), why=(SURE,)))
    assert quality(a) == {"router.confidence": 0.93}


def test_a_failed_run_shows_why(notebook, pair):
    notebook.script(Reply(fault="400"))
    failed = notebook.run(CELL, q="z").record
    bundle = compare([pair[0], failed]).bundle()
    assert "✗ Failed" in bundle["text/plain"]
    assert "B → scripted rejected the request (400)" in bundle["text/html"]


def test_hostile_texts_stay_texts(notebook):
    notebook.script({"text": HOSTILE, "score": 1}, HOSTILE, {"text": "fine", "score": 1}, "fine")
    records = [notebook.run(CELL, q=q).record for q in (HOSTILE, "y")]
    assert [r.status for r in records] == ["done", "done"]
    bundle = compare(records).bundle()
    for bad in ("<script", "<img", "\x1b", "\u202e"):
        assert bad not in bundle["text/html"]
    assert not set("\x1b\u202e") & set(bundle["text/plain"])
    assert bundle["text/html"].count("<details") == bundle["text/html"].count("</details>") == 1


def test_a_cell_ends_with_one_output_that_is_static(pair):
    data, _ = DisplayFormatter().format(compare(pair))
    assert data == compare(pair).bundle()
    assert set(data) == {"text/html", "text/plain"}
    assert "A → no" in data["text/html"]
    assert repr(compare(pair)) == data["text/plain"]


def test_runs_of_nothing_can_be_compared():
    assert cells([made("r1"), made("r2")]) == ([["step", "A r1", "B r2"]], [[]])
