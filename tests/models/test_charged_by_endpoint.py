"""An endpoint that says what it charged is believed: more than the price list, less than the settings."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchmagic.models.pricing.prices import priced_answer
from orchmagic.models.types import Deployment
from orchmagic.trace.record import Record

UNPRICED = Deployment("a", "openai", "m", "http://127.0.0.1/v1")
OWN = Deployment("a", "openai", "m", "http://127.0.0.1/v1", input_price=2.0, output_price=8.0)


def priced(usage, deployment):
    told = {"model": "m", "choices": [{"message": {"content": "four"}}], "usage": usage}
    return priced_answer(told, deployment, {"messages": []})


# name, the usage object, US dollars
CHARGED = [
    (
        "OpenRouter",
        {"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00014, "is_byok": False},
        0.00014,
    ),
    (
        "OpenRouter, whose bill is the vendor's",
        {
            "prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00014, "is_byok": False,
            "cost_details": {"upstream_inference_cost": 0.00014},
        },
        0.00014,
    ),
    (
        "OpenRouter with a key of one's own: its fee, and the vendor's bill",  # openrouter.ai, usage accounting
        {
            "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 0},
            "cost": 0.95, "cost_details": {"upstream_inference_cost": 19},
            "prompt_tokens": 194,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 100, "audio_tokens": 0},
            "total_tokens": 196,
        },
        19.95,
    ),
    (
        "OpenRouter with a key of one's own, and no fee",
        {
            "prompt_tokens": 5, "completion_tokens": 2, "cost": 0, "is_byok": True,
            "cost_details": {"upstream_inference_cost": 0.25},
        },
        0.25,
    ),
    (
        "LLM Gateway",  # docs.llmgateway.io, cost breakdown
        {
            "prompt_tokens": 10, "completion_tokens": 15, "total_tokens": 25, "cost_usd_total": 0.000125,
            "cost_usd_input": 0.000025, "cost_usd_output": 0.0001, "cost_usd_cached_input": 0, "cost_usd_request": 0,
        },
        0.000125,
    ),
    (
        "xAI counts in ticks",  # docs.x.ai, cost tracking
        {"prompt_tokens": 125, "completion_tokens": 48, "total_tokens": 173, "cost_in_usd_ticks": 37756000},
        0.0037756,
    ),
    (
        "Perplexity",
        {
            "prompt_tokens": 8, "completion_tokens": 439, "total_tokens": 447,
            "cost": {"input_tokens_cost": 2.4e-05, "output_tokens_cost": 0.006585, "total_cost": 0.012609},
        },
        0.012609,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "cost"), [row[1:] for row in CHARGED], ids=[row[0] for row in CHARGED])
def test_what_the_endpoint_says_it_charged_wins_over_the_list_but_not_over_the_settings(usage, cost):
    found = priced(usage, UNPRICED)
    assert found.cost == pytest.approx(cost)
    assert found.charged
    own = priced(usage, OWN)
    assert not own.charged
    assert own.cost != pytest.approx(cost)


@pytest.mark.parametrize("cost", [0, None, -1, True, {}, {"total_cost": 0}, [1]])
def test_a_reported_nothing_is_no_price(cost):
    found = priced({"prompt_tokens": 10, "completion_tokens": 2, "cost": cost}, UNPRICED)
    assert (found.cost, found.charged) == (None, False)


class Router(BaseHTTPRequestHandler):
    """Answers any question, and says what it charged for it."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "cost": 0.25}
        message = {"role": "assistant", "content": "hello"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "1", "object": "chat.completion", "model": asked["model"], "choices": [choice], "usage": usage}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Nothing on the terminal."""


@pytest.fixture
def router():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Router)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_receipt_says_which_costs_are_the_endpoints_own(notebook, router):
    models = {
        "routed": {"base_url": router, "model": "a/b"},
        "agreed": {"base_url": router, "model": "a/b", "input_price": 1.0, "output_price": 1.0},
    }
    notebook.session.services.environ.update({"ORCHMAGIC_MODELS": json.dumps(models)})
    run = notebook.run("%%chain greet\none(model=routed)\n    Hello\ntwo(model=agreed)\n    Hi\n")
    receipt = run.receipt()
    assert [(row["cost"], row["charged"]) for row in receipt] == [(0.25, True), (pytest.approx(12e-6), False)]
    assert "As the endpoint itself charged it, not by the price list: 1 of 2" in receipt.notes
    saved = Record.from_json(json.loads(json.dumps(run.record.to_json())))
    assert [s.charged for s in saved.spans if s.kind == "ask"] == [True, False]
