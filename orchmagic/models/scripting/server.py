"""Serves a Script over HTTP on 127.0.0.1 in the OpenAI protocol, for exported modules, other programs and benchmarks.

    with serve(Script([...])) as server:
        AsyncOpenAI(base_url=server.base_url, api_key="any")
        server.requests

It runs on its own event loop in a thread, so it can be used from async code. Faults are real: HTTP errors, a connection
reset in the middle of an answer, a request that never ends.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from orchmagic.models.scripting.batch_server import ScriptedBatches
from orchmagic.models.scripting.reply import Reply, completion, http_error, pieces
from orchmagic.models.scripting.script import Script, Source

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}
_LARGEST = 64 * 1024 * 1024  # bytes of a request body


class ScriptedServer:
    """A running server. `base_url` ends in /v1; `requests` are the bodies of all requests, oldest first.

    `batches` is its Batch API.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.batches = ScriptedBatches(script)
        self.base_url = ""
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def requests(self) -> list[dict[str, Any]]:
        return self.script.requests

    async def run(self, started: threading.Event, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        started.set()
        await stop.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (question := await _read(reader)) is not None:
                await self._answer(*question, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        except asyncio.CancelledError:
            writer.transport.abort()  # the server stops: drop data not sent yet
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):  # it is closed in any case
                await writer.wait_closed()
            self._connections.discard(task)

    async def _answer(
        self,
        method: str,
        path: str,
        body: bytes,
        kind: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if (found := self.batches.answer(method, path, body, kind)) is not None:
            return await _write(writer, *found, {"Content-Type": "application/json"})
        if (method, path) == ("GET", "/v1/models"):
            models = [{"id": "scripted", "object": "model", "created": 0, "owned_by": "orchmagic"}]
            return await _send(writer, 200, {"object": "list", "data": models})
        if (method, path) != ("POST", "/v1/chat/completions"):
            return await _send(writer, 404, _error(f"no {method} {path} here"))
        try:
            data = json.loads(body)
        except ValueError:
            return await _send(writer, 400, _error("the body is not JSON"))
        if not isinstance(data, dict) or not isinstance(data.get("messages"), list):
            return await _send(writer, 400, _error("the body has no list of messages"))
        return await self._reply(data, reader, writer)

    async def _reply(self, data: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply, number = self.script.take(data)
        except Exception as error:  # noqa: BLE001 - the script's function may raise anything; the client sees it
            return await _send(writer, 500, _error(f"the script failed: {type(error).__name__}: {error}"))
        await asyncio.sleep(reply.latency)
        failed = http_error(reply)
        if failed is not None:
            status, detail, wait = failed
            return await _send(writer, status, {"error": detail}, {"Retry-After": wait} if wait else {})
        if reply.fault == "timeout":
            await reader.read()  # until the client closes the connection
            raise ConnectionResetError
        if reply.fault == "garbled":
            return await _write(writer, 200, b"<html><body>Welcome</body></html>", {"Content-Type": "text/html"})
        answer = completion(reply, data, number)
        if data.get("stream"):
            usage = bool((data.get("stream_options") or {}).get("include_usage"))
            return await _stream(writer, reply, list(_chunks(answer, with_usage=usage)))
        if reply.fault == "reset":
            return await _cut(writer, _head(200, {"Content-Length": "1000"}) + b'{"choices": [')
        return await _send(writer, 200, answer)


@contextmanager
def serve(script: Script | Source = ()) -> Iterator[ScriptedServer]:
    """Serve a script (or what a Script is made of) on a free port until the block ends."""
    server = ScriptedServer(script if isinstance(script, Script) else Script(script))
    loop, stop, started = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    args = (loop, server.run(started, stop), started)
    thread = threading.Thread(target=_run, args=args, name="scripted", daemon=True)
    thread.start()
    started.wait()
    if not server.base_url:
        raise OSError("the scripted server cannot listen on 127.0.0.1: see the error of its thread")
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def _run(loop: asyncio.AbstractEventLoop, serving: Coroutine[Any, Any, None], started: threading.Event) -> None:
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serving)
    finally:
        started.set()  # also if the start failed, else `serve` would wait for ever


async def _read(reader: asyncio.StreamReader) -> tuple[str, str, bytes, str] | None:
    """(method, path, body, Content-Type) of the next request; None if the connection ends or the body is too large."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    first, *lines = head.split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, _, rest = first.partition(" ")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > _LARGEST:
        return None
    path = rest.partition(" ")[0].partition("?")[0]
    return method, path, await reader.readexactly(int(length)), headers.get("content-type", "")


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


async def _send(
    writer: asyncio.StreamWriter, status: int, data: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> None:
    body = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
    await _write(writer, status, body, {"Content-Type": "application/json", **(headers or {})})


async def _write(writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    writer.write(_head(status, {**headers, "Content-Length": str(len(body))}) + body)
    await writer.drain()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


async def _stream(writer: asyncio.StreamWriter, reply: Reply, chunks: list[dict[str, Any]]) -> None:
    """Send the chunks as server-sent events."""
    writer.write(_head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}))
    for chunk in chunks[: len(chunks) // 2] if reply.fault == "reset" else chunks:
        writer.write(_event(json.dumps(chunk)))
        await writer.drain()
    if reply.fault == "reset":
        await _cut(writer, b"")
    writer.write(_event("[DONE]") + b"0\r\n\r\n")
    await writer.drain()


def _event(data: str) -> bytes:
    text = f"data: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(text), text)


async def _cut(writer: asyncio.StreamWriter, last: bytes) -> None:
    """Send `last`, then end the connection with a TCP reset."""
    writer.write(last)
    await writer.drain()
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    raise ConnectionResetError


def _chunks(answer: Mapping[str, Any], *, with_usage: bool) -> Iterator[dict[str, Any]]:
    """The chunks in which an endpoint streams `answer`: role, words, tool calls, the end, usage."""
    shared = {**{key: answer[key] for key in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    choice = answer["choices"][0]
    message = choice["message"]
    for delta in _deltas(message):
        yield {**shared, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    last = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"], "logprobs": choice["logprobs"]}
    yield {**shared, "choices": [last]}
    if with_usage:
        yield {**shared, "choices": [], "usage": answer["usage"]}


def _deltas(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for word in pieces(message["content"] or ""):
        yield {"content": word}
    if message["refusal"]:
        yield {"refusal": message["refusal"]}
    for place, call in enumerate(message.get("tool_calls", ())):
        yield {"tool_calls": [{"index": place, **call}]}
