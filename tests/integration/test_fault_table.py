"""The fault table: each thing that can go wrong over real HTTP, and the error it becomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from orchmagic.errors import (
    CallTimeout,
    ConnectionLost,
    EmptyReply,
    ModelError,
    ModelUnfit,
    QuotaExhausted,
    RateLimited,
    RefusedReply,
    RequestRejected,
    ServerFailed,
    TruncatedReply,
    UnusableReply,
)
from orchmagic.models.providers.openai import OpenAIProvider
from orchmagic.models.scripting.reply import Reply
from orchmagic.models.scripting.server import serve
from orchmagic.models.types import Deployment, ModelRequest, Schema
from orchmagic.trace.events import Usage

pytestmark = pytest.mark.slow

ASK = ModelRequest("s#1.1", "small", ({"role": "user", "content": "hello"},), timeout=20)
RETRY, NEXT, SPENT = "retry", "next model", "may have spent"

# fault, error, what helps, HTTP status, what the text says
TABLE = [
    ("429", RateLimited, {RETRY, NEXT}, 429, "429 from {host}: Rate limit reached"),
    ("500", ServerFailed, {RETRY, NEXT}, 500, "500 from {host}: the server had an error"),
    ("502", ServerFailed, {RETRY, NEXT}, 502, "502 from {host}: bad gateway"),
    ("503", ServerFailed, {RETRY, NEXT}, 503, "503 from {host}: the server is overloaded"),
    ("garbled", ServerFailed, {RETRY, NEXT, SPENT}, 200, "{host} did not answer in the protocol (is base_url right?)"),
    ("408", CallTimeout, {RETRY, NEXT, SPENT}, 408, "408 from {host}: the request took too long"),
    ("timeout", CallTimeout, {RETRY, NEXT, SPENT}, None, "m at {host} did not answer within 0.3 s: raise timeout"),
    ("reset", ConnectionLost, {RETRY, NEXT, SPENT}, None, "the connection to {host} broke"),
    ("402", QuotaExhausted, {NEXT}, 402, "the account at {host} has nothing left (402)"),
    ("quota", QuotaExhausted, {NEXT}, 429, "the account at {host} has nothing left (429)"),
    ("refusal", RefusedReply, {NEXT}, None, "m refused: "),
    ("content_filter", RefusedReply, {NEXT}, None, "a content filter stopped m"),
    ("prompt_filter", RefusedReply, {NEXT}, 400, "a content filter of {host} stopped the request"),
    ("tool_use_failed", UnusableReply, {NEXT, SPENT}, 400, "m wrote what {host} cannot read (400): Failed to call"),
    ("empty", EmptyReply, {NEXT}, None, "m gave an empty reply"),
    ("truncated", TruncatedReply, {NEXT}, None, "m was cut off after"),
    ("400", RequestRejected, set(), 400, "{host} rejected the request (400): the request is not valid"),
    (
        "context_length",
        ModelUnfit,
        {NEXT},
        400,
        "the prompt is too long for m at {host} (400): the messages are longer",
    ),
    ("401", RequestRejected, set(), 401, "OPENAI_API_KEY was refused by {host} (401): Incorrect API key"),
    ("403", RequestRejected, set(), 403, "OPENAI_API_KEY was refused by {host} (403)"),
    ("404", ModelUnfit, {NEXT}, 404, "{host} has no model 'm', or base_url is wrong (404)"),
    ("422", RequestRejected, set(), 422, "{host} rejected the request (422)"),
]


async def fail(reply: Reply, *, stream: bool = False, model: str = "m") -> tuple[ModelError, str]:
    """The error for `reply`, and the host in its text. The same connection pool then serves the next question."""
    provider = OpenAIProvider(environ={})
    with serve(["warm", reply, "fine"]) as server:
        to = Deployment("small", "openai", model, base_url=server.base_url)
        try:
            await provider.complete(ASK, to, lambda event: None)
            # what loads on a busy machine takes its time: only what waits for the limit gets a short one
            asked = replace(ASK, stream=stream, timeout=0.3 if reply.fault == "timeout" else ASK.timeout)
            with pytest.raises(ModelError) as caught:
                await provider.complete(asked, to, lambda event: None)
            assert (await provider.complete(ASK, to, lambda event: None)).text == "fine"
        finally:
            await provider.close()
    return caught.value, server.base_url.split("/")[2]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("fault", "kind", "helps", "status", "text"), TABLE, ids=[row[0] for row in TABLE])
async def test_a_fault_is_an_error_that_says_what_helps(fault, kind, helps, status, text, stream):
    error, host = await fail(Reply("a few words of an answer", fault=fault), stream=stream)
    if fault == "garbled" and stream:  # what is no event stream holds no event: it just ends
        kind, text, status = ConnectionLost, "the stream ended before the answer did", None
    assert type(error) is kind
    assert (error.transient, error.falls_back, error.may_have_spent) == (RETRY in helps, NEXT in helps, SPENT in helps)
    assert (error.model, error.provider, error.status) == ("m", host, status)  # a provider is who was asked
    assert text.format(host=host) in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("model", "end"), [("gtp-4", "; did you mean 'gpt-4'?"), ("gpt-4", "the model does not exist")]
)
async def test_a_model_that_is_not_there_offers_the_nearest(model, end):
    error, _ = await fail(Reply(fault="404"), model=model)
    assert str(error).endswith(end)


@pytest.mark.parametrize("fault", ["refusal", "content_filter", "empty", "truncated"])
async def test_an_unusable_reply_was_paid_for(fault):
    error, _ = await fail(Reply("some words", fault=fault, usage=Usage(input=11, output=5)))
    assert isinstance(error, UnusableReply)
    assert error.usage == Usage(input=11, output=5)


@pytest.mark.parametrize(("header", "seconds"), [(2, 2.0), ("0.5", 0.5), (None, None), ("soon", None), ("-1", None)])
async def test_the_wait_that_is_asked_is_passed_on_in_seconds(header, seconds):
    error, _ = await fail(Reply(fault="429", retry_after=header))
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


async def test_a_wait_until_a_date_is_passed_on_in_seconds():
    until = datetime.now(UTC) + timedelta(seconds=30)
    error, _ = await fail(Reply(fault="429", retry_after=format_datetime(until, usegmt=True)))
    assert isinstance(error, RateLimited)
    assert error.retry_after == pytest.approx(30, abs=3)


async def test_bad_content_is_no_transport_error():
    schema = Schema("Label", {"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"]})
    provider = OpenAIProvider(environ={})
    with serve([Reply(fault="broken_json"), Reply(fault="wrong_enum")]) as server:
        to = Deployment("small", "openai", "m", base_url=server.base_url)
        texts = [(await provider.complete(replace(ASK, schema=schema), to, lambda event: None)).text for _ in range(2)]
        await provider.close()
    assert texts == ['{"a": "x",}', '{"a": "none of the choices"}']
