"""`python benchmarks/kills.py`: SIGKILL at a random moment of a run, sixty times, over seven patterns.

A server is the judge: it logs each call and each write with the times of its arrival and its end. Each pattern first
runs undisturbed. Then a run of the same cell is killed, with several calls in flight, and another process resumes it.
Three counts must be 0:

    lost       a run that made calls and cannot be resumed to its end, or a history that SQLite finds damaged
    asked      answers that were paid twice, other than those in flight at the kill
    written    writes that the server got twice

An answer is in flight until it is on disk, because it is used only then. The history says how many were on disk at the
kill. The figures say how many the server had answered before, and how long ago the oldest: that is how long the process
took to read and store it, on a busy machine more than on an idle one.

A write of unknown end is looked up at the server and settled, as docs/durability.md says. One kill in five falls
anywhere from the start of the process on, the others while the run works.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KILLS, LATENCY = 60, 0.1
WORKER = Path(__file__).resolve().with_name("killed.py")
SETTLE = """%%chain settle
extract -> order: str
    The order of this ticket: {{ ticket }}
done = pay(extract.order)
reply
    Write that {{ done }}. {{ ticket }}
"""
TICKET = {"ticket": "order A1 came broken"}
CELLS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "chain": ([SETTLE + "last\n    Translate {{ reply }}\n"], TICKET),
    "parallel": (
        [
            """%%parallel moderate
toxicity(votes=5, by=label) -> label: "ok" | "toxic"
    Is it toxic? {{ ticket }}
personal -> bool
    Does it hold personal data? {{ ticket }}
long
    Say something about {{ ticket }}
merge
    Votes {{ toxicity.label }}, {{ personal }}, {{ long }}. Decide.
"""
        ],
        TICKET,
    ),
    "items": (
        [
            """%%chain sorter
kinds(over=papers, item=paper) -> label: "invoice" | "letter"
    Classify this paper: {{ paper }}
count = len(kinds)
sum
    Sum up {{ count }}
"""
        ],
        {"papers": [f"paper {i} about something" for i in range(100)]},
    ),
    "plan": (
        [
            """%%plan report --tools pay --parallel --max-steps 30
plan -> steps: list[str]
    Break down: {{ ticket }}
execute
    Do this step: {{ step }}
reflect -> ok: bool, feedback: str
    Complete? {{ ticket }} {{ results }}
"""
        ],
        TICKET,
    ),
    "react": (["%%react orders --tools find,pay\nYou help with orders.\n{{ ticket }}\n"], TICKET),
    "nested": (
        [
            SETTLE,
            "%%chain outer --concurrency 4\nboth(run=settle, over=tickets, item=ticket)\nsum\n    Sum up: {{ both }}\n",
        ],
        {"tickets": [f"ticket number {i}" for i in range(6)]},
    ),
    "approval": (
        [
            """%%chain careful
draft
    Draft an answer to {{ ticket }}
approve "Send it?"
done = pay("A1")
after
    Write that {{ done }} and {{ draft }}
"""
        ],
        TICKET,
    ),
}
REPLIES = (
    ("The order of", lambda text: {"order": f"A-{_short(text)}"}),
    ("Is it toxic", lambda _: {"label": "ok"}),
    ("personal data", lambda _: {"value": False}),
    ("Break down", lambda _: {"steps": ["one", "two", "three", "four"]}),
    ("Complete?", lambda _: {"ok": True, "feedback": ""}),
    ("Classify", lambda _: {"label": "invoice"}),
)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def reply(body: dict[str, Any]) -> dict[str, Any]:
    """Return the message of the scripted model, the same for the same request."""
    last = body["messages"][-1]
    text = str(last["content"])
    if last["role"] != "tool" and any(t["function"]["name"] == "pay" for t in body.get("tools") or []):
        step = text.partition("Do this step:")[2].split()
        orders = [f"S-{step[0]}"] if step else ["A-1", "A-2", "A-3"]
        calls = [("pay", {"order_id": order, "amount": 1.0}) for order in orders]
        return {"role": "assistant", "content": None, "tool_calls": [_call(i, *c) for i, c in enumerate(calls)]}
    found = next((given(text) for words, given in REPLIES if words in text and last["role"] != "tool"), None)
    return {"role": "assistant", "content": json.dumps(found) if found else f"<{_short(text)}>"}


def _call(number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{number}", "index": number, "type": "function", "function": function}


@dataclass
class Entry:
    """A call or a write: what it was, when it arrived, when its answer was sent (inf: not yet)."""

    key: str
    came: float
    left: float = float("inf")


class Judge:
    """An OpenAI-compatible server that logs; it also takes writes."""

    def __init__(self) -> None:
        self.calls: list[Entry] = []
        self.writes: list[Entry] = []
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait()

    async def _serve(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=2**24, backlog=500)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        ready.set()
        await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                size = head.partition("content-length:")[2].split("\r\n")[0]
                body = await reader.readexactly(int(size or 0))
                await self._answer(head.split()[1], body, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the process is dead
        finally:
            writer.close()

    async def _answer(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        if path == "/writes":
            return await _send(writer, [entry.key for entry in self.writes])
        if path == "/write":
            entry = Entry(body.decode(), time.monotonic())
            self.writes.append(entry)
            await asyncio.sleep(LATENCY / 2)
            await _send(writer, {})
        else:
            request = json.loads(body)
            key = _short(json.dumps({k: v for k, v in request.items() if "stream" not in k}, sort_keys=True))
            self.calls.append(entry := Entry(key, time.monotonic()))
            await asyncio.sleep(LATENCY * (0.6 + 0.8 * int(key[:4], 16) / 65535))
            await _send(writer, _completion(request))
        entry.left = time.monotonic()
        return None


async def _send(writer: asyncio.StreamWriter, value: Any) -> None:
    kind, data = "application/json", json.dumps(value).encode()
    if isinstance(value, list) and value and isinstance(value[0], dict):
        kind = "text/event-stream"
        data = b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in value) + b"data: [DONE]\n\n"
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    await writer.drain()


def _completion(request: dict[str, Any]) -> Any:
    message, usage = reply(request), {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    end = "tool_calls" if message.get("tool_calls") else "stop"
    base = {"id": "x", "created": 1, "model": "scribe"}
    if not request.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": end}
        return {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    base["object"] = "chat.completion.chunk"
    choices = [{"index": 0, "delta": message, "finish_reason": None}], [{"index": 0, "delta": {}, "finish_reason": end}]
    return [*({**base, "choices": c} for c in choices), {**base, "choices": [], "usage": usage}]


class Lives:
    """The process that forks lives."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(WORKER)], stdin=-1, stdout=-1, text=True)

    def begin(self, cells: list[str], inputs: dict[str, Any], folder: Path, url: str, *, revive: bool = False) -> int:
        """Start a life; return the number of its process."""
        order = {"cells": cells, "inputs": inputs, "folder": str(folder), "url": url, "revive": revive}
        assert self.process.stdin, self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def end(self) -> dict[str, Any]:
        """Return what the life came to; {} if it died."""
        return dict(json.loads(self._line()))

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def close(self) -> None:
        self.process.communicate()


@dataclass
class Figures:
    """What the kills came to."""

    kills: int = 0
    early: int = 0  # kills before the first call
    late: int = 0  # kills after the run had ended
    flight: int = 0  # calls in flight at a kill
    again: int = 0  # of them, asked again
    answered: int = 0  # of those in flight, answered by the server
    oldest: float = 0.0  # seconds from such an answer to the kill
    unknown: int = 0  # writes of unknown end, settled by a look at the server
    lost: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.asked or self.written)


@dataclass
class Whole:
    """An undisturbed run: its calls and writes, seconds until the first call and until the end."""

    calls: Counter[str]
    writes: Counter[str]
    first: float
    seconds: float


def undisturbed(name: str, lives: Lives, judge: Judge, folder: Path) -> Whole:
    """Run a pattern once to its end."""
    _clear(judge, folder)
    began = time.monotonic()
    lives.begin(*CELLS[name], folder, judge.url)
    found = lives.end()
    if found.get("status") != "done":
        raise AssertionError(f"{name} does not work: {found}")
    if stored(folder) != len(judge.calls):
        raise AssertionError(f"{name}: {len(judge.calls)} calls, {stored(folder)} answers on disk")
    first = min(e.came for e in judge.calls) - began
    return Whole(_keys(judge.calls), _keys(judge.writes), first, time.monotonic() - began)


def trial(name: str, seed: int, whole: Whole, lives: Lives, judge: Judge, folder: Path, figures: Figures) -> None:
    """Kill a run and resume it."""
    chance, where = random.Random(f"{name} {seed}"), f"{name}, kill {seed}"
    _clear(judge, folder)
    began = time.monotonic()
    process = os.pidfd_open(lives.begin(*CELLS[name], folder, judge.url))  # no number that another process may get
    after = chance.uniform(0, whole.seconds * 1.1)
    if seed % 5:
        while not judge.calls and time.monotonic() < began + 60:
            time.sleep(0.0005)
        began, after = time.monotonic(), chance.uniform(0, (whole.seconds - whole.first) * 1.05)
    time.sleep(max(0.0, began + after - time.monotonic()))
    killed = time.monotonic()
    with contextlib.suppress(ProcessLookupError):  # it has ended
        signal.pidfd_send_signal(process, signal.SIGKILL)
    os.close(process)
    survived = lives.end()
    time.sleep(LATENCY * 2)  # until the server has ended what was in flight
    figures.kills += 1
    figures.early += not judge.calls
    figures.late += bool(survived)
    flight = len(judge.calls) - stored(folder)
    left = sorted(e.left for e in judge.calls if e.left <= killed)[len(judge.calls) - flight :]
    figures.flight += flight
    figures.answered += len(left)
    figures.oldest = max(figures.oldest, *(killed - at for at in left), 0.0)
    called = bool(judge.calls)
    lives.begin(*CELLS[name], folder, judge.url, revive=True)
    found = lives.end()
    figures.unknown += found.get("unknown", 0)
    if found.get("status") != "done" and (called or found.get("status") != "no run"):
        figures.lost.append(f"{where}: {found}")
    if found.get("status") == "done":
        figures.lost += [f"{where}: {n} calls or writes missing" for n in [_missing(whole, judge)] if n]
    more = (_keys(judge.calls) - whole.calls).total()
    figures.again += min(more, flight)
    figures.asked += [f"{where}: {more} calls again, {flight} in flight"] if more > flight else []
    figures.written += [f"{where}: {key}" for key in (_keys(judge.writes) - whole.writes).elements()]
    figures.lost += [f"{where}: {damage}" for damage in damaged(folder)]


def _missing(whole: Whole, judge: Judge) -> int:
    return (whole.calls - _keys(judge.calls)).total() + (whole.writes - _keys(judge.writes)).total()


def _keys(entries: Any) -> Counter[str]:
    return Counter(entry.key for entry in entries)


def _clear(judge: Judge, folder: Path) -> None:
    folder.mkdir(parents=True)
    judge.calls.clear()
    judge.writes.clear()


def stored(folder: Path) -> int:
    """Return the number of answers of models on disk."""
    found = 0
    for file in folder.rglob("*.sqlite"):
        with contextlib.closing(sqlite3.connect(file)) as database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'journal'").fetchone():
                sql = "SELECT COUNT(*) FROM journal WHERE own AND value LIKE '%finish_reason%'"
                found += database.execute(sql).fetchone()[0]
    return found


def damaged(folder: Path) -> list[str]:
    """Return what SQLite finds wrong with the databases in a folder."""
    found = []
    for file in sorted(folder.rglob("*.sqlite")):
        with contextlib.closing(sqlite3.connect(file)) as database:
            said = database.execute("PRAGMA integrity_check").fetchone()[0]
        found += [] if said == "ok" else [f"{file.name}: {said}"]
    return found


def kill(folder: Path, kills: int, first: int = 1) -> Figures:
    """Kill that many runs, the patterns in turn; `first` is the number of the first kill of each pattern."""
    figures, judge, lives = Figures(), Judge(), Lives()
    try:
        wholes = {name: undisturbed(name, lives, judge, folder / name) for name in list(CELLS)[:kills]}
        for number in range(kills):
            name = list(CELLS)[number % len(CELLS)]
            seed = first + number // len(CELLS)
            trial(name, seed, wholes[name], lives, judge, folder / f"{name}-{seed}", figures)
    finally:
        lives.close()
    return figures


def main() -> None:
    """Kill, print the figures, and end with 1 if a count is not 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--first", type=int, default=1, help="another number kills at other moments")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = kill(Path(folder), given.kills, given.first)
    print(f"{found.kills} kills over {len(CELLS)} patterns: {found.early} before the first call, {found.late} too late")
    print(f"lost runs {len(found.lost)}, answers paid twice {len(found.asked)}, repeated writes {len(found.written)}")
    print(f"calls in flight at a kill {found.flight}, of them asked again {found.again}")
    print(f"of those in flight, answered but not yet on disk {found.answered}, for at most {found.oldest:.2f} s")
    print(f"writes of unknown end, settled by a look at the server: {found.unknown}")
    for problem in [*found.lost, *found.asked, *found.written]:
        print(problem)
    sys.exit(not found.clean)


if __name__ == "__main__":
    main()
