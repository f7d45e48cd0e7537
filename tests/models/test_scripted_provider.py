"""The scripted provider: a Script in this process, with the errors that HTTP would give."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from orchmagic.errors import (
    CallTimeout,
    ConnectionLost,
    EmptyReply,
    QuotaExhausted,
    RateLimited,
    RefusedReply,
    RequestRejected,
    ServerFailed,
    SettingsError,
    TruncatedReply,
)
from orchmagic.models import PROVIDERS
from orchmagic.models.providers.scripted import ScriptedProvider, find, install, remove
from orchmagic.models.scripting.reply import Reply
from orchmagic.models.scripting.script import Script
from orchmagic.models.types import Deployment, ModelRequest
from orchmagic.models.wire import chat_completions
from orchmagic.trace.events import Usage

ASK = ModelRequest("s#1.1", "scripted", ({"role": "user", "content": "hello"},))
TO = Deployment("scripted", "scripted", "here", logprobs=True)


@pytest.fixture
def script():
    def write(replies=()) -> Script:
        return install(Script(replies), "here")

    yield write
    remove("here")


async def ask(request: ModelRequest = ASK, to: Deployment = TO, emit=lambda event: None):
    return await ScriptedProvider().complete(request, to, emit)


def test_it_is_a_plug_like_any_other():
    assert isinstance(PROVIDERS.get("scripted").create(), ScriptedProvider)


async def test_it_answers_and_keeps_the_body(script):
    written = script(["Hi."])
    found = await ask()
    assert (found.text, found.model, found.provider, found.cost) == ("Hi.", "here", "scripted", 0.0)
    assert found.usage == Usage(input=1, output=2)
    assert written.requests == [chat_completions.body(ASK, TO)]


async def test_the_default_script_is_always_there():
    remove()
    assert (await ask(to=Deployment("scripted", "scripted", "scripted"))).text == "scripted"


def test_an_unknown_script_says_how_to_install_one():
    with pytest.raises(
        SettingsError, match=r"no script 'scripte' .*write install\(Script\(\.\.\.\), 'scripte'\) first"
    ):
        find("scripte")


async def test_text_is_streamed_word_by_word(script):
    script(["one two  three"])
    heard = []
    found = await ask(replace(ASK, stream=True), emit=heard.append)
    assert [(e.call, e.text) for e in heard] == [("s#1.1", "one"), ("s#1.1", " two"), ("s#1.1", "  three")]
    assert found.text == "one two  three"


async def test_prices_of_the_settings_hold_for_scripts(script):
    script([Reply("x", usage=Usage(input=1000, output=1000))])
    priced = Deployment("scripted", "scripted", "here", input_price=1.0, output_price=2.0)
    assert (await ask(to=priced)).cost == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", RateLimited),
        ("quota", QuotaExhausted),
        ("402", QuotaExhausted),
        ("500", ServerFailed),
        ("garbled", ServerFailed),
        ("401", RequestRejected),
        ("400", RequestRejected),
        ("prompt_filter", RefusedReply),
        ("timeout", CallTimeout),
        ("reset", ConnectionLost),
        ("refusal", RefusedReply),
        ("content_filter", RefusedReply),
        ("empty", EmptyReply),
        ("truncated", TruncatedReply),
    ],
)
async def test_a_fault_is_the_error_it_would_be_over_http(script, fault, error):
    script([Reply("some words", fault=fault), "fine"])
    with pytest.raises(error) as caught:
        await ask()
    assert type(caught.value) is error
    assert (await ask()).text == "fine"


async def test_a_latency_beyond_the_limit_is_a_timeout(script):
    script([Reply("late", latency=60)])
    with pytest.raises(CallTimeout, match=r"here at scripted did not answer within 0\.01 s"):
        await ask(replace(ASK, timeout=0.01))


async def test_a_waiting_answer_can_be_cancelled(script):
    asked = asyncio.Event()

    def late(body):
        asked.set()
        return Reply("late", latency=60)

    script(late)
    waiting = asyncio.create_task(ask())
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_stream_that_breaks_has_said_half(script):
    script([Reply("one two three four", fault="reset")])
    heard = []
    with pytest.raises(ConnectionLost):
        await ask(replace(ASK, stream=True), emit=heard.append)
    assert "".join(e.text for e in heard) == "one two"
