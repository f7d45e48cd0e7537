"""The Plotly form tells the story in words and marks, which are all tick labels that Plotly measures."""

import re
from dataclasses import replace
from html import unescape

import pytest
from test_views_truncated import a_run, many_items

from orchmagic import Reply, views
from orchmagic.trace.reasons import Reason
from orchmagic.trace.record import Span
from orchmagic.views.bar_figure import end_of
from orchmagic.views.palette import FIGURE_FAILED, RED
from orchmagic.views.timeline.rows import rows_of

PLOTLY = "application/vnd.plotly.v1+json"


def figure(record):
    return views.bundle(record)[PLOTLY]


def labels(record):
    """The words of each row, without markup: its tick label."""
    found = figure(record)["layout"]["yaxis"]["ticktext"]
    return [unescape(re.sub("<[^>]*>", "", text.replace("<br>", " "))).replace("\xa0", " ") for text in found]


def bars(record):
    """The one trace of the figure."""
    (found,) = figure(record)["data"]
    return found


def span(name, start, end, **fields):
    return Span(
        **{"id": f"{name}#1", "parent": None, "kind": "call", "name": name, "status": "done"} | fields,
        start=start,
        end=end,
    )


def showing(*spans):
    return replace(a_run(0), spans=spans, seconds=max(s.end for s in spans))


def test_the_last_row_has_the_sums_in_words():
    record = a_run(7)
    assert labels(record)[-1].startswith(f"✓ Done {record.usage.total:,} tokens (input + output)")
    assert " · total $0.0086" in labels(record)[-1]


def test_all_words_are_tick_labels_that_plotly_measures():
    layout = figure(a_run(7))["layout"]
    assert not {"annotations", "title", "shapes"} & layout.keys()
    assert layout["yaxis"]["automargin"] is True
    assert {key for trace in figure(a_run(7))["data"] for key in trace if key.startswith("text")} == set()


def test_the_slow_step_says_how_much_of_the_time_it_took():
    words = labels(showing(span("a", 0, 1), span("b", 1, 9), span("c", 9, 10)))
    assert ["% of total time" in w for w in words] == [False, True, False, False]
    assert "80% of total time" in words[1]
    assert "of total time" not in labels(showing(span("only", 0, 1)))[0]


def test_a_fallback_names_the_model_that_answered(notebook):
    notebook.session.add_models({n: {"provider": "scripted", "model": "scripted"} for n in ("first", "second")})
    notebook.script(Reply(fault="quota"), "the reply")
    record = notebook.run("%%chain --no-cache --model first --fallback second\na\n    x\n").record
    assert "switched to second" in labels(record)[0]
    assert "crossed: failed attempt" in labels(record)[-1]


def test_a_cached_answer_is_striped_and_says_so(notebook):
    notebook.script("the reply")
    notebook.run("%%chain\na\n    x\n")
    record = notebook.run("%%chain\na\n    x\n").record
    assert "from cache" in labels(record)[0]
    assert bars(record)["marker"]["pattern"]["shape"] == ["/"]
    assert "striped: from cache" in labels(record)[-1]


def test_scores_stand_at_their_rounds_and_the_best_one_is_marked(notebook):
    scores = iter((4, 9, 7))
    cell = "%%refine --no-cache\ngenerate\n    A\nevaluate -> score: float\n    B\nuntil evaluate.score > 9 max 3\n"
    notebook.script(lambda body: {"score": next(scores)} if body["messages"][-1]["content"] == "B" else "text")
    record = notebook.run(cell).record
    told = [w for r, w in zip(rows_of(record)[0], labels(record), strict=False) if r.span.name == "evaluate"]
    assert [re.search(r"score (\d(?: ★ best)?)", t)[1] for t in told] == ["4", "9 ★ best", "7"]
    assert sum("scores by round" in w for w in labels(record)) == 1


def test_what_sets_the_total_time_is_marked_only_where_something_ran_beside_it():
    record = showing(span("a", 0, 1), span("quick", 1, 2), span("slow", 1, 5), span("end", 5, 6))
    assert ["◆" in w for w in labels(record)] == [True, False, True, True, True]
    assert "◆ sets the total time" in labels(record)[-1]
    assert not any("◆" in w for w in labels(showing(span("a", 0, 1), span("b", 1, 2))))


def test_a_failed_step_is_red_and_says_why():
    record = showing(span("a", 0, 1), span("b", 1, 2, status="failed", error="401 from somewhere"))
    assert "Failed: 401 from somewhere" in labels(record)[1]
    ticks = figure(record)["layout"]["yaxis"]["ticktext"]
    assert [f"color:{FIGURE_FAILED}" in text for text in ticks] == [False, True, False]
    assert bars(record)["marker"]["color"][1] == RED


def test_a_step_of_a_thousand_items_counts_those_that_have_no_row():
    assert "1,000 rows, 2 failed" in labels(many_items(1_000))[0]


@pytest.mark.parametrize(
    ("most", "end"), [(0.0031, 0.004), (0.9, 1), (1.0, 1), (1.2, 2), (5.1, 6), (47, 60), (101, 200)]
)
def test_an_axis_ends_at_a_round_number(most, end):
    assert end_of(most) == pytest.approx(end)


def test_a_wide_script_has_half_as_many_characters_in_a_line():
    record = showing(span("漢字" * 30, 0, 1, why=(Reason("note", text="x"),)), span("W" * 60, 1, 2))
    heads = [text.split("<br>")[0] for text in figure(record)["layout"]["yaxis"]["ticktext"]]
    assert [len(head) for head in heads[:2]] == [17, 30]


def test_hovering_tells_input_output_decision_and_reason_in_bounded_lines():
    asked = [{"role": "user", "content": "Which team? " + "x" * 500}]
    record = showing(
        span(
            "router",
            0,
            1,
            input=asked,
            output={"label": "billing"},
            why=(Reason("decision", choice="billing", detail="money back"),),
        )
    )
    (hover,) = bars(record)["hovertext"]
    lines = hover.split("<br>")
    assert any(line.startswith("Prompt: Which team?") for line in lines)
    assert any(line.startswith('Reply: { "label": "billing"') for line in lines)
    assert "→ billing: money back" in lines
    assert max(len(line) for line in lines) <= 70
    assert len(lines) < 16


def test_a_figure_is_high_enough_for_its_highest_label():
    record = showing(
        span("only", 0, 1, input="x" * 500, output="y" * 500, why=tuple(Reason("note", text=text) for text in "abcd"))
    )
    (hover,) = bars(record)["hovertext"]
    assert figure(record)["layout"]["height"] >= 16 * (hover.count("<br>") + 2)
    assert "d" not in hover.split("<br>")  # the fourth reason is in the receipt
