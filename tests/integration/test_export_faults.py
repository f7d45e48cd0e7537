"""What is tried again, what goes to the next model, what ends the run: the table says it, notebook and module do it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from exporting import Both, Case, loaded
from openai import AsyncOpenAI

from orchmagic.core.portable import FAULTS
from orchmagic.errors import ModelError
from orchmagic.export.vendored.call_runtime import ModelFailedError, call_model, call_once
from orchmagic.models.providers.openai import OpenAIProvider
from orchmagic.models.scripting import reply as scripted
from orchmagic.models.scripting.reply import Reply
from orchmagic.models.scripting.server import serve
from orchmagic.models.types import Deployment, ModelRequest

pytestmark = pytest.mark.slow

CELL = "%%chain made --fallback large\nsay\n    Say {{ x }}\n"

# Rows of the table that come without an HTTP status, and second ways to a row.
FAILED = [
    ("refusal", "refusal"),
    ("length", "truncated"),
    ("empty", "empty"),
    ("content_filter", "content_filter"),
    ("content_filter", "prompt_filter"),
    ("connection", "reset"),
    ("server", "garbled"),
    ("malformed", "tool_use_failed"),
    ("context", "context_length"),
]
HTTP = [
    *((row, status, "other") for row, fault in FAULTS.items() for status in list(fault.statuses)[:4]),
    *((row, 400, code) for row, fault in FAULTS.items() for code in fault.codes),
    ("request", 400, "other"),
    ("request", 409, "other"),
    ("quota", 429, "insufficient_quota"),
]


@pytest.fixture
def both(tmp_path):
    return Both(tmp_path)


def answers(fault, times):
    """The first model fails so many times, then all answer."""

    def reply(body):
        nonlocal times
        if body["model"] == "large-model" or times == 0:
            return "fine"
        times -= 1
        return Reply("some words", fault=fault, retry_after=0.01)

    return reply


async def as_the_table_says(tmp_path, row, fault):
    """Run it with one retry: a failure that passes, and one that stays."""
    retried, falls_back = FAULTS[row].retried, FAULTS[row].falls_back
    for times in (1, 9):
        counts = []
        for run in ("in_notebook", "as_module"):
            case = Case(CELL, answers(fault, times), x="hi").served(large={}).retried(1)
            found = getattr(Both(tmp_path), run)(case, {})
            asked, output, status = await found if run == "as_module" else found
            models = [body["model"] for body in asked]
            counts.append((models.count("default-model"), models.count("large-model"), output, status.split(":")[0]))
        first = 2 if retried else 1
        if times == 1 and retried:
            wanted = (2, 0, "fine", "done")
        else:
            wanted = (first, 1, "fine", "done") if falls_back else (first, 0, None, "failed")
        assert counts == [wanted, wanted]


@pytest.mark.parametrize(("row", "fault"), FAILED)
async def test_a_failure_does_in_notebook_and_module_what_its_row_says(tmp_path, row, fault):
    await as_the_table_says(tmp_path, row, fault)


@pytest.mark.parametrize(("row", "status", "code"), HTTP)
async def test_a_status_or_code_does_in_notebook_and_module_what_its_row_says(tmp_path, monkeypatch, row, status, code):
    # the scripted server sends these over HTTP as it sends its own errors
    monkeypatch.setitem(scripted._DETAILS, "400", (status, "as the table says", code))
    await as_the_table_says(tmp_path, row, "400")


def test_every_row_of_the_table_is_driven():
    assert {row for row, _ in FAILED} | {row for row, _, _ in HTTP} == set(FAULTS)


@contextmanager
def answering(body: object, seen: list[str] | None = None, moved: tuple[int, str] = (200, "")) -> Iterator[str]:
    """A server that answers everything with 200 and this JSON, or a status and where it moved; its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            data = json.dumps(body).encode()
            if seen is not None:
                seen.append(self.path)
            self.send_response(moved[0])
            if moved[1]:
                self.send_header("Location", moved[1])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [301, 307])
async def test_a_module_follows_no_redirect(both, monkeypatch, status):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123")
    with (
        answering({"choices": []}, seen := []) as other,
        answering({}, [], (status, f"{other}/chat/completions")) as url,
    ):
        text = both.exported(Case(CELL.replace(" --fallback large", ""), ["fine"]).served(default={"base_url": url}))
        module = loaded(text, both.folder, "moved")
        with pytest.raises(
            module.ModelFailedError, match=f"redirects to {other}/chat/completions, which is not followed"
        ):
            await module.build_graph().ainvoke({"x": "hi"})
    assert seen == []


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ({"error": {"message": "slow down", "code": 429}}, "rate_limit"),
        ({"error": {"message": "filtered", "code": "content_filter"}}, "content_filter"),
        ({"error": {"message": "what?"}}, "server"),
        ({"error": {"message": "wrong", "status": 404}}, "no_model"),
        ({"choices": []}, "empty"),
        ({"message": "hello"}, "server"),
        (["no", "protocol"], "server"),
        ("text", "server"),
    ],
)
async def test_an_answer_that_is_none_is_the_same_fault_in_both(body, row):
    provider = OpenAIProvider(environ={})
    with answering(body) as url:
        asked = ModelRequest("s#1.1", "m", ({"role": "user", "content": "hello"},), timeout=20)
        with pytest.raises(ModelError) as raised:
            await provider.complete(asked, Deployment("m", "openai", "m", base_url=url), lambda event: None)
        client = AsyncOpenAI(base_url=url, api_key="any")
        with pytest.raises(ModelFailedError) as failed:
            await call_once(client, {"model": "m", "messages": []})
        await client.close()
        await provider.close()
    assert failed.value.fault is FAULTS[row]
    assert (raised.value.transient, raised.value.falls_back) == (FAULTS[row].retried, FAULTS[row].falls_back)


async def test_an_answer_that_never_comes_is_a_timeout_which_is_retried_and_falls_back():
    with serve([Reply(fault="timeout")]) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="any", timeout=0.3)
        with pytest.raises(ModelFailedError) as failed:
            await call_once(client, {"model": "m", "messages": []})
        await client.close()
    assert failed.value.fault is FAULTS["timeout"]
    assert len(server.requests) == 1  # the client itself does not try again


async def test_an_endpoint_that_asks_for_more_than_a_minute_is_not_asked_again():
    with serve([Reply(fault="429", retry_after=61), "fine"]) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="any")
        with pytest.raises(ModelFailedError) as failed:
            await call_model(client, {"model": "m", "messages": []})
        await client.close()
    assert (failed.value.fault, failed.value.retry_after) == (FAULTS["rate_limit"], 61)
    assert len(server.requests) == 1


async def test_a_refusal_is_told_in_the_words_of_the_model():
    with serve([Reply("I cannot help with that.", fault="refusal")]) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="any")
        with pytest.raises(ModelFailedError, match=r"I cannot help with that\.") as failed:
            await call_once(client, {"model": "m", "messages": []})
        await client.close()
    assert failed.value.fault is FAULTS["refusal"]
