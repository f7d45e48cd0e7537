"""(e) 1,000 items mapped side by side, against asyncio and the openai client by hand; memory an item.

Both send the same 1,000 requests to one scripted endpoint that takes 50 ms for each, at most 64 at once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import in_turn, ratio, server, spread

HERE = Path(__file__).parent
ITEMS = 1_000
AT_ONCE = 64
LATENCY = 0.05  # seconds

_OPEN: list[Any] = []  # clients that are collected while another loop runs would be closed on that one

CELL = "classify(over=items, item=text)\n    Classify: {{ text }}\n"


def by_hand(base_url: str) -> Callable[[], float]:
    """What a person writes: a semaphore, gather, one client."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)
    _OPEN.append(client)
    loop = asyncio.new_event_loop()

    async def one(text: str, slots: asyncio.Semaphore) -> str:
        async with slots:
            reply = await client.chat.completions.create(
                model="m", max_tokens=1024, messages=[{"role": "user", "content": f"Classify: {text}"}]
            )
            return reply.choices[0].message.content or ""

    async def whole() -> list[str]:
        slots = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(one(t, slots) for t in items()))

    def once() -> float:
        start = time.perf_counter()
        found = loop.run_until_complete(whole())
        assert len(found) == ITEMS
        return time.perf_counter() - start

    return once


def as_cell(base_url: str) -> tuple[Callable[[], float], Callable[[], Any]]:
    """The cell, traced, recorded and bounded; and what makes one run."""
    from orchmagic import Session

    environ = {**os.environ, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "none", "ORCHMAGIC_MODEL": "m"}
    session = Session({"items": items()}, environ=environ)
    made = session.define("chain", f"bench --no-cache --concurrency {AT_ONCE} --max-tokens 100000000", CELL)

    def once() -> float:
        start = time.perf_counter()
        run = made()
        took = time.perf_counter() - start
        assert len(run.output) == ITEMS, run.error
        session.runs.clear()
        return took

    return once, made


def items() -> list[str]:
    return [f"text number {i}" for i in range(ITEMS)]


def grown(base_url: str) -> float:
    """kB an item by which a fresh process grows over three runs of 1,000 items that it keeps (a small one before)."""
    code = f"import fanout; print(fanout.growth({base_url!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE)
    return float(done.stdout.strip().splitlines()[-1])


def growth(base_url: str) -> float:
    """What `grown` measures, inside its process."""
    _, made = as_cell(base_url)
    kept = [made(items=items()[:10])]
    gc.collect()
    before = _rss()
    kept += [made() for _ in range(3)]
    gc.collect()
    assert [len(run.output) for run in kept] == [10, *[ITEMS] * 3]
    return (_rss() - before) / 3 / ITEMS / 1e3


def _rss() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(runs: int) -> None:
    """Print the figures."""
    with server(LATENCY) as base_url:
        cell, _ = as_cell(base_url)
        mine, peer = in_turn(cell, by_hand(base_url), runs)
        print(f"e) {ITEMS:,} items, {AT_ONCE} at once     ", spread(mine, "s"))
        print("   asyncio + openai by hand  ", spread(peer, "s"))
        print(f"   ratio {ratio(mine, peer):.3f}   (goal <= 1.20)")
        print("   memory an item, runs kept ", spread([grown(base_url) for _ in range(3)], "kB"), "  (goal < 30 kB)")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.environ["ORCHMAGIC_CACHE_DIR"] = os.environ["ORCHMAGIC_HISTORY_DIR"] = folder
        main(5)
