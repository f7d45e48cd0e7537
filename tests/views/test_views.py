"""Every view shows what happened, bounds its size, and lets nothing that a model wrote become markup."""

import json
from dataclasses import replace

import plotly.graph_objects as go
import pytest

from orchmagic import Reply, views
from orchmagic.trace.events import Usage
from orchmagic.trace.record import MIME, Picture, Record, Span
from orchmagic.views import answer
from orchmagic.views.timeline.rows import critical

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)><a href='javascript:alert(1)'>x</a></pre></bdi>"
    "<b>bold</b>\x1b[31mred\x1b[0m\u202eevil\x00"
)
CHAIN = "%%chain triage --no-cache\nextract -> name: str\n    {{ text }}\nreply\n    {{ extract.name }}\n"


def everything(record):
    """All views' texts."""
    bundles = (answer.bundle(record), views.bundle(record))
    return {
        f"{i}{mime}": v if isinstance(v, str) else json.dumps(v) for i, b in enumerate(bundles) for mime, v in b.items()
    }


@pytest.fixture
def run(notebook):
    notebook.script(Reply(fault="500"), {"name": "lamp"}, "the reply")
    return notebook.run(CHAIN, text="t")


def test_a_bundle_has_every_mime_type(run):
    assert set(views.bundle(run.record)) == {"text/plain", "text/html", "application/vnd.plotly.v1+json", MIME}


def test_the_record_survives_json(run):
    data = json.loads(json.dumps(run.record.to_json()))
    assert Record.from_json(data) == replace(run.record, seconds=Record.from_json(data).seconds)


def test_a_newer_trace_is_refused(run):
    with pytest.raises(ValueError, match="version 2"):
        Record.from_json({**run.record.to_json(), "version": 2})


def test_the_figure_is_valid_plotly_and_adds_up(run):
    figure = views.bundle(run.record)["application/vnd.plotly.v1+json"]
    go.Figure(figure["data"], figure["layout"])
    assert f"{run.record.usage.total:,} tokens (input + output)" in figure["layout"]["yaxis"]["ticktext"][-1]


def test_the_story_of_a_retry_is_told(run):
    shown = everything(run.record)
    assert "tried again" in shown["1text/plain"]
    assert "1 retry" in shown["1application/vnd.plotly.v1+json"]
    assert "the reply" in shown["0text/plain"]
    assert "the reply" in shown["0text/html"]


def test_a_failed_run_shows_what_failed_first_and_its_input(notebook):
    notebook.script(Reply(fault="400"))
    run = notebook.run(CHAIN, text="the input")
    text = answer.bundle(run.record)["text/plain"].splitlines()
    assert text[1].startswith("✗ Failed in step extract: ")
    assert text[2].startswith("Prompt: ")
    assert "the input" in text[2]


def test_hostile_replies_stay_text(notebook):
    notebook.script({"name": HOSTILE}, HOSTILE)
    record = notebook.run(CHAIN, text=HOSTILE).record
    assert record.status == "done"  # a failed run would show nothing hostile, and prove nothing
    for mime, shown in everything(record).items():
        if "html" in mime:
            for bad in ("<script", "<img", "<a ", "<b>", "</pre><", "\x1b", "\u202e", "\x00"):
                assert bad not in shown.replace("</bdi></pre>", ""), (mime, bad)
        if mime.endswith("plain"):
            assert not set("\x1b\u202e\x00") & set(shown)
        if "plotly" in mime:
            assert "<script" not in shown
            assert "<b>" not in shown


def test_a_hostile_step_that_failed_stays_text_in_the_figure(notebook):
    run = notebook.run("%%chain --no-cache\nx = boom(text)\n", text=HOSTILE, boom=int)
    assert run.status == "failed"
    assert "<script" not in everything(run.record)["1application/vnd.plotly.v1+json"]
    assert "<script" not in everything(run.record)["0text/html"]


def many(count, text="x" * 500):
    spans = tuple(
        Span(
            id=f"s{i}#1", parent=None, kind="call", name=f"s{i}", status="done", start=i * 0.1, end=i * 0.1 + 0.1,
            model="m", usage=Usage(input=10, output=5), input=[{"role": "user", "content": text}], output=text,
        )
        for i in range(count)
    )  # fmt: skip

    return Record(
        run="r1", name="n", pattern="chain", status="done", started="", seconds=count * 0.1, usage=Usage(), cost=0.0,
        unpriced=0, calls=count, cached=0, inputs={}, output=text, error=None, reason=None, limits={},
        picture=Picture(), spans=spans,
    )  # fmt: skip


def size(record):
    return sum(len(v) for v in everything(record).values())


def test_twenty_steps_take_at_most_sixty_kilobytes():
    assert size(many(20)) <= 60_000


def test_ten_thousand_spans_take_at_most_a_few_megabytes_and_no_figure():
    record = many(10_000)
    assert "application/vnd.plotly.v1+json" not in views.bundle(record)
    assert size(record) < 5_000_000


def test_a_megabyte_of_text_is_cut():
    assert size(many(1, "A" * 1_000_000)) < 100_000


def test_the_critical_path_leads_from_the_last_end_back():
    def span(name, start, end):
        return Span(id=name, parent=None, kind="call", name=name, status="done", start=start, end=end)

    steps = (span("a", 0, 1), span("b", 1, 2), span("slow", 1, 5), span("c", 5, 6))
    assert critical(steps) == {"a", "slow", "c"}


def test_unknown_prices_are_said_and_never_zero():
    spans = (replace(many(1).spans[0], cost=None),)
    record = replace(many(1), spans=spans, unpriced=1)
    assert "No price known" in answer.bundle(record)["text/plain"]
    assert "No price known" in views.bundle(record)["text/plain"]
