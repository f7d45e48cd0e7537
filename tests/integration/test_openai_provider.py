"""The provider for OpenAI-compatible endpoints, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from orchmagic.errors import CallTimeout, ConnectionLost, ModelError, RequestRejected, ServerFailed, SettingsError
from orchmagic.models import PROVIDERS
from orchmagic.models.providers.openai import OpenAIProvider
from orchmagic.models.scripting.reply import Reply
from orchmagic.models.scripting.server import serve
from orchmagic.models.types import Deployment, ModelRequest, Schema, TokenLogprob, ToolCall, ToolSpec
from orchmagic.models.wire import chat_completions
from orchmagic.trace.events import Usage

pytestmark = pytest.mark.slow

ASK = ModelRequest("s#1.1", "small", ({"role": "user", "content": "hello"},))
CHAT = "/v1/chat/completions"


def at(url: str, **more: object) -> Deployment:
    return Deployment("small", "openai", "m", base_url=url, **more)


@pytest.fixture
async def provider():
    made = OpenAIProvider(environ={})
    yield made
    await made.close()


@asynccontextmanager
async def listening(handler):
    """A bare server whose every connection is handled by `handler`; at the end all of them are over."""
    handled = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handled.append(asyncio.current_task())
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    await asyncio.wait_for(asyncio.gather(*handled), 5)


def quiet(event: object) -> None:
    pass


def test_it_is_a_plug_like_any_other():
    assert isinstance(PROVIDERS.get("openai").create(), OpenAIProvider)


async def test_a_question_is_answered(provider):
    with serve([Reply("Hi.", usage=Usage(input=5, output=2, cached=1))]) as server:
        priced = at(server.base_url, input_price=1.0, output_price=10.0)
        found = await provider.complete(ASK, priced, quiet)
    assert (found.text, found.model, found.provider) == ("Hi.", "m", urlsplit(server.base_url).netloc)
    assert found.usage == Usage(input=5, output=2, cached=1)
    assert found.cost == pytest.approx(25e-6)
    assert server.requests == [chat_completions.body(ASK, priced)]


async def test_everything_that_can_be_asked_arrives_as_it_is_in_the_body(provider):
    full = replace(
        ASK,
        parameters={"temperature": 0.5, "top_k": 3},
        schema=Schema("Answer", {"type": "object", "properties": {}}),
        tools=(ToolSpec("find", "Finds.", {"type": "object", "properties": {}}),),
        logprobs=True,
    )
    with serve([Reply("{}")]) as server:
        to = at(server.base_url, logprobs=True, parameters={"cache_prompt": False})
        found = await provider.complete(full, to, quiet)
    assert server.requests == [chat_completions.body(full, to)]
    assert found.logprobs == (TokenLogprob("{", 0.0), TokenLogprob("}", 0.0))


@pytest.mark.parametrize("stream", [False, True])
async def test_streamed_or_not_the_answer_is_the_same(provider, stream):
    reply = Reply("one two", tool_calls=[("find", {"id": 1})], usage=Usage(input=3, output=4))
    heard = []
    with serve([reply]) as server:
        find = ToolSpec("find", "Finds.", {"type": "object", "properties": {}})
        found = await provider.complete(replace(ASK, stream=stream, tools=(find,)), at(server.base_url), heard.append)
    assert found.text == "one two"
    assert found.tool_calls == (ToolCall("call_1_1", "find", '{"id": 1}'),)
    assert (found.usage, found.finish_reason) == (Usage(input=3, output=4), "tool_calls")
    assert [(e.call, e.text) for e in heard] == ([("s#1.1", "one"), ("s#1.1", " two")] if stream else [])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reply", [Reply(fault="timeout"), Reply("late", latency=30)])
async def test_the_time_limit_bounds_the_whole_attempt(provider, stream, reply):
    with serve(["warm", reply, "fine"]) as server:
        await provider.complete(ASK, at(server.base_url), quiet)  # what a first call loads is not measured
        started = time.perf_counter()
        with pytest.raises(CallTimeout, match=r"m at 127\.0\.0\.1:\d+ did not answer within 0\.3 s: raise timeout"):
            await provider.complete(replace(ASK, timeout=0.3, stream=stream), at(server.base_url), quiet)
        assert 0.1 < time.perf_counter() - started < 10  # the answer would have come after thirty
        assert (await provider.complete(ASK, at(server.base_url), quiet)).text == "fine"


async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never silent for long, never done: only a limit on the whole attempt ends this."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    while True:
        writer.write(b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n')
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_a_stream_that_trickles_for_ever_is_ended_too(provider):
    heard = []
    async with listening(dribble) as url:
        with pytest.raises(CallTimeout):
            await provider.complete(replace(ASK, timeout=1, stream=True), at(url), heard.append)
    assert len(heard) > 3


async def test_cancelling_closes_the_connection(provider):
    asked, left = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        while await reader.read(4096):
            pass
        left.set()

    async with listening(answer) as url:
        asking = asyncio.create_task(provider.complete(ASK, at(url), quiet))
        await asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(left.wait(), 5)


async def test_nothing_listens_there(provider):
    with pytest.raises(ConnectionLost) as caught:
        await provider.complete(ASK, at("http://127.0.0.1:9/v1"), quiet)
    assert str(caught.value).startswith("nothing answers at http://127.0.0.1:9/v1: start the server or change base_url")
    assert not caught.value.may_have_spent


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8080/v1",
        "http://127.0.0.1:99999/v1",
        "ftp://127.0.0.1/v1",
        "http://[::1",
        "http://exa mple/v1",
        "http://127.0.0.1:0/v1",
    ],
)
async def test_an_address_that_is_none_is_told_in_one_line(url):
    provider = OpenAIProvider(key="k")
    with pytest.raises((ModelError, SettingsError), match="base_url") as caught:
        await provider.complete(ASK, at(url), quiet)
    assert "\n" not in str(caught.value)
    await provider.close()


def answering(raw: bytes):
    """A handler that answers with the same bytes, whatever is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()

    return answer


def http(status: str, body: bytes, kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"3",
    b'"x"',
    b"{}",
    b'{"choices": 3}',
    b'{"choices": ["x"]}',
    b'{"choices": [{"message": 3}]}',
    b'{"choices": [{"message": {"tool_calls": [3]}}]}',
    b'{"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{}]}}]}',
    b"\xff\xfe",
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", HOSTILE)
async def test_an_answer_that_is_not_of_the_protocol_is_the_servers_failure(provider, body):
    async with listening(answering(http("200 OK", body))) as url:
        with pytest.raises(ServerFailed, match=r"did not answer in the protocol \(is base_url right\?\)") as caught:
            await provider.complete(ASK, at(url), quiet)
    assert "\n" not in str(caught.value)


async def test_a_usage_that_cannot_be_read_costs_no_answer_and_is_estimated(provider):
    body = b'{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": "many"}}'
    async with listening(answering(http("200 OK", body))) as url:
        found = await provider.complete(ASK, at(url), quiet)
    assert (found.text, found.usage.estimated) == ("x", True)
    assert found.usage.input > 0


@pytest.mark.parametrize("data", [b"{oops", b"3", b'{"choices": 3}', b'{"choices": [{"delta": 3}]}', b"[" * 100_000])
async def test_a_stream_that_is_not_of_the_protocol_is_a_failure_too(provider, data):
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: " + data + b"\n\n"
    async with listening(answering(raw)) as url:
        with pytest.raises((ServerFailed, ConnectionLost)):
            await provider.complete(replace(ASK, stream=True), at(url), quiet)


def chunk(text: str, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


@pytest.mark.parametrize(
    "raw",
    [
        chunk("bl") + b"event: ping\n\n" + chunk("ue", "stop"),
        b"retry: 3000\n\n" + chunk("bl") + b"data:\n\n" + chunk("ue", "stop") + b"data: [DONE]\n\n",
        chunk("bl") + chunk("ue") + b"data: [DONE]\n\n",
        chunk("bl", "") + chunk("ue", "") + b"data: [DONE]\n\n",
        chunk("bl") + chunk("ue", "stop")[:-2],
    ],
)
async def test_a_stream_that_is_written_otherwise_is_read(provider, raw):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    async with listening(answering(head + raw)) as url:
        found = await provider.complete(replace(ASK, stream=True), at(url), quiet)
    assert (found.text, found.finish_reason) == ("blue", "stop")


@pytest.mark.parametrize("raw", [chunk("bl"), chunk("bl") + chunk("ue", "stop")[:-9], b""])
async def test_a_stream_that_was_cut_off_is_a_lost_connection(provider, raw):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    async with listening(answering(head + raw)) as url:
        with pytest.raises(ConnectionLost, match="ended before the answer did"):
            await provider.complete(replace(ASK, stream=True), at(url), quiet)


@pytest.mark.parametrize(
    "error", [{"object": "error", "message": "no such thing", "code": 400}, {"code": 400, "details": "no such thing"}]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_in_another_form_keeps_its_words(provider, error, stream):
    body = json.dumps(error).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    raw = head + chunk("bl") + b"data: " + body + b"\n\n" if stream else http("200 OK", body)
    async with listening(answering(raw)) as url:
        with pytest.raises(RequestRejected, match="no such thing"):
            await provider.complete(replace(ASK, stream=stream), at(url), quiet)


@pytest.mark.parametrize(("code", "error"), [(b"400", RequestRejected), (b'"overloaded"', ServerFailed)])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_with_status_200_is_an_error(provider, code, error, stream):
    body = b'{"error": {"message": "no such thing", "code": %s}}' % code
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: " + body + b"\n\n"
    async with listening(answering(raw if stream else http("200 OK", body))) as url:
        with pytest.raises(error, match="no such thing"):
            await provider.complete(replace(ASK, stream=stream), at(url), quiet)


KEY = "sk-verysecret-0123456789abcdef"


@pytest.mark.parametrize("key", [KEY, "0123456789abcdef"])
async def test_a_key_is_never_in_an_error(key):
    said = f'{{"error": {{"message": "Incorrect API key provided: {key}. Bearer {key}", "code": "invalid_api_key"}}}}'
    provider = OpenAIProvider(environ={"MY_KEY": key})
    async with listening(answering(http("401 Unauthorized", said.encode()))) as url:
        with pytest.raises(RequestRejected, match=r"MY_KEY was refused by 127\.0\.0\.1:\d+ \(401\)") as caught:
            await provider.complete(ASK, at(url, key_env="MY_KEY"), quiet)
    assert key not in str(caught.value)
    assert key not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    await provider.close()


async def test_the_key_is_sent_as_a_bearer_and_only_there(provider):
    heads = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http("200 OK", b'{"choices": [{"message": {"content": "x"}}]}'))
        await writer.drain()

    async with listening(answer) as url:
        await provider.complete(ASK, at(url), quiet)
        mine = OpenAIProvider(key="own", environ={"OPENAI_API_KEY": "other"})
        await mine.complete(ASK, at(url), quiet)
        await mine.close()
    assert [b"authorization: bearer none" in heads[0].lower(), b"authorization: bearer own" in heads[1].lower()] == [
        True,
        True,
    ]


async def test_a_missing_key_is_named_before_anything_is_sent(provider):
    with pytest.raises(SettingsError, match=r"ACME_KEY is not set: set it to the key for https://acme\.example/v1"):
        await provider.complete(ASK, at("https://acme.example/v1", key_env="ACME_KEY"), quiet)


async def test_the_environment_says_where_an_endpoint_without_an_address_is():
    with serve(["here"]) as server:
        provider = OpenAIProvider(environ={"OPENAI_BASE_URL": server.base_url})
        assert (await provider.complete(ASK, Deployment("a", "openai", "m"), quiet)).text == "here"
        await provider.close()


async def test_a_proxy_for_the_world_is_no_way_to_this_machine(provider, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with serve(["direct"]) as server:
        assert (await provider.complete(ASK, at(server.base_url), quiet)).text == "direct"


async def test_one_connection_is_used_again_and_closing_twice_is_fine(provider):
    with serve(lambda body: "x") as server:
        for _ in range(3):
            await provider.complete(ASK, at(server.base_url), quiet)
        assert len(provider._clients) == 1
        await provider.close()
        await provider.close()
        assert (await provider.complete(ASK, at(server.base_url), quiet)).text == "x"


def test_a_provider_serves_one_event_loop_after_the_other():
    provider = OpenAIProvider(environ={})
    with serve(lambda body: "x") as server:

        async def once() -> str:
            found = await provider.complete(ASK, at(server.base_url), quiet)
            await provider.close()
            return found.text

        assert [asyncio.run(once()), asyncio.run(once())] == ["x", "x"]
    gc.collect()
