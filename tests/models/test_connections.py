"""The connections under openai's client, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from orchmagic.models.providers.openai import OpenAIProvider
from orchmagic.models.types import Deployment, ModelRequest
from orchmagic.models.wire.connections import AioTransport, Client, transport

ANSWER = b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def whole(body: bytes, *more: bytes) -> bytes:
    return OK + b"".join(line + b"\r\n" for line in more) + b"Content-Length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def answering(raw: bytes, *, closes: bool = False):
    """A server that answers each request with the same bytes; yields its address and the requests that it got."""
    seen: list[bytes] = []
    handled = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handled.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                seen.append(head + await reader.readexactly(int(length.split(b":")[1])))
                writer.write(raw)
                await writer.drain()
                if closes:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
        server.close()
    await asyncio.wait_for(asyncio.gather(*handled), 5)


async def sent(url: str, body: bytes = b"{}", **more: object) -> httpx2.Response:
    async with DefaultAsyncHttpxClient(transport=AioTransport(None), timeout=None, **more) as client:
        return await client.post(url, content=body)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        OK + b"Content-Length: 50\r\n\r\n{}",
        OK + b"Transfer-Encoding: chunked\r\n\r\n20\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ],
    ids=["closed", "in the headers", "in the body", "in a chunk", "no HTTP"],
)
async def test_a_connection_that_breaks_is_a_read_error(raw):
    async with answering(raw, closes=True) as (url, _):
        with pytest.raises(httpx2.ReadError) as failed:
            await sent(url)
    assert str(failed.value)
    assert failed.value.request.url.host == "127.0.0.1"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.invalid"])
async def test_no_connection_is_a_connect_error(url):
    with pytest.raises(httpx2.ConnectError):
        await sent(url)


@pytest.mark.parametrize(
    "headers", [(), (b"X-Policy: " + b"x" * 20_000,), (b"Set-Cookie: a=1; Path=/",)], ids=["plain", "long", "cookie"]
)
async def test_an_answer_arrives_as_it_is(headers):
    async with answering(whole(ANSWER, *headers)) as (url, seen):
        assert (await sent(url)).content == ANSWER
    assert len(seen) == 1


async def test_a_compressed_answer_is_decoded_once():
    async with answering(whole(gzip.compress(ANSWER), b"Content-Encoding: gzip")) as (url, _):
        assert (await sent(url)).content == ANSWER


async def test_a_body_of_images_is_sent_whole_and_without_a_warning():
    body = b"x" * 3_000_000
    async with answering(whole(ANSWER)) as (url, seen):
        await sent(url, body)
    assert seen[0].endswith(b"\r\n\r\n" + body)


async def test_the_headers_that_are_sent_are_those_of_the_client():
    async with (
        answering(whole(ANSWER)) as (url, seen),
        AsyncOpenAI(
            base_url=url.replace("//", "//user:word@"),
            api_key="k",
            http_client=DefaultAsyncHttpxClient(transport=AioTransport(None)),
        ) as client,
    ):
        await client.post("/x", cast_to=object, body={"a": 1})
    head = seen[0].split(b"\r\n\r\n")[0].lower()
    names = [line.split(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert len(names) == len(set(names))
    assert b"authorization: basic dxnlcjp3b3jk" in head
    assert b"user-agent: asyncopenai/python" in head


BODIES = [
    {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5},
    {"model": "m", "messages": [{"role": "user", "content": "größe 🐝 \x00 </script>"}], "stream": True},
    {"model": "m", "messages": [], "n": None, "tools": [{"a": [1, 2.5, True]}]},
]


@pytest.mark.parametrize("path", ["/chat/completions", "/other"])
async def test_a_request_is_the_same_as_that_of_openais_own_client(path):
    async with answering(whole(ANSWER)) as (url, seen):
        for kind in (AsyncOpenAI, Client):
            http = DefaultAsyncHttpxClient(transport=AioTransport(None))
            async with kind(base_url=url, api_key="k", max_retries=0, http_client=http) as client:
                for body in BODIES:
                    await client.post(path, cast_to=httpx2.Response, body=body)
    theirs, ours = seen[: len(BODIES)], seen[len(BODIES) :]

    def parts(request: bytes) -> tuple[bytes, list[bytes], bytes]:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        return first, sorted(line.lower() for line in lines), body

    assert list(map(parts, ours)) == list(map(parts, theirs))


async def test_a_redirect_is_the_clients_business():
    moved = b"HTTP/1.1 307 Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
    async with answering(moved) as (url, seen):
        assert (await sent(url, follow_redirects=False)).status_code == 307
    assert len(seen) == 1


async def test_a_connection_is_used_again():
    one = DefaultAsyncHttpxClient(transport=AioTransport(None))
    async with answering(whole(ANSWER)) as (url, seen), one as client:
        for _ in range(3):
            await client.post(url, content=b"{}")
        connections = len({id(p) for ps in client._transport._session.connector._conns.values() for p in ps})
    assert (len(seen), connections) == (3, 1)


@pytest.mark.parametrize(
    ("url", "proxies", "ours"),
    [
        ("http://127.0.0.1:1/v1", {"HTTP_PROXY": "http://p.test"}, True),
        ("http://far.test/v1", {"HTTP_PROXY": "http://p.test"}, False),
        ("http://far.test/v1", {"ALL_PROXY": "socks5://p.test"}, False),
        ("http://far.test/v1", {}, True),
        ("https://far.test/v1", {}, True),
    ],
)
async def test_behind_a_proxy_httpx_connects(monkeypatch, url, proxies, ours):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)
    made = transport(url)
    assert (made is not None) is ours
    if made is not None:
        await made.aclose()


async def asked(provider: OpenAIProvider, url: str) -> str:
    request = ModelRequest("s#1.1", "small", ({"role": "user", "content": "hello"},))
    answer = await provider.complete(request, Deployment("small", "openai", "m", base_url=url), lambda _: None)
    return answer.text


async def test_who_watches_the_openai_client_sees_our_calls(monkeypatch):
    real, watched = AsyncOpenAI.post, []

    async def post(self, path, **more):
        watched.append((path, more["body"]["model"]))
        return await real(self, path, **more)

    monkeypatch.setattr(AsyncOpenAI, "post", post)
    provider = OpenAIProvider(environ={})
    async with answering(whole(ANSWER)) as (url, seen):
        assert await asked(provider, url) == "yes"
        await provider.close()
    assert watched == [("/chat/completions", "m")]
    assert json.loads(seen[0].split(b"\r\n\r\n")[1])["model"] == "m"


@pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning"
)  # of asyncio: nobody can close a connection of an ended loop
def test_a_loop_that_ends_first_leaves_no_client_behind(caplog):
    provider = OpenAIProvider(environ={})

    async def once() -> str:
        async with answering(whole(ANSWER), closes=True) as (url, _):
            return await asked(provider, url)

    assert [asyncio.run(once()), asyncio.run(once())] == ["yes", "yes"]
    assert len(provider._clients) == 1
    provider._clients.clear()
    gc.collect()
    assert not caplog.records
