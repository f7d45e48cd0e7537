"""A script over real HTTP, asked by the plain OpenAI client and by bare sockets."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import openai
import pytest

from orchmagic.models.scripting.reply import Reply
from orchmagic.models.scripting.script import Script
from orchmagic.models.scripting.server import serve

HELLO = [{"role": "user", "content": "hello"}]


def post(server, body: bytes | dict, path: str = "/chat/completions"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(server.base_url + path, data=data, timeout=10) as found:
        return json.load(found)


async def test_the_plain_client_is_answered_and_its_body_kept():
    with serve(["Hi."]) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="x") as client:
            found = await client.chat.completions.create(model="m", messages=HELLO, temperature=0)
    assert found.choices[0].message.content == "Hi."
    assert found.usage.total_tokens == 3
    assert server.requests == [{"model": "m", "messages": HELLO, "temperature": 0}]


async def test_streams_carry_words_tool_calls_and_usage():
    with serve([Reply("one two", tool_calls=[("find", {"id": 1})])]) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="x") as client:
            stream = await client.chat.completions.create(
                model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert [d.content for d in deltas if d.content] == ["one", " two"]
    assert [d.tool_calls[0].function.name for d in deltas if d.tool_calls] == ["find"]
    assert chunks[-2].choices[0].finish_reason == "tool_calls"
    assert (chunks[-1].choices, chunks[-1].usage.prompt_tokens) == ([], 1)


async def test_the_models_are_listed():
    with serve() as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="x") as client:
            assert [model.id async for model in client.models.list()] == ["scripted"]


def test_one_connection_serves_many_requests():
    with serve(["a", "b"]) as server:
        place = server.base_url.removeprefix("http://").removesuffix("/v1")
        connection = http.client.HTTPConnection(place, timeout=10)
        answers = []
        for _ in range(2):
            connection.request("POST", "/v1/chat/completions", json.dumps({"messages": HELLO}))
            answers.append(json.load(connection.getresponse())["choices"][0]["message"]["content"])
        port = connection.sock.getsockname()
        connection.close()
    assert answers == ["a", "b"]
    assert port


@pytest.mark.parametrize(
    ("body", "path", "status", "said"),
    [
        (b"{", "/chat/completions", 400, "not JSON"),
        (b"[]", "/chat/completions", 400, "no list of messages"),
        ({"messages": "x"}, "/chat/completions", 400, "no list of messages"),
        ({"messages": []}, "/embeddings", 404, "no POST /v1/embeddings here"),
    ],
)
def test_what_is_no_question_is_rejected(body, path, status, said):
    with serve() as server, pytest.raises(urllib.error.HTTPError) as caught:
        post(server, body, path)
    with caught.value as error:
        assert error.code == status
        assert said in json.load(error)["error"]["message"]


def test_an_error_in_the_scripts_own_function_is_shown_to_who_asked():
    def broken(body):
        raise KeyError("x")

    with serve(broken) as server, pytest.raises(urllib.error.HTTPError) as caught:
        post(server, {"messages": HELLO})
    with caught.value as error:
        assert json.load(error)["error"]["message"] == "the script failed: KeyError: 'x'"


def test_bytes_that_are_no_http_end_the_connection_and_nothing_else():
    with serve(["still here"]) as server:
        port = int(server.base_url.split(":")[2].split("/")[0])
        for noise in (b"\x00\xff\r\n\r\n", b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"x" * 200_000):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as bare:
                try:
                    bare.sendall(noise)
                    bare.shutdown(socket.SHUT_WR)
                    while bare.recv(4096):
                        pass
                except OSError:  # reset, broken pipe, or no longer connected: the server hung up
                    pass
        assert post(server, {"messages": HELLO})["choices"][0]["message"]["content"] == "still here"


def test_it_stops_at_once_with_a_request_that_hangs_and_leaves_no_thread():
    with serve([Reply(fault="timeout")]) as server:
        port = int(server.base_url.split(":")[2].split("/")[0])
        bare = socket.create_connection(("127.0.0.1", port), timeout=10)
        body = json.dumps({"messages": HELLO}).encode()
        bare.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        while not server.requests:
            time.sleep(0)
    bare.close()
    assert "scripted" not in [thread.name for thread in threading.enumerate()]


async def test_many_ask_at_the_same_time_and_waiting_is_shared():
    script = Script(lambda body: Reply(body["messages"][0]["content"], latency=0.5))
    started = time.perf_counter()
    with serve(script) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="x") as client:

            async def ask(word: str) -> str:
                messages = [{"role": "user", "content": word}]
                found = await client.chat.completions.create(model="m", messages=messages)
                return found.choices[0].message.content

            words = [f"w{n}" for n in range(20)]
            assert await asyncio.gather(*(ask(word) for word in words)) == words
    assert time.perf_counter() - started < 5  # one after the other takes ten
