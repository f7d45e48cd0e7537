"""Runs side by side: what each took, cost and gave, how well it did, and where their steps differ."""

import json
import re
from dataclasses import replace
from html import unescape

import plotly.graph_objects as go
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

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


def test_the_figure_is_valid_plotly_on_one_time_axis(pair):
    figure = compare(pair).bundle()["application/vnd.plotly.v1+json"]
    go.Figure(figure["data"], figure["layout"])
    (times,) = figure["data"]
    ends = [base + long for base, long in zip(times["base"], times["x"], strict=True)]
    assert len(ends) == 6  # two runs, two steps each
    assert max(ends) <= figure["layout"]["xaxis"]["range"][1]


def words(records):
    """The tick labels of the figure, without markup."""
    found = compare(records).bundle()["application/vnd.plotly.v1+json"]["layout"]["yaxis"]["ticktext"]
    return [unescape(re.sub("<[^>]*>", "", text.replace("<br>", " "))) for text in found]


def test_tokens_and_costs_stand_in_each_row():
    a = made("r1", step("a#1", 0, 1, tokens=10, cost=0.25), step("b#1", 1, 2, tokens=5, cost=0.5), cost=0.75)
    b = made("r2", step("a#1", 0, 4, tokens=30, cost=0.1), cost=0.1)
    assert [re.sub(" · ", ", ", text) for text in words([a, b])] == [
        "A r1 n 2.0 s, 15 tokens, $0.75, 0 calls", "B r2 n 4.0 s, 30 tokens, $0.10, 0 calls",
        "A a 1.0 s, 10 tokens, $0.25", "B a 4.0 s, 30 tokens, $0.10", "A b 1.0 s, 5 tokens, $0.50",
    ]  # fmt: skip


def test_every_row_has_its_letter_so_that_no_colour_is_needed(pair):
    assert [text[0] for text in words(pair)] == ["A", "B"] * 3


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


def test_a_step_that_took_no_time_is_counted_and_not_drawn():
    a = made("r1", step("long#1", 0, 10), step("quick#1", 10, 10, kind="code"))
    said = words([a, a])
    assert said[-1].strip() == "not drawn: 1 that took hardly any time"
    assert not any("quick" in text for text in said)


def test_a_quick_step_that_failed_is_drawn():
    a = made("r1", step("long#1", 0, 10), step("quick#1", 10, 10, kind="code", status="failed"), status="failed")
    assert any("quick" in text for text in words([a, a]))


def test_very_many_steps_are_bounded():
    a = made("r1", *(step(f"s{i}#1", i, i + 1) for i in range(500)))
    assert words([a] * 6)[-1] == "… 470 more steps"
    assert len(json.dumps(compare([a] * 6).bundle())) < 250_000


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
        assert bad not in json.dumps(bundle["application/vnd.plotly.v1+json"], ensure_ascii=False)
    assert not set("\x1b\u202e") & set(bundle["text/plain"])
    assert bundle["text/html"].count("<details") == bundle["text/html"].count("</details>") == 1


def test_a_notebook_shows_the_runs_the_figure_and_the_differences(pair):
    runs, chart, differences = compare(pair).bundles()
    assert set(runs) == set(differences) == {"text/html", "text/plain"}
    assert set(chart) == {"application/vnd.plotly.v1+json", "text/html", "text/plain"}
    assert "A → no" in runs["text/html"]
    assert repr(compare(pair)) == compare(pair).bundle()["text/plain"]


def test_a_cell_ends_with_three_displays(pair):
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.user_ns["found"] = compare(pair)
    try:
        with capture_output() as shown:
            assert shell.run_cell("found").success
    finally:
        InteractiveShell.clear_instance()
    assert [sorted(o.data) for o in shown.outputs] == [sorted(b) for b in compare(pair).bundles()]


def test_runs_of_nothing_can_be_compared():
    figure = compare([made("r1"), made("r2")]).bundle()["application/vnd.plotly.v1+json"]
    go.Figure(figure["data"], figure["layout"])
