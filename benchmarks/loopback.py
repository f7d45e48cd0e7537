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
            body = DSPY if b"[[ ##" in self.received[end : end + 4 + length] else BODY
            self.received = self.received[end + 4 + length :]
            asyncio.get_running_loop().call_later(self.seconds, self.answer, body)

    def answer(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write(head.encode() + body)


async def serve(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Endpoint(seconds), "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
