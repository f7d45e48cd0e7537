"""A run with one priced and one unpriced call: every place that shows or sums money says that it is not all of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

import pytest

from orchmagic import Reply
from orchmagic.models.pricing import price_list
from orchmagic.models.routing import status
from orchmagic.models.scripting.server import serve
from orchmagic.notebook import dashboard, panel
from orchmagic.notebook.commands.run_history import runs
from orchmagic.notebook.commands.setup import models
from orchmagic.notebook.doctor import checks
from orchmagic.storage import statistics
from orchmagic.trace import humanize, otel_spans, summary
from orchmagic.trace.events import Usage
from orchmagic.trace.receipt import Receipt
from orchmagic.trace.record import Record
from orchmagic.views import bundle, dashboard_figure
from orchmagic.views.comparison import compare
from orchmagic.views.comparison.diff import lines
from orchmagic.views.live import frame
from orchmagic.views.span_list import summed

CELL = """\
%%chain both
known(model=priced)
    How much is a lamp?
secret(model=mystery)
    And a bed?
"""
AROUND = "%%chain around\nwhole = both()\n"
LEAST = "$0.002"
WHOLE = f"{LEAST}, plus 1 call without a price"
SHORT = WHOLE
SPENT = Usage(input=1_000, output=500)  # 1 and 2 dollars a million: 0.002


@pytest.fixture
def book(notebook, monkeypatch, tmp_path):
    """A notebook with a model that has a price, and one at an endpoint that nobody knows the prices of."""
    with serve(lambda body: Reply("hm", usage=SPENT)) as server:
        aliases = {
            "priced": {"provider": "scripted", "model": "scripted", "input_price": 1.0, "output_price": 2.0},
            "mystery": {"base_url": server.base_url, "model": "two"},
        }
        more = {"ORCHMAGIC_MODELS": json.dumps(aliases), "ORCHMAGIC_HISTORY_DIR": str(tmp_path / "history")}
        notebook.session.services.environ.update({**more})
        notebook.script(lambda body: Reply("ok", usage=SPENT))
        yield notebook


@pytest.fixture
def run(book):
    run = book.run(CELL)
    assert run.status == "done", run.record.error
    return run


def test_the_record_keeps_what_is_known_beside_what_is_not(run):
    record = run.record
    assert (record.cost, record.unpriced) == (pytest.approx(0.002), 1)
    known, secret = record.steps
    assert (known.cost, known.unpriced) == (pytest.approx(0.002), 0)
    assert (secret.cost, secret.unpriced) == (None, 1)
    assert summary.total(record) == WHOLE
    many = summed(record.steps)  # of very many items the rest is one line
    assert humanize.money(many.cost, many.unpriced) == SHORT


def test_a_step_that_holds_both_says_so(book):
    around = book.run(AROUND, both=book.define(CELL)).record
    (whole,) = around.steps
    assert (whole.cost, whole.unpriced) == (pytest.approx(0.002), 1)
    shown = bundle(around)
    assert SHORT in shown["text/plain"]
    assert SHORT in unescape(shown["text/html"]).replace("\xa0", " ")
    assert SHORT in frame(around)["text/html"]


def test_a_run_of_unknown_price_alone_is_not_free(book):
    run = book.run("%%chain alone\nsecret(model=mystery)\n    And a bed?\n")
    assert run.cost is None
    assert summary.total(run.record) == "No price known (1 call)"
    assert "$0" not in Receipt(run.record).text
    assert "No price known" in runs(book.session)
    told = next(iter(otel_spans.to_otel_spans(run.record))).attributes
    assert "orchmagic.cost.usd" not in told
    assert told["orchmagic.cost.unknown_calls"] == 1
    assert panel.overview(book.session)["unpriced"] == 1


def plain(figure):
    """The words of a figure, without the markup of their lines."""
    return unescape(re.sub("<[^>]*>", "", " ".join(figure["layout"]["yaxis"]["ticktext"]).replace("<br>", " ")))


def test_views_of_a_run(run):
    shown = bundle(run.record)
    figure = plain(shown["application/vnd.plotly.v1+json"])
    assert SHORT in figure
    assert "No price known (1 call)" in figure
    assert "No price known" in shown["text/plain"]
    assert "No price known" in unescape(shown["text/html"]).replace("\xa0", " ")
    assert WHOLE in frame(run.record)["text/html"]
    bounded = replace(run.record, limits={"budget": 0.01})
    assert f"{SHORT} of $0.01" in frame(bounded)["text/html"]


def test_a_saved_trace_still_says_it(run):
    data = json.loads(json.dumps(bundle(run.record)["application/vnd.orchmagic.trace.v1+json"]))
    assert data["unpriced"] == 1
    read = Record.from_json(data)
    assert summary.total(read) == WHOLE
    assert [s.unpriced for s in read.steps] == [0, 1]


def test_the_receipt(run):
    receipt = run.receipt()
    assert [(row["cost"], row["unpriced"]) for row in receipt] == [(pytest.approx(0.002), 0), (None, 1)]
    assert (receipt.totals["cost"], receipt.totals["unpriced"]) == (pytest.approx(0.002), 1)
    assert receipt.totals["saved"] is None
    assert SHORT in receipt.text
    assert SHORT in unescape(receipt.html()).replace("\xa0", " ")
    assert f"Cost: {WHOLE}" in receipt.notes


def test_the_history_its_dashboard_and_the_panel(book, run):
    assert SHORT in runs(book.session)
    overview = panel.overview(book.session)
    assert (overview["today"], overview["unpriced"]) == (pytest.approx(0.002), 1)
    assert (overview["runs"][0]["cost"], overview["runs"][0]["unpriced"]) == (pytest.approx(0.002), 1)
    stored = book.session.services.history.store.run(run.id)
    assert (stored.cost, stored.unpriced) == (pytest.approx(0.002), 1)
    found = statistics.summary(book.session.services.history.store)
    assert (found.all.unpriced, found.unknown) == (1, 1)
    assert {s.name: s.unpriced for s in found.models} == {"scripted": 0, "two": 1}
    text = dashboard.text(found)
    assert WHOLE in text
    assert SHORT in text
    assert SHORT in plain(dashboard_figure.figure(found))


def test_runs_beside_each_other(book, run):
    again = book.run(CELL.replace("lamp", "table").replace("bed", "chair"))
    found = compare([run.record, again.record])
    assert [row["unpriced"] for row in found.rows] == [1, 1]
    assert WHOLE in repr(found)
    assert "No price known" in repr(found)
    assert f"cost {WHOLE} → {WHOLE}" in "\n".join(map(str, lines(run.record, again.record)))


def test_telemetry(run):
    whole, *spans = otel_spans.to_otel_spans(run.record)
    assert whole.attributes["orchmagic.cost.usd"] == pytest.approx(0.002)
    assert whole.attributes["orchmagic.cost.unknown_calls"] == 1
    secret = next(s for s in spans if s.attributes["orchmagic.span"] == "secret#1")
    assert "orchmagic.cost.usd" not in secret.attributes
    assert secret.attributes["orchmagic.cost.unknown_calls"] == 1


def test_the_estimate_and_the_list_of_models(book):
    made = book.define(CELL)
    found = made.estimate()
    assert found.cost is None
    assert found.least > 0
    assert f"tokens, {humanize.money(found.least)}, plus calls without a price" in found.text()
    assert "No price known: mystery" in found.text()
    table = book.session.services.loop.run(
        status.rows(book.session.settings, book.session.services.environ, book.session.services.models.health)
    )
    rates = {row[0]: row[3:5] for row in table}
    assert (rates["priced"], rates["mystery"]) == (("1", "2"), ("?", "?"))


def test_the_price_list_says_how_old_it_is(book):
    (found,) = [check for check in checks(book.session) if check.what == "prices"]
    assert price_list.edition() in found.found
    assert models(book.session).endswith(f"are those of {price_list.edition()}.")


def test_a_budget_refuses_what_has_no_price(book):
    run = book.run(CELL.replace("both", "both --budget 1"))
    assert run.status == "capped"
    assert run.record.unpriced == 0
    assert "price of 'mystery' (two) is unknown" in run.record.reason
