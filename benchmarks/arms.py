"""What is measured beside each other, each in a process of its own: `python arms.py NAME URL ITEMS AT_ONCE`.

For each line on its standard input an arm makes one round and prints its seconds and its seconds of the processor.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import itertools
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from loopback import LONG, REPLY

STEPS = 5
LABELS = "classify(over=items, item=text)\n    Classify: {{ text }}\n"
ROW = "classify\n    Classify: {{ text }}\n"
CASCADE = "answer\n    Solve {{ topic }}\nverify len(answer) > 3\n"
CHAIN = "".join(
    f"step{i}\n    Say {i} about {{{{ topic }}}}{'' if i == 1 else f' after {{{{ step{i - 1} }}}}'}\n"
    for i in range(1, STEPS + 1)
)
Round = Callable[[], Any]


def side_by_side(ask: Callable[[str], Any], items: int, at_once: int) -> Round:
    """A semaphore and gather, as a person writes it."""
    loop = asyncio.new_event_loop()

    async def whole() -> list[Any]:
        slots = asyncio.Semaphore(at_once)

        async def one(text: str) -> Any:
            async with slots:
                return await ask(text)

        return await asyncio.gather(*(one(f"Classify: text number {i}") for i in range(items)))

    def once() -> int:
        found = loop.run_until_complete(whole())
        assert all(found)
        return len(found)

    return once


def by_hand(url: str, items: int, at_once: int) -> Round:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=None)

    async def ask(text: str) -> Any:
        messages: Any = [{"role": "user", "content": text}]
        reply = await client.chat.completions.create(model="m", max_tokens=1024, messages=messages)
        return reply.choices[0].message.content

    return side_by_side(ask, items, at_once)


def bare(url: str, items: int, at_once: int) -> Round:
    import aiohttp

    sessions: list[Any] = []

    async def ask(text: str) -> Any:
        if not sessions:
            sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        body = {"model": "m", "max_tokens": 1024, "messages": [{"role": "user", "content": text}]}
        async with sessions[0].post(f"{url}/chat/completions", json=body) as response:
            return (await response.json())["choices"][0]["message"]["content"]

    return side_by_side(ask, items, at_once)


def langchain(url: str, items: int, at_once: int) -> Round:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(base_url=url, api_key="none", model="m", max_retries=0, max_tokens=1024)
    loop = asyncio.new_event_loop()
    prompts = [f"Classify: text number {i}" for i in range(items)]
    return lambda: len(loop.run_until_complete(model.abatch(prompts, config={"max_concurrency": at_once})))


def litellm(url: str, items: int, at_once: int) -> Round:
    import litellm as peer

    async def ask(text: str) -> Any:
        messages = [{"role": "user", "content": text}]
        more = {"api_base": url, "api_key": "none", "max_tokens": 1024}
        return (await peer.acompletion(model="openai/m", messages=messages, **more)).choices[0].message.content

    return side_by_side(ask, items, at_once)


def dspy(url: str, items: int, at_once: int) -> Round:
    import dspy as peer

    peer.configure(lm=peer.LM("openai/m", api_base=url, api_key="none", max_tokens=1024, cache=False))
    step = peer.Predict("text -> label")

    async def ask(text: str) -> Any:
        return (await step.acall(text=text)).label

    return side_by_side(ask, items, at_once)


def inspect(url: str, items: int, at_once: int, *, scored: bool = False) -> Round:
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.scorer import exact
    from inspect_ai.solver import generate

    samples = [Sample(input=f"Classify: text number {i}", target=REPLY) for i in range(items)]
    more: Any = {"display": "none", "max_connections": at_once, "max_samples": at_once, "log_dir": os.environ["TMPDIR"]}
    more |= {"model": "openai-api/loop/m", "model_base_url": url, "model_args": {"api_key": "none"}}

    def once() -> int:
        (log,) = evaluate(
            Task(dataset=MemoryDataset(samples), solver=generate(), scorer=exact() if scored else None), **more
        )
        assert log.status == "success"
        if scored:
            assert log.results.scores[0].metrics["mean"].value == 1
        return items

    return once


def cell(url: str, items: int, at_once: int, history: str = "on") -> Round:
    """The cell, traced, recorded, bounded."""
    run, session = define(
        url, "chain", f"b --no-cache --concurrency {at_once} --max-tokens 1000000000", LABELS, history
    )
    texts = [f"text number {i}" for i in range(items)]

    def once() -> int:
        found = run(items=texts)
        assert len(found.output) == items, found.error
        session.runs.clear()
        return items

    return once


def chain(url: str, history: str) -> Round:
    run, session = define(url, "chain", "b --no-cache", CHAIN, history)

    def once() -> None:
        assert run(topic="bees").output
        session.runs.clear()

    return once


def chain_by_hand(url: str) -> Round:
    from langgraph.graph import END, START, StateGraph
    from openai import AsyncOpenAI

    State = TypedDict("State", {"topic": str, **{f"step{i}": str for i in range(1, STEPS + 1)}}, total=False)
    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

    def node(i: int) -> Callable[[Any], Any]:
        async def ask(state: Any) -> dict[str, Any]:
            after = "" if i == 1 else f" after {state[f'step{i - 1}']}"
            messages: Any = [{"role": "user", "content": f"Say {i} about {state['topic']}{after}"}]
            reply = await client.chat.completions.create(model="m", max_tokens=1024, messages=messages)
            return {f"step{i}": reply.choices[0].message.content}

        return ask

    builder: Any = StateGraph(State)
    for i in range(1, STEPS + 1):
        builder.add_node(f"step{i}", node(i))
        builder.add_edge(START if i == 1 else f"step{i - 1}", f"step{i}")
    builder.add_edge(f"step{STEPS}", END)
    graph, loop = builder.compile(), asyncio.new_event_loop()

    def once() -> None:
        assert loop.run_until_complete(graph.ainvoke({"topic": "bees"}))[f"step{STEPS}"]

    return once


def cached(url: str) -> Round:
    """A chain whose answers are in the cache."""
    run, session = define(url, "chain", "b", CHAIN, "on")

    def once() -> None:
        assert run(topic="bees").output
        session.runs.clear()

    return once


def cascade(url: str) -> Round:
    """One row of a cascade, whose first answer passes."""
    run, session = define(url, "cascade", "b --no-cache --models m,m2", CASCADE, "on")

    def once() -> None:
        assert run(topic="bees").output
        session.runs.clear()

    return once


def cascade_by_hand(url: str) -> Round:
    from openai import AsyncOpenAI

    client, loop = AsyncOpenAI(base_url=url, api_key="none", max_retries=0), asyncio.new_event_loop()

    async def solve(topic: str) -> str:
        text = ""
        for model in ("m", "m2"):
            messages: Any = [{"role": "user", "content": f"Solve {topic}"}]
            reply = await client.chat.completions.create(model=model, max_tokens=1024, messages=messages)
            text = reply.choices[0].message.content or ""
            if len(text) > 3:
                break
        return text

    return lambda: loop.run_until_complete(solve("bees"))


def streamed(url: str) -> Round:
    """One long answer that is watched while it comes."""
    run, session = define(url, "chain", "b --no-cache", "say\n    Say {{ topic }} at length\n", "on")

    def once() -> None:
        seen: list[Any] = []
        started = run.prepare(topic="bees")
        started.watch(seen.append)
        started.start()
        assert len(started.wait().output) == LONG
        assert len(seen) > LONG // 100
        session.runs.clear()

    return once


def streamed_by_hand(url: str) -> Round:
    from openai import AsyncOpenAI

    client, loop = AsyncOpenAI(base_url=url, api_key="none", max_retries=0), asyncio.new_event_loop()

    async def say() -> list[str]:
        messages: Any = [{"role": "user", "content": "Say bees at length"}]
        stream = await client.chat.completions.create(model="m", max_tokens=1024, messages=messages, stream=True)
        return [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]

    def once() -> None:
        assert len("".join(loop.run_until_complete(say()))) == LONG

    return once


def wide(url: str, items: int, at_once: int) -> Callable[[], dict[str, float]]:
    """One run of many items that is kept: what reading it takes afterwards, and what it leaves in memory."""
    run, _ = define(url, "chain", f"b --no-cache --concurrency {at_once} --max-tokens 1000000000", LABELS, "on")
    run(items=["a", "b"])

    def once() -> dict[str, float]:
        gc.collect()
        before = resident()
        texts = [f"text number {i}" for i in range(items)]
        spent = time.process_time()
        found = run(items=texts)
        spent = time.process_time() - spent
        start = time.perf_counter()
        found.cost, repr(found)
        read = time.perf_counter() - start
        gc.collect()
        assert len(found.output) == items
        return {"cpu_us": spent / items * 1e6, "read_ms": read * 1e3, "kb": (resident() - before) / items / 1e3}

    return once


def rows_on(url: str, items: int, at_once: int, engine: str = "") -> Callable[[], dict[str, float]]:
    """`map` over rows that are new in each round, in this process or on an engine; the CPU of workers counts."""
    os.environ.update(OPENAI_BASE_URL=url, OPENAI_API_KEY="none")  # workers read theirs
    run, _ = define(url, "chain", "b --no-cache", ROW, "on")
    given = opened(engine)
    run.map([{"text": f"warm {i}"} for i in range(8 * (1 + bool(engine)))], engine=given)
    rounds = itertools.count()

    def once() -> dict[str, float]:
        number = next(rounds)
        rows = [{"text": f"text {os.getpid()} {number} {i}"} for i in range(items)]
        before = spent()
        found = run.map(rows, concurrency=at_once, engine=given)
        assert all(row["_status"] == "done" for row in found)
        return {"cpu": spent() - before}

    return once


def opened(engine: str) -> Any:
    """What `map` takes as its engine: two workers, that stay from round to round where they are an executor."""
    if engine == "pool":
        return concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    if engine == "dask":
        from distributed import Client, LocalCluster

        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        return Client(cluster, set_as_default=False).get_executor(pure=False)
    return "processes:2" if engine == "processes" else None


def evaluated(url: str, items: int, at_once: int) -> Round:
    """`orchmagic.evaluate` with one metric, over rows that are new in each round."""
    from orchmagic import evaluate

    run, _ = define(url, "chain", "b --no-cache", ROW, "on")
    rounds = itertools.count()

    def once() -> dict[str, float]:
        number = next(rounds)
        rows = [{"text": f"text {os.getpid()} {number} {i}", "right": REPLY} for i in range(items)]
        result = evaluate(run, on=rows, metrics={"same": "output == right"}, concurrency=at_once)
        assert result.details[0].metrics["same"].value == 1

    return once


def spent() -> float:
    """Seconds of the processor of this process and of all that it has started."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    tick = os.sysconf("SC_CLK_TCK")
    live = [sum(map(int, stat[11:15])) / tick for stat in _descendants()]
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(live)


def _descendants() -> Iterator[list[str]]:
    """The fields of /proc/PID/stat, from the state on, of each process below this one."""
    stats = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stats[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
    below = {os.getpid()}
    while more := {pid for pid, stat in stats.items() if int(stat[1]) in below} - below:
        below |= more
    return (stats[pid] for pid in below - {os.getpid()})


def most_memory() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def define(url: str, magic: str, line: str, text: str, history: str) -> tuple[Any, Any]:
    from orchmagic import Session

    given = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none", "ORCHMAGIC_MODEL": "m", "ORCHMAGIC_HISTORY": history}
    session = Session({}, environ={**os.environ, **given}, notify=lambda _: None)
    return session.define(magic, line, text), session


def resident() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


MAPS = {"hand": by_hand, "bare": bare, "cell": cell, "wide": wide, "langchain": langchain, "litellm": litellm}
MAPS |= {
    "dspy": dspy,
    "inspect": inspect,
    "inspect scored": partial(inspect, scored=True),
    "evaluate": evaluated,
    "in process": rows_on,
}
MAPS |= {name: partial(rows_on, engine=name) for name in ("processes", "pool", "dask")}
CHAINS = {"hand": chain_by_hand, "off": lambda url: chain(url, "off"), "kept": lambda url: chain(url, "on")}
CHAINS |= {"cached": cached, "cascade": cascade, "cascade by hand": cascade_by_hand}
CHAINS |= {"streamed": streamed, "streamed by hand": streamed_by_hand}


def main() -> None:
    name, url, items, at_once = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    once = MAPS[name](url, items, at_once) if items else CHAINS[name](url)
    for _ in sys.stdin:
        used, start = time.process_time(), time.perf_counter()
        found = once()
        took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - used}
        took["mb"] = most_memory()
        print(json.dumps({**took, **(found if isinstance(found, dict) else {})}), flush=True)
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
