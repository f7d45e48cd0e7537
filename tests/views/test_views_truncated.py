"""What a notebook saves of a run: small for a usual run, bounded for any, and still adding up."""

import json
import math
from dataclasses import replace

import plotly.graph_objects as go
import pytest

from orchmagic import views
from orchmagic.trace import summary
from orchmagic.trace.events import Usage
from orchmagic.trace.reasons import Reason
from orchmagic.trace.receipt import Receipt
from orchmagic.trace.record import MIME, Picture, Record, Span
from orchmagic.views.truncate import bound, cut

PLOTLY = "application/vnd.plotly.v1+json"


def a_run(count, text="word " * 100, cost=0.001234):
    """`count` steps, each with one question and one attempt, as a real run has them."""
    spans = []
    prompt = [{"role": "user", "content": text}]
    for i in range(count):
        at = {"start": i + 0.0123456, "end": i + 0.9123456, "status": "done", "cost": cost}
        at |= {"model": "gpt-4.1-mini", "provider": "openai", "usage": Usage(input=1234, output=567)}
        step, ask = f"step_{i}#1", f"step_{i}#1.1"
        spans += [
            Span(id=step, parent=None, kind="call", name=f"step_{i}", input=prompt, output=text, **at),
            Span(id=ask, parent=step, kind="ask", name="ask small", input=prompt, output=text, **at),
            Span(id=f"{ask}/1", parent=ask, kind="attempt", name="attempt 1", **at),
        ]
    usage = Usage(input=1234 * count, output=567 * count)
    return Record(
        run="r1", name="big", pattern="chain", status="done", started="2026-11-21T06:00:00+00:00", seconds=count,
        usage=usage, cost=cost * count, unpriced=0, calls=count, cached=0, inputs={"x": text}, output=text,
        error=None, reason=None, limits={"max_steps": 50}, picture=path(count), spans=tuple(spans),
    )  # fmt: skip


def path(count):
    nodes = tuple((f"step_{i}", "call") for i in range(count))
    arrows = tuple((f"step_{i}", f"step_{i + 1}", "") for i in range(count - 1))
    return Picture(nodes, arrows, tuple((s, t) for s, t, _ in arrows))


def saved(record):
    """Bytes in the .ipynb file, which is written with an indent."""
    return len(json.dumps(views.bundle(record), indent=1, ensure_ascii=False).encode())


@pytest.mark.parametrize("text", ["word " * 100, "word " * 10_000, "漢字" * 5_000])
def test_twenty_steps_save_at_most_sixty_kilobytes(text):
    assert saved(a_run(20, text)) <= 60_000


def test_markup_that_is_escaped_letter_by_letter_stays_bounded():
    assert saved(a_run(20, "<&>" * 5_000)) <= 90_000


@pytest.mark.parametrize("count", [1, 20, 333, 334, 1_000, 5_000])
def test_no_run_saves_more_than_a_megabyte(count):
    assert saved(a_run(count, "word " * 1_000)) <= 1_000_000


def test_above_a_thousand_spans_there_is_no_figure():
    assert PLOTLY in views.bundle(a_run(333))
    assert PLOTLY not in views.bundle(a_run(334))


def test_items_that_are_left_out_are_counted_with_those_that_stay():
    record = many_items(2_000)
    saved = Record.from_json(views.bundle(record)[MIME])
    assert len(saved.spans) < 100
    assert summary.parts(saved, saved.steps[0]) == summary.parts(record, record.steps[0])
    assert summary.parts(saved, saved.steps[0]).startswith("2,000 rows")


def test_steps_that_are_left_out_are_summed_up():
    record = a_run(3_000)
    kept = bound(record)
    assert len(kept.spans) <= 1_000
    assert sum((s.usage for s in kept.steps), Usage()) == record.usage
    assert math.isclose(sum(s.cost or 0 for s in kept.steps), record.cost)
    assert [s.name for s in kept.steps if s.kind == "more"] == ["2,400 more steps"]


def test_a_failure_inside_a_large_run_is_kept():
    record = a_run(400)
    broken = replace(record.spans[1], error="500", why=(Reason("note", text="attempt 1 failed"),))
    kept = bound(replace(record, spans=(record.spans[0], broken, *record.spans[2:])))
    assert [s.error for s in kept.spans if s.parent] == ["500"]


def test_a_saved_trace_is_read_again():
    record = a_run(3)
    read = Record.from_json(json.loads(json.dumps(views.bundle(record)[MIME])))
    assert read == replace(bound(record), seconds=read.seconds)
    assert [row["attempts"] for row in Receipt(read)] == [1, 1, 1]
    assert read.cost == record.cost


def test_a_value_says_how_long_it_was():
    assert cut("x" * 12_345, 10) == "x" * 10 + "… cut, 12,345 characters in all"
    assert cut(list(range(1_000)), 10)[-1] == "… (1,000 entries)"
    assert cut("漢字" * 100, 7) == "漢字… cut, 200 characters in all"
    assert "… (1,000 entries)" in cut({str(i): i for i in range(1_000)}, 100)


def test_many_small_values_are_bounded_together():
    wide = [[["x" * 100] * 50] * 50] * 50
    assert len(json.dumps(cut(wide, 100))) < 1_000


def test_what_is_no_json_does_not_break_the_notebook():
    deep = []
    for _ in range(500):
        deep = [deep]
    output = [math.inf, math.nan, "\ud800", deep, object]
    shown = views.bundle(
        replace(a_run(1), output=output, spans=tuple(replace(s, output=output) for s in a_run(1).spans))
    )
    json.dumps(shown, allow_nan=False, ensure_ascii=False).encode()


def test_the_figure_is_valid_for_every_state():
    first = a_run(1).spans
    for status in ("running", "done", "failed", "skipped", "waiting", "cancelled"):
        for cost in (None, 0.0, 0.1):
            step = replace(first[0], status=status, cost=cost, end=None if status == "running" else 0.9)
            figure = views.bundle(replace(a_run(1), spans=(step, *first[1:])))[PLOTLY]
            go.Figure(figure["data"], figure["layout"])


def test_a_run_without_steps_can_be_shown():
    figure = views.bundle(replace(a_run(0), seconds=0.0))[PLOTLY]
    go.Figure(figure["data"], figure["layout"])


def test_dollars_in_a_label_are_no_formula():
    step = replace(a_run(1).spans[0], why=(Reason("note", text="$x$ and $y$"),))
    assert "$" not in json.dumps(views.bundle(replace(a_run(1), spans=(step,)))[PLOTLY])


def test_tools_have_rows_and_the_one_that_sets_the_total_time_is_marked():
    tools = tuple(
        Span(id=f"tools#1.{i}", parent="tools#1", kind="tool", name=name, status="done", start=0, end=end)
        for i, (name, end) in enumerate((("quick", 0.1), ("slow", 1.0)))
    )
    step = Span(id="tools#1", parent=None, kind="tools", name="tools", status="done", start=0, end=1.0)
    shown = views.bundle(replace(a_run(0), spans=(step, *tools), seconds=1.0))[PLOTLY]["layout"]["yaxis"]["ticktext"]
    labels = [text.partition("<br>")[0] for text in shown[:-1]]
    assert ["◆" in label for label in labels] == [True, False, True]
    assert [name in label for label, name in zip(labels, ("tools", "quick", "slow"), strict=True)] == [True] * 3


def many_items(count, broken=(7, 500), slow=900):
    """One step of `count` items, each with a question and an attempt."""
    at = {"status": "done", "model": "m", "usage": Usage(input=10, output=5), "cost": 0.25}
    spans = [Span(id="map#1", parent=None, kind="call", name="map", start=0.0, end=9.0, **{**at, "cost": 0.25 * count})]
    spans[0] = replace(spans[0], usage=Usage(input=10 * count, output=5 * count))
    for n in range(1, count + 1):
        item, end = f"map#1/{n}", 8.0 if n == slow else 0.5
        own = {**at, "status": "failed" if n in broken else "done"}
        spans += [
            Span(id=item, parent="map#1", kind="item", name=str(n), start=0.0, end=end, input="text " * 50, **own),
            Span(id=f"{item}.1", parent=item, kind="ask", name="ask", start=0.0, end=end, output="o" * 900, **own),
            Span(id=f"{item}.1/1", parent=f"{item}.1", kind="attempt", name="attempt 1", start=0.0, end=end, **own),
        ]
    return replace(a_run(0), spans=tuple(spans), seconds=9.0)


def test_a_thousand_items_are_summed_up_and_still_have_a_figure():
    record = many_items(1_000)
    shown = views.bundle(record)
    assert saved(record) <= 60_000
    go.Figure(shown[PLOTLY]["data"], shown[PLOTLY]["layout"])
    for mime in ("text/plain", "text/html"):
        assert "988 more rows" in shown[mime]
    (step,) = bound(record).steps
    items = bound(record).inside(step)
    assert {"7", "500", "900", "1"} <= {s.name for s in items}
    assert len(items) == 13
    assert sum((s.usage for s in items), Usage()) == step.usage
    assert math.isclose(sum(s.cost or 0 for s in items), step.cost or 0)


def test_every_one_of_a_thousand_failures_is_counted():
    record = many_items(1_000, broken=range(1, 1_001))
    assert "988 more rows (988 failed)" in views.bundle(record)["text/plain"]
    assert saved(record) <= 60_000


def test_a_few_items_too_many_are_all_kept_in_the_saved_trace():
    record = many_items(40)
    assert sum(s.kind == "item" for s in bound(record).spans) == 40
    assert "28 more rows" in views.bundle(record)["text/plain"]
    assert saved(record) <= 90_000


def test_thirteen_items_are_all_shown():
    shown = views.bundle(many_items(13))["text/plain"]
    assert "more item" not in shown
    assert "13 ·" in shown


def test_a_long_answer_is_cut_once_and_names_its_own_length():
    step = replace(a_run(1).spans[0], output="x" * 50_000)
    html = views.bundle(replace(a_run(1), spans=(step,)))["text/html"]
    assert "… cut, 50,000 characters in all" in html
    assert html.count("characters in all") == 1


def test_a_value_whose_parts_are_cut_claims_no_length():
    step = replace(a_run(1).spans[0], output={"a": "x" * 3_000, "b": "y" * 3_000})
    assert "characters in all…" not in views.bundle(replace(a_run(1), spans=(step,)))["text/html"]


def test_a_short_run_has_an_axis_in_milliseconds():
    spans = tuple(replace(s, start=0.001, end=0.004) for s in a_run(1).spans)
    figure = views.bundle(replace(a_run(1), spans=spans, seconds=0.005))[PLOTLY]
    assert figure["layout"]["xaxis"]["ticktext"] == ["0 s", "3 ms", "6 ms"]
    assert (figure["data"][0]["base"], figure["data"][0]["x"]) == ([0.001], [0.003])
    long = views.bundle(a_run(2))[PLOTLY]
    assert long["layout"]["xaxis"]["ticktext"][1:] == ["1 s", "2 s"]


def test_inner_steps_stand_further_in_than_what_they_are_inside():
    outer = Span(id="sub#1", parent=None, kind="sub", name="sub", status="done", start=0, end=1)
    inner = Span(id="sub#1/a#1", parent="sub#1", kind="call", name="a", status="done", start=0, end=1)
    shown = views.bundle(replace(a_run(0), spans=(outer, inner), seconds=1.0))
    assert ["↳" in text for text in shown[PLOTLY]["layout"]["yaxis"]["ticktext"][:2]] == [False, True]
    assert "<summary>\u00a0\u00a0\u00a0a</summary>" in shown["text/html"]
    assert shown["text/plain"].splitlines()[1].startswith("✓    a")
