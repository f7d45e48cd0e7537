"""The figure tells the story in words and marks, has room for all it says, and its panels add up."""

import math
from dataclasses import replace

import pytest
from test_views_truncated import a_run, many_items

from orchmagic import Reply, views
from orchmagic.trace.reasons import Reason, scores
from orchmagic.trace.record import Span
from orchmagic.views.bar_labels import SMALL
from orchmagic.views.palette import RED
from orchmagic.views.text_width import text_width
from orchmagic.views.timeline.places import NARROW, grid
from orchmagic.views.timeline.rows import rows_of

PLOTLY = "application/vnd.plotly.v1+json"


def figure(record):
    return views.bundle(record)[PLOTLY]


def trace(record, name):
    return next((t for t in figure(record)["data"] if t["name"] == name), None)


def said(record):
    """The words of each row."""
    return [text.strip() for text in trace(record, "words")["text"]]


def span(name, start, end, **fields):
    return Span(
        **{"id": f"{name}#1", "parent": None, "kind": "call", "name": name, "status": "done"} | fields,
        start=start,
        end=end,
    )


def showing(*spans):
    return replace(a_run(0), spans=spans, seconds=max(s.end for s in spans))


def test_tokens_and_dollars_of_the_steps_add_up_to_what_stands_below_them():
    record = a_run(7)
    assert math.isclose(sum(trace(record, "cost")["x"]), record.cost)
    assert sum(sum(trace(record, f"tokens {side}")["x"]) for side in ("in", "out")) == record.usage.total
    totals = [note["text"] for note in figure(record)["layout"]["annotations"][-2:]]
    assert totals == [f"{record.usage.total:,} tokens (input + output)", "total &#36;0.0086"]


def test_a_run_without_a_price_has_no_panel_for_money():
    assert "xaxis3" not in figure(a_run(3, cost=0.0))["layout"]


def test_the_slow_step_says_how_much_of_the_time_it_took():
    words = said(showing(span("a", 0, 1), span("b", 1, 9), span("c", 9, 10)))
    assert ["% of total time" in w for w in words] == [False, True, False]
    assert "80% of total time" in words[1]
    assert "of the time" not in said(showing(span("only", 0, 1)))[0]


def test_a_fallback_names_the_model_that_answered(notebook):
    notebook.session.add_models({n: {"provider": "scripted", "model": "scripted"} for n in ("first", "second")})
    notebook.script(Reply(fault="quota"), "the reply")
    record = notebook.run("%%chain --no-cache --model first --fallback second\na\n    x\n").record
    assert "switched to second" in said(record)[0]
    assert "crossed: failed attempt" in figure(record)["layout"]["title"]["text"]


def test_a_cached_answer_is_striped_and_says_so(notebook):
    notebook.script("the reply")
    notebook.run("%%chain\na\n    x\n")
    record = notebook.run("%%chain\na\n    x\n").record
    assert "from cache" in said(record)[0]
    assert trace(record, "steps")["marker"]["pattern"]["shape"] == ["/"]
    assert "striped: from cache" in figure(record)["layout"]["title"]["text"]


def test_scores_stand_at_their_rounds_and_the_best_one_is_marked(notebook):
    scores = iter((4, 9, 7))
    cell = "%%refine --no-cache\ngenerate\n    A\nevaluate -> score: float\n    B\nuntil evaluate.score > 9 max 3\n"
    notebook.script(lambda body: {"score": next(scores)} if body["messages"][-1]["content"] == "B" else "text")
    record = notebook.run(cell).record
    told = [
        w.partition(", ")[2] for r, w in zip(rows_of(record)[0], said(record), strict=True) if r.span.name == "evaluate"
    ]
    assert [t.partition("score ")[2] for t in told] == ["4", "9 ★ best", "7"]
    assert len(figure(record)["layout"]["shapes"]) == 2  # a line before the second round, and before the third
    assert sum("scores by round" in w for w in said(record)) == 1


def test_the_critical_path_is_a_line_from_step_to_step_and_only_where_something_ran_beside_it():
    record = showing(span("a", 0, 1), span("quick", 1, 2), span("slow", 1, 5), span("end", 5, 6))
    assert trace(record, "critical path")["x"] == [0, 1, 1, 5, 5, 6]
    assert trace(showing(span("a", 0, 1), span("b", 1, 2)), "critical path") is None


def test_a_failed_step_is_red_and_says_why():
    record = showing(span("a", 0, 1), span("b", 1, 2, status="failed", error="401 from somewhere"))
    assert "Failed: 401 from somewhere" in said(record)[1]
    assert figure(record)["layout"]["annotations"][1]["font"] == {"color": RED}
    assert trace(record, "words")["textfont"]["color"][1] == RED


def test_a_step_of_a_thousand_items_counts_those_that_have_no_row():
    assert "1,000 rows, 2 failed" in said(many_items(1_000))[0]


@pytest.mark.parametrize("start", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("long", [0.01, 0.3, 0.8])
@pytest.mark.parametrize("why", [(), (scores([1, 2, 3], 3),)])
def test_words_have_room_in_the_narrowest_cell_wherever_the_bar_is(start, long, why):
    end = min(1.0, start + long)
    record = showing(span("step", start, end, why=why, error="no", status="failed"), span("rest", 0.99, 1.0))
    rows, _ = rows_of(record)
    room = grid(record, rows, 70, 0.52)
    width = (NARROW - room.left - room.right) * 0.52
    place = room.places[0]
    wide, at = text_width(place.text, SMALL), place.at * width
    assert place.text.startswith(rows[0].words[0])
    match place.side:
        case "after":
            assert at + wide <= width
        case "before":
            assert at - wide >= 0
        case "within":
            assert at + wide <= end * width
        case _:
            assert at >= 0
            assert room.left + at + wide <= NARROW


def test_rows_whose_words_stand_below_their_bar_are_higher():
    record = showing(span("a", 0, 0.9, error="no" * 20, status="failed"), span("b", 0.9, 1.0))
    rows, _ = rows_of(record)
    room = grid(record, rows, 70, 0.52)
    assert room.places[0].side == "below"
    assert room.ys[1] > 1.5
    assert room.high > 2.5


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
    (hover,) = trace(record, "steps")["hovertext"]
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
    (hover,) = trace(record, "steps")["hovertext"]
    assert figure(record)["layout"]["height"] >= 16 * (hover.count("<br>") + 2)
    assert "d" not in hover.split("<br>")  # the fourth reason is in the receipt
