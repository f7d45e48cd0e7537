"""The receipt: every answer with who gave it, why and what it cost; rows that add up; a table that is safe to show."""

import json
import math
from dataclasses import replace

import pytest
from IPython.core.formatters import DisplayFormatter
from telling import Told, done

from orchmagic import Reply, Script, Session, install
from orchmagic.models.providers.scripted import remove
from orchmagic.trace import events, humanize
from orchmagic.trace.events import Usage
from orchmagic.trace.reasons import Reason
from orchmagic.trace.receipt import Receipt
from orchmagic.trace.record import Record
from orchmagic.views.truncate import bound

MODELS = {
    "small": {"provider": "scripted", "model": "small-1", "input_price": 0.4, "output_price": 1.6, "cached_price": 0.1},
    "large": {"provider": "scripted", "model": "large-1", "input_price": 2.0, "output_price": 8.0},
}
CELL = "%%chain triage --fallback large\nextract -> name: str\n    {{ text }}\nreply\n    About {{ extract.name }}\n"


@pytest.fixture
def priced(tmp_path):
    """`priced(cell, small=[...], large=[...])` runs a cell with models that have prices."""
    environ = {"ORCHMAGIC_MODEL": "small", "ORCHMAGIC_CACHE_DIR": str(tmp_path)}
    space = {"text": "a lamp"}
    session = Session(space, environ=environ, config=lambda: {"models": MODELS})

    def run(cell=CELL, small=(), large=(), **values):
        install(Script(list(small)), "small-1")
        install(Script(list(large)), "large-1")
        space.update(values)
        head, _, body = cell.partition("\n")
        magic, _, line = head.removeprefix("%%").partition(" ")
        return session.define(magic, line, body)()

    yield run
    session.close()
    remove()


def told(priced):
    usage = Usage(input=1_000, cached=600, output=50, reasoning=20)
    small = [Reply(fault="500"), Reply({"name": "lamp"}, usage=usage), Reply(fault="quota")]
    return priced(small=small, large=[Reply("the reply", usage=Usage(input=200, output=30))])


def test_a_row_names_model_alias_provider_reason_tries_tokens_and_cost(priced):
    first, second = told(priced).receipt()
    assert first["model"] == "small-1"
    assert first["alias"] == "small"
    assert first["provider"] == "scripted"
    assert first["attempts"] == 2
    assert (first["input_tokens"], first["cached_tokens"]) == (1_000, 600)
    assert (first["output_tokens"], first["reasoning_tokens"]) == (50, 20)
    assert first["cost"] == pytest.approx((400 * 0.4 + 600 * 0.1 + 50 * 1.6) / 1e6)
    assert (second["model"], second["alias"]) == ("large-1", "large")
    assert "switched from small to large" in second["reason"]


def test_the_rows_add_up_to_the_run(priced):
    run = told(priced)
    totals = run.receipt().totals
    assert totals["cost"] == run.cost == math.fsum(row["cost"] for row in run.receipt())
    assert totals["input_tokens"] + totals["output_tokens"] == run.tokens
    assert totals["cost"] == math.fsum(step.cost for step in run.record.steps)
    assert totals["attempts"] == 4


def test_an_answer_from_the_cache_costs_nothing_and_says_what_it_saved(priced):
    paid = told(priced).receipt()[0]["cost"]
    receipt = priced(small=["the reply"]).receipt()
    assert (receipt[0]["cache"], receipt[0]["cost"], receipt[0]["attempts"]) == ("hit", 0.0, 0)
    assert receipt[0]["age"] >= 0
    assert receipt[0]["saved"] == paid
    assert "from cache" in receipt.text
    saved = humanize.money(math.fsum(row["saved"] for row in receipt if row["cache"] == "hit"))
    assert any(note.startswith(f"The cache saved {saved}") for note in receipt.notes)


def test_the_baselines_are_in_the_totals_and_in_words(priced):
    run = told(priced)
    totals = run.receipt().totals
    assert totals["strongest"] == "large (large-1)"
    assert totals["all_on_strongest"] == pytest.approx((1_200 * 2 + 80 * 8) / 1e6)
    assert totals["saved"] == pytest.approx(1 - run.cost / totals["one_strong_call"])
    assert "one strong call (estimate): one call to large (large-1)" in run.receipt().text
    assert "than usual for %%chain: " in run.receipt().text


def test_an_unknown_price_is_said_and_left_out_of_the_sum(priced):
    record = told(priced).record
    dear = {s.id for s in record.spans if s.kind == "ask" and s.model == "large-1"}
    spans = tuple(replace(s, cost=None, unpriced=1) if s.id in dear else s for s in record.spans)
    receipt = Receipt(replace(record, spans=spans, unpriced=1))
    assert receipt[1]["cost"] is None
    assert receipt.totals["cost"] == receipt[0]["cost"]
    assert "No price known" in receipt.text
    assert f"Cost: {humanize.money(record.cost)}, plus 1 call without a price" in receipt.notes
    assert receipt.totals["saved"] is None


def test_a_saved_trace_has_the_same_receipt(priced):
    record = told(priced).record
    read = Record.from_json(json.loads(json.dumps(bound(record).to_json())))
    ours, theirs = Receipt(record), Receipt(read)
    assert [{**row, "seconds": 0, "age": 0} for row in theirs] == [{**row, "seconds": 0, "age": 0} for row in ours]
    assert theirs.totals == {**ours.totals, "seconds": theirs.totals["seconds"]}


def test_it_is_a_list_that_a_notebook_shows_as_a_table_and_a_terminal_as_text(priced):
    receipt = told(priced).receipt()
    shown, _ = DisplayFormatter().format(receipt)
    assert json.loads(json.dumps(receipt)) == list(receipt)
    assert shown["text/plain"] == receipt.text
    assert shown["text/html"].count("<tr>") == 4
    assert receipt.text.splitlines()[4].startswith("total")


def test_what_a_model_or_a_provider_is_called_is_escaped(priced):
    record = told(priced).record
    bad = "<img src=x onerror=alert(1)>\x1b[31m"
    spans = tuple(replace(s, model=bad, provider=bad, why=(Reason("note", text=bad),)) for s in record.spans)
    receipt = Receipt(replace(record, spans=spans))
    assert "<img" not in receipt._repr_html_()
    assert "\x1b" not in receipt._repr_html_() + receipt.text


def test_a_run_that_asked_nothing_has_an_empty_receipt(priced):
    receipt = priced("%%chain --no-cache\nx = len(text)\n").receipt()
    assert list(receipt) == []
    assert receipt.totals["cost"] == 0
    assert receipt.against == ""


def test_a_receipt_of_very_many_rows_is_cut_and_says_where_the_rest_is(priced):
    record = told(priced).record
    ask = next(s for s in record.spans if s.kind == "ask")
    receipt = Receipt(replace(record, spans=(ask,) * 500))
    assert len(receipt) == 500
    assert "… 300 more rows" in receipt.text
    assert receipt.html(10).count("<tr>") == 12


@pytest.mark.parametrize(("paid", "cost"), [(True, 0.5), (False, 0.0)])
def test_what_a_journal_saved_is_not_said_to_be_the_cache_s(paid, cost):
    told = Told().step("extract#1")
    told(events.CallStarted(call="extract#1.1", span="extract#1", model="m"))
    told(events.JournalHit(call="extract#1.1", usage=Usage(input=3, output=4), cost=0.5, paid=paid))
    told(events.CallFinished(call="extract#1.1", text="a", model="m", provider="p"), done("extract#1", "a"))
    receipt = Receipt(told(events.RunFinished(status="done")).record)
    assert (receipt[0]["cache"], receipt[0]["saved"], receipt.totals["cost"]) == ("record", None if paid else 0.5, cost)
    assert [note for note in receipt.notes if "cache" in note] == []
