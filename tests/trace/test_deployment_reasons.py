"""Why a deployment was asked has its place in the trace: each attempt's own reason, in every view of the run."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
from telling import Told, done

from orchmagic import Reply, views
from orchmagic.models.scripting.server import serve
from orchmagic.trace import events, otel_spans
from orchmagic.trace.reasons import Reason
from orchmagic.trace.record import MIME, Record
from orchmagic.views.formats import html, text
from orchmagic.views.timeline.rows import attempt_hover, rows_of

CLOSED = Reason("unavailable", cause="circuit", deployment="p@c", wait=9, text="500 xyz")
CELL = "%%chain ask --model p --no-cache\nreply\n    Say hello.\n"


@pytest.fixture
def pool(notebook):
    """`pool(policy="order", a=…, b=…)` are deployments p@a, p@b on loopback, answering so."""
    with ExitStack() as stack:

        def start(policy="order", hedge=None, **replies):
            urls = {n: stack.enter_context(serve(lambda _, r=r: r)).base_url for n, r in replies.items()}
            entries = [{"name": n, "base_url": u, "model": "m"} for n, u in urls.items()]
            notebook.session.add_models({"p": {"policy": policy, "hedge": hedge, "deployments": entries}})

        yield start


def attempts(record):
    return [s for s in record.spans if s.kind == "attempt"]


def whys(span):
    return tuple(map(str, span.why))


def test_after_a_failure_each_attempt_says_why_it_was_made(notebook, pool):
    pool(a=Reply(fault="500"), b=Reply("hello"))
    run = notebook.run(CELL)
    assert [(s.model, s.status, whys(s)) for s in attempts(run.record)] == [
        ("p@a", "failed", ("first choice",)),
        ("p@b", "done", ("number 2 of 2",)),
    ]
    (row,) = run.receipt()
    assert (row["alias"], row["chosen"], row["attempts"]) == ("p@b", "number 2 of 2", 2)
    assert row["reason"].startswith("switched from p@a to p@b: 500 from 127.0.0.1:")


def test_a_score_is_told_where_one_attempt_was_enough(notebook, pool):
    pool(policy="uptime", a=Reply("hello"), b=Reply("hello"))
    run = notebook.run(CELL)
    (row,) = run.receipt()
    assert row["chosen"].startswith("score 0.000, number 1 of 2 (uptime 100%")
    assert row["reason"] == f"{row['alias']}: {row['chosen']}"
    assert "score 0.000, number 1 of 2" in run.receipt().text
    (only,) = attempts(run.record)
    assert whys(only) == (row["chosen"],)


def test_one_deployment_alone_is_chosen_for_no_reason(notebook):
    notebook.script("hello")
    run = notebook.run(CELL.replace("--model p ", ""))
    assert (whys(attempts(run.record)[0]), run.receipt()[0]["chosen"]) == ((), "")


def test_a_second_one_that_overtakes_a_silent_one_ends_its_own_attempt(notebook, pool):
    gate = threading.Event()
    with serve(lambda _: gate.wait(20) and Reply("late")) as slow, serve(lambda _: Reply("hello")) as quick:
        entries = [{"name": n, "base_url": s.base_url, "model": "m"} for n, s in (("a", slow), ("b", quick))]
        notebook.session.add_models({"p": {"hedge": 0.05, "deployments": entries}})
        run = notebook.run(CELL)
        gate.set()
    assert run.output == "hello"
    assert [(s.model, s.status, whys(s)) for s in attempts(run.record)] == [
        ("p@a", "cancelled", ("first choice",)),
        ("p@b", "done", ("p@a was silent for 0.05 s",)),
    ]
    assert (run.receipt()[0]["alias"], run.receipt()[0]["chosen"]) == ("p@b", "p@a was silent for 0.05 s")


@pytest.fixture
def raced():
    """p@a is asked, then p@b beside it; p@a answers first."""
    told = Told().step("extract#1")
    told(events.CallStarted(call="extract#1.1", span="extract#1", model="p"))
    for name, why in (
        ("p@a", Reason("deployment", cause="order", place=1, among=3)),
        ("p@b", Reason("deployment", cause="silent", source="p@a", wait=1, parts=(CLOSED,))),
    ):
        told(events.DeploymentChosen(call="extract#1.1", alias="p", deployment=name, reason=why))
        told(events.AttemptStarted(call="extract#1.1", attempt=1, model=name, provider="openai"))
    who = {"call": "extract#1.1", "attempt": 1, "provider": "openai"}
    told(events.AttemptFinished(**who, model="p@a", usage=events.Usage(input=3, output=2), cost=0.5))
    told(events.AttemptFailed(**who, model="p@b", error="cancelled", error_kind="cancelled", cost=None))
    finished = {"text": "a", "model": "m", "provider": "openai"}
    told(events.CallFinished(call="extract#1.1", **finished), done("extract#1", "a"), events.RunFinished(status="done"))
    return told.record


def test_of_two_that_race_each_keeps_its_own_end_and_its_own_reason(raced):
    first, second = attempts(raced)
    assert (first.model, first.status, first.cost, whys(first)) == ("p@a", "done", 0.5, ("first choice",))
    assert (second.model, second.status, second.error) == ("p@b", "cancelled", "cancelled")
    assert whys(second)[0].startswith("p@a was silent for 1 s")


def test_the_answer_has_the_reason_of_the_one_that_gave_it_alone(raced):
    (ask,) = [s for s in raced.spans if s.kind == "ask"]
    assert whys(ask) == ("p@a: first choice",)


def test_the_reason_is_in_every_view(raced):
    told = "p@b: p@a was silent for 1 s"
    assert told in html.render(raced)
    assert "extract#1.1/2: p@a was silent for 1 s" in text.render(raced)
    assert told in rows_of(raced)[0][0].hover
    assert "p@a was silent for 1 s" in attempt_hover(attempts(raced)[1])
    saved = Record.from_json(views.bundle(raced)[MIME])
    assert [s.why for s in attempts(saved)] == [s.why for s in attempts(raced)]


@pytest.mark.parametrize(
    ("content", "last"), [(False, "p@c skipped for 9 s (circuit open)"), (True, "(circuit open): 500 xyz")]
)
def test_a_collector_is_told_why_without_an_endpoint_s_own_words(raced, content, last):
    sent = {t.id: t.attributes for t in otel_spans.to_otel_spans(raced, content=content)}
    assert sent["extract#1.1"]["orchmagic.choice"] == "first choice"
    assert sent["extract#1.1/2"]["orchmagic.choice"].endswith(last)
