"""Who answered is named; nonsense in `usage` costs no paid answer; what was perhaps billed and what is estimated is said."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from orchmagic import Reply
from orchmagic.models.pricing.prices import priced_answer
from orchmagic.models.scripting.server import serve
from orchmagic.models.types import Deployment
from orchmagic.models.wire import chat_completions
from orchmagic.models.wire.urls import vendor
from orchmagic.trace import otel_spans
from orchmagic.trace.events import Usage
from orchmagic.trace.record import Record
from orchmagic.views.formats.text import render

CELL = "%%chain --no-cache --retry 0 --timeout 0.3{}\nsay\n    About {{{{ topic }}}}"


@pytest.mark.parametrize(
    ("provider", "address", "name"),
    [
        ("openai", None, "openai"),
        ("openai", "https://api.openai.com/v1", "openai"),
        ("openai", "https://api.groq.com/openai/v1", "groq"),
        ("openai", "https://api.anthropic.com/v1", "anthropic"),
        ("openai", "https://generativelanguage.googleapis.com/v1beta/openai", "gemini"),
        ("openai", "https://my-place.openai.azure.com/openai/v1", "azure"),
        ("openai", "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1", "bedrock"),
        ("openai", "https://api.x.ai/v1", "xai"),
        ("openai", "https://gateway.example.com/v1", "gateway.example.com"),
        ("openai", "https://user:secret@gateway.example.com:8443/v1", "gateway.example.com:8443"),
        ("openai", "https://notapi.openai.com.example.com/v1", "notapi.openai.com.example.com"),
        ("openai", "http://127.0.0.1:11434/v1", "127.0.0.1:11434"),
        ("local", None, "local"),
        ("scripted", None, "scripted"),
        ("mine", "http://127.0.0.1:1/v1", "mine"),
    ],
)
def test_the_provider_is_the_vendor_or_the_host(provider, address, name):
    assert vendor(provider, address) == name


NONSENSE = [
    "free", "NaN", "inf", "-1", "1e999", "", "$0.01", float("nan"), float("inf"), -0.5, 0, True, False, None,
    10**400, [], [0.1], {}, {"total_cost": "much"}, {"total_cost": None}, {"usd": 1.0}, {"total_cost": {"a": 1}},
]  # fmt: skip


@pytest.mark.parametrize("cost", NONSENSE)
@pytest.mark.parametrize("field", ["cost", "cost_usd_total", "cost_in_usd_ticks"])
def test_a_cost_that_is_no_number_is_unknown_and_the_answer_is_kept(cost, field):
    usage = {"prompt_tokens": 10, "completion_tokens": 2, field: cost}
    told = {"model": "m", "choices": [{"message": {"content": "four"}}], "usage": usage}
    listed = Deployment("a", "openai", "m", "http://127.0.0.1/v1")
    answer = priced_answer(told, listed, {"messages": []})
    assert (answer.text, answer.cost, answer.charged) == ("four", None, False)
    own = Deployment("a", "openai", "m", "http://127.0.0.1/v1", input_price=1.0, output_price=1.0)
    assert priced_answer(told, own, {"messages": []}).cost == pytest.approx(12e-6)


@pytest.mark.parametrize("count", ["many", float("nan"), -5, 10**400, {}, [], True])
@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens"])
def test_counts_that_are_no_numbers_lose_no_answer(count, field):
    usage = {"prompt_tokens": 10, "completion_tokens": 2, field: count}
    told = {"model": "m", "choices": [{"message": {"content": "four"}}], "usage": usage}
    assert chat_completions.response(told, {"messages": []}).text == "four"


@pytest.fixture
def endpoint(notebook):
    """`endpoint(reply)` is a notebook whose model has prices and answers at an address."""
    with ExitStack() as servers:

        def start(reply):
            url = servers.enter_context(serve(lambda _: reply)).base_url
            entry = {"base_url": url, "model": "m", "input_price": 1.0, "output_price": 1000.0}
            notebook.session.add_models({"dear": entry})
            notebook.session.services.environ["ORCHMAGIC_MODEL"] = "dear"
            notebook.session.reload()
            notebook.host = url.removeprefix("http://").removesuffix("/v1")
            return notebook

        yield start


def test_the_host_stands_in_receipt_table_and_spans(endpoint):
    book = endpoint(Reply("fine"))
    run = book.run(CELL.format(""), topic="bees")
    assert run.receipt()[0]["provider"] == book.host
    assert f"at {book.host}" in run.receipt().text
    chat = next(span for span in otel_spans.to_otel_spans(run.record) if span.name.startswith("chat"))
    assert chat.attributes["gen_ai.provider.name"] == book.host


def test_usage_that_was_not_sent_is_marked_wherever_it_is_shown(endpoint):
    run = endpoint(Reply("fine words", usage=Usage())).run(CELL.format(""), topic="bees")
    row, totals = run.receipt()[0], run.receipt().totals
    assert row["estimated"] is True
    assert totals["estimated"] == 1
    assert f"~{run.tokens} tokens · ~$" in run.receipt().text.splitlines()[0]
    assert "~ Estimated, because the endpoint sent no token counts: 1 of 1" in run.receipt().text
    read = Record.from_json(json.loads(json.dumps(run.record.to_json())))
    assert f"~{run.tokens} tok" in str(render(read))
    chat = next(span for span in otel_spans.to_otel_spans(run.record) if span.name.startswith("chat"))
    assert chat.attributes["orchmagic.usage.estimated"] is True


def test_usage_that_was_sent_has_no_mark(endpoint):
    run = endpoint(Reply("fine words", usage=Usage(input=3, output=2))).run(CELL.format(""), topic="bees")
    assert run.receipt()[0]["estimated"] is False
    assert "~" not in run.receipt().text


@pytest.mark.parametrize("fault", ["timeout", "reset", "garbled"])
def test_an_answer_that_came_late_or_broken_is_perhaps_billed_and_the_most_is_said(endpoint, fault):
    run = endpoint(Reply("fine", fault=fault)).run(CELL.format(""), topic="bees")
    totals = run.receipt().totals
    assert run.status == "failed"
    assert (totals["perhaps_billed"], totals["cost"]) == (1, 0.0)
    assert 1.024 < totals["perhaps_cost"] < 1.1
    assert (
        "Perhaps billed, and not in the cost: 1 attempt whose answer came late or broken (at most $1.02"
        in run.receipt().text
    )
    assert run.receipt()[0]["perhaps_billed"] == 1


@pytest.mark.parametrize("fault", ["400", "401", "429", "500"])
def test_a_refused_request_is_not_billed(endpoint, fault):
    run = endpoint(Reply("fine", fault=fault)).run(CELL.format(""), topic="bees")
    assert run.receipt().totals["perhaps_billed"] == 0


def test_what_perhaps_was_billed_counts_against_the_budget(endpoint):
    book = endpoint(Reply("fine", fault="timeout"))
    run = book.run(CELL.format(" --budget 1.5"), topic="bees")
    assert run.resume().status == "failed"
    kernel = book.session.services.budget.whole
    assert kernel.spent_cost == pytest.approx(2 * run.receipt().totals["perhaps_cost"])
