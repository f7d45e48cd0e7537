"""`make bench`: speed and memory beside a peer, in one run, as medians with their spread and ratios."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import engines
import evaluating
import fanout
import hammer
import live
import views
import wire
from measure import REPLY, child, in_turn, ratio, server, spread

RUNS = 9
STEPS = 5

CELL = "".join(
    f"step{i}\n    Say {i} about {{{{ topic }}}}{'' if i == 1 else f' after {{{{ step{i - 1} }}}}'}\n"
    for i in range(1, STEPS + 1)
)

_SHELL = (
    "from IPython.core.interactiveshell import InteractiveShell as S; "
    "import ipykernel.ipkernel, time, sys; s = S.instance(); "
)
_LOAD = _SHELL + "t = time.perf_counter(); s.run_line_magic('load_ext', 'orchmagic'); print(time.perf_counter() - t)"
_PEER = _SHELL + "t = time.perf_counter(); import langgraph.graph; print(time.perf_counter() - t)"
_CELL = "s.run_cell_magic('chain', '--model scripted --no-cache', 'first\\n    Say it\\nsecond\\n    {{ first }}\\n')"
_FIRST = (
    _SHELL
    + f"t = time.perf_counter(); s.run_line_magic('load_ext', 'orchmagic'); {_CELL}; print(time.perf_counter() - t)"
)
_RSS = "import resource; rss = lambda: int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 1e6; "
_MEMORY = _SHELL + _RSS + "a = rss(); s.run_line_magic('load_ext', 'orchmagic'); print(rss() - a)"

_OPEN: list[Any] = []  # clients: collected earlier, they would be closed on a loop that is gone


def load(runs: int) -> None:
    """(a) `%load_ext orchmagic` against `import langgraph.graph`, and a first cell, in fresh processes."""
    ours, theirs = in_turn(lambda: child(_LOAD), lambda: child(_PEER), runs)
    print("a) load the extension        ", spread(ours, "ms", 1e3))
    print("   import langgraph.graph    ", spread(theirs, "ms", 1e3))
    print(f"   ratio {ratio(ours, theirs):.3f}   (goal <= 0.03)")
    print(
        "   load it and run a first cell", spread([child(_FIRST) for _ in range(runs)], "ms", 1e3), "  (goal <= 900 ms)"
    )


def hand_written(base_url: str, folder: Path | None = None) -> Callable[[], float]:
    """The same chain as a person writes it with LangGraph and the openai client; its checkpoints are in `folder`."""
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph
    from openai import AsyncOpenAI

    State = TypedDict("State", {"topic": str, **{f"step{i}": str for i in range(1, STEPS + 1)}}, total=False)
    client = AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)
    _OPEN.append(client)

    def node(i: int) -> Callable[[Any], Any]:
        async def ask(state: Any) -> dict[str, str]:
            after = "" if i == 1 else f" after {state[f'step{i - 1}']}"
            reply = await client.chat.completions.create(
                model="m",
                max_tokens=1024,
                messages=[{"role": "user", "content": f"Say {i} about {state['topic']}{after}"}],
            )
            return {f"step{i}": reply.choices[0].message.content or ""}

        return ask

    builder = StateGraph(State)
    for i in range(1, STEPS + 1):
        builder.add_node(f"step{i}", node(i))
        builder.add_edge(START if i == 1 else f"step{i - 1}", f"step{i}")
    builder.add_edge(f"step{STEPS}", END)
    loop = asyncio.new_event_loop()
    saver = None

    async def opened(file: Path) -> AsyncSqliteSaver:
        return AsyncSqliteSaver(await aiosqlite.connect(file))

    if folder is not None:
        saver = loop.run_until_complete(opened(folder / "peer.sqlite"))
    graph = builder.compile(checkpointer=saver)
    threads = itertools.count()

    def once() -> float:
        start = time.perf_counter()
        config: Any = {"configurable": {"thread_id": str(next(threads))}}
        state = loop.run_until_complete(graph.ainvoke({"topic": "bees"}, config))
        assert state[f"step{STEPS}"] == REPLY
        return time.perf_counter() - start

    return once


def ours(base_url: str, options: str, history: str = "on") -> Callable[[], float]:
    """The cell, run through the whole pipeline: traced, bounded, recorded, cached as `options` say."""
    from orchmagic import Session

    environ = {**os.environ, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "none", "ORCHMAGIC_MODEL": "m"}
    environ["ORCHMAGIC_HISTORY"] = history
    session = Session({"topic": "bees"}, environ=environ)
    chain = session.define("chain", f"bench {options}", CELL)

    def once() -> float:
        start = time.perf_counter()
        run = chain()
        took = time.perf_counter() - start
        assert run.output == REPLY, run.error
        return took

    return once


def chains(runs: int, folder: Path) -> None:
    """(b) a 5-step chain against the same graph by hand; (c) the same chain answered from the cache."""
    batch = 5  # one chain is some 50 ms: a batch evens out the scheduler

    def several(once: Callable[[], float]) -> Callable[[], float]:
        return lambda: statistics.mean(once() for _ in range(batch))

    with server() as base_url:
        bare = ours(base_url, "--no-cache", history="off")
        mine, peer = in_turn(several(bare), several(hand_written(base_url)), runs)
        print(f"b) {STEPS}-step chain, no cache, no history", spread(mine, "ms", 1e3))
        print("   LangGraph + openai by hand       ", spread(peer, "ms", 1e3))
        print(f"   ratio {ratio(mine, peer):.3f}   (goal <= 0.85)")
        kept = ours(base_url, "--no-cache")
        mine, peer = in_turn(several(kept), several(hand_written(base_url, folder)), runs)
        print("   the same, kept in the history    ", spread(mine, "ms", 1e3))
        print("   by hand, with SQLite checkpoints ", spread(peer, "ms", 1e3))
        print(f"   ratio {ratio(mine, peer):.3f}   (goal <= 0.95)")
        cached = ours(base_url, "")
        cached()
        took = [statistics.mean(cached() for _ in range(batch)) / STEPS for _ in range(runs)]
        print("c) cached, a step            ", spread(took, "ms", 1e3), "  (goal <= 0.7 ms)")


def memory(runs: int) -> None:
    """(d) what the idle, loaded extension adds to a kernel."""
    print("d) memory of the idle extension", spread([child(_MEMORY) for _ in range(runs)], "MB"))


def main() -> None:
    """Run all benchmarks and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="measured runs of each figure (at least 7)")
    runs = max(7, parser.parse_args().runs)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ORCHMAGIC_CACHE_DIR"] = str(Path(folder))
        os.environ["ORCHMAGIC_HISTORY_DIR"] = str(Path(folder))
        load(runs)
        chains(runs, Path(folder))
        memory(runs)
        fanout.main(min(runs, 7))
        live.main(min(runs, 7))
        views.main(min(runs, 7))
        wire.main(min(runs, 7))
        engines.main(3)
        evaluating.main(3)
    hammer.main()


if __name__ == "__main__":
    main()
