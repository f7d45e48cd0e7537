"""A fast endpoint on loopback, so that the client is what is measured: `python loopback.py SECONDS` prints its address.

It answers each request after SECONDS with the same few words, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys

REPLY = "a reply of a few words"
MESSAGE = {"role": "assistant", "content": REPLY}
ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16},
}
BODY = json.dumps(ANSWER).encode()
LONG = 300_000  # characters of a long answer


def events(pieces: list[str]) -> bytes:
    """The stream of an answer in pieces."""
    choices: list[list[object]] = [[{"index": 0, "delta": {"content": piece}}] for piece in pieces]
    ends: list[dict[str, object]] = [
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": ANSWER["usage"]},
    ]
    chunks = [{"id": "x", "model": "m", **chunk} for chunk in [*({"choices": choice} for choice in choices), *ends]]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"


SHORT_STREAM = events([f"{word} " for word in REPLY.split()])
LONG_STREAM = events(["x" * 99 + " "] * (LONG // 100))
DSPY = json.dumps(ANSWER).replace(REPLY, f"[[ ## label ## ]]\\n{REPLY}\\n\\n[[ ## completed ## ]]").encode()


class Endpoint(asyncio.Protocol):
    """One connection."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.received = b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self.received) < end + 4 + length:
                return
            asked = self.received[end : end + 4 + length].replace(b" ", b"")
            self.received = self.received[end + 4 + length :]
            body, kind = DSPY if b"[[##" in asked else BODY, "application/json"
            if b'"stream":true' in asked:
                body, kind = LONG_STREAM if b"atlength" in asked else SHORT_STREAM, "text/event-stream"
            asyncio.get_running_loop().call_later(self.seconds, self.answer, body, kind)

    def answer(self, body: bytes, kind: str) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write(head.encode() + body)


async def serve(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Endpoint(seconds), "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
