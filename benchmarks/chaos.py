"""`python benchmarks/chaos.py`: five deployments, four of them in trouble, and what it does to those who ask.

One is dead (nothing listens), one slow, one answers 30 % of its questions with a 500, one sends away whoever asks more
than 20 times a second (429, Retry-After), one is healthy. 2,000 calls, 32 at once, by orchmagic, by a plain client
(openai, its own two retries, a deployment at random) and, where `--litellm PYTHON` names a Python that has it, by
LiteLLM's Router (its strategies), with the same servers, prices and seeds. An answer counts as given twice when servers
sent two for one question: hedging does that on purpose. `--runs 3` runs all of them in turn, three times, and tells the
median and the range. Figures of a shared machine: trust the ratios. `cpu` is the asking process's own time a call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

CALLS, AT_ONCE, TIMEOUT = 2_000, 32, 10.0
HEALTHY, SLOW = 0.02, 1.0  # seconds
SHARE, A_SECOND = 0.3, 20
TOKENS = {"input": 200, "output": 100}
PRICES = {"dead": 0.4, "slow": 0.5, "flaky": 0.6, "limited": 0.8, "healthy": 1.0}  # US dollars per million tokens
HERE = Path(__file__).resolve()


def serve_all() -> None:
    """The servers, in a process of their own: ports go to stdout, counts at the end of stdin."""
    from orchmagic.models.scripting.reply import Reply
    from orchmagic.models.scripting.server import serve
    from orchmagic.trace.events import Usage

    usage, lock, chance = Usage(**TOKENS), threading.Lock(), random.Random(5)
    answers: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    window: list[float] = []

    def fault(kind: str) -> Any:
        now = time.monotonic()
        if kind == "flaky" and chance.random() < SHARE:
            return Reply(fault="500")
        if kind == "limited":
            window[:] = [t for t in window if t > now - 1]
            if len(window) >= A_SECOND:
                return Reply(fault="429", retry_after=1)
            window.append(now)
        return None

    def replies(kind: str) -> Callable[[Any], Any]:
        def reply(body: Any) -> Any:
            with lock:
                asked[kind] += 1
                failed = fault(kind)
                if failed is None:
                    answers[body["messages"][-1]["content"]] += 1
            return failed or Reply(f"from {kind}", latency=SLOW if kind == "slow" else HEALTHY, usage=usage)

        return reply

    with ExitStack() as stack:
        kinds = [k for k in PRICES if k != "dead"]
        urls = {k: stack.enter_context(serve(replies(k))).base_url for k in kinds}
        print(json.dumps(urls), flush=True)
        sys.stdin.read()
        print(json.dumps({"twice": sum(n > 1 for n in answers.values()), "asked": asked}), flush=True)


@contextmanager
def servers() -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Fresh servers: their addresses, and a place for what they counted."""
    command = [sys.executable, str(HERE), "--serve"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin
    assert child.stdout
    urls = {"dead": "http://127.0.0.1:9/v1", **json.loads(child.stdout.readline())}
    counted: dict[str, Any] = {}
    try:
        yield urls, counted
    finally:
        child.stdin.close()
        counted |= json.loads(child.stdout.readline())
        child.wait()


async def storm(ask: Callable[[int], Awaitable[str]], calls: int) -> dict[str, Any]:
    """All calls, so many at once; `ask` returns the answer's text."""
    gate, seconds, came, lost = asyncio.Semaphore(AT_ONCE), [], Counter[str](), Counter[str]()

    async def one(number: int) -> None:
        async with gate:
            began = time.perf_counter()
            try:
                came[(await ask(number)).removeprefix("from ")] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the answer is lost
                lost[type(error).__name__] += 1
            else:
                seconds.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one(i) for i in range(calls)))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    seconds.sort()
    spent = sum(n * PRICES[k] * sum(TOKENS.values()) / 1e6 for k, n in came.items())
    return {
        "lost": lost,
        "p50": quantile(seconds, 0.5),
        "p95": quantile(seconds, 0.95),
        "took": took,
        "cpu": cpu / calls,
        "spent": spent,
        "by": came,
    }


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def orchmagic(urls: dict[str, str], calls: int, policy: str, hedge: float | None = None) -> dict[str, Any]:
    from orchmagic.models.budget import Budget
    from orchmagic.models.middleware.single_flight import SingleFlight
    from orchmagic.models.pipeline import PipelineParts, World, build
    from orchmagic.models.routing.health import opened
    from orchmagic.models.types import ModelRequest
    from orchmagic.runtime.live_settings import LiveSettings
    from orchmagic.runtime.services import SessionModels
    from orchmagic.storage.journal import NoJournal

    entry = {"policy": policy, "hedge": hedge, "deployments": [deployment(kind, url) for kind, url in urls.items()]}
    health = opened(None)
    models = SessionModels(LiveSettings({}, lambda: {"models": {"p": entry}}))
    parts = PipelineParts(
        emit=lambda _: None,
        models=models,
        health=health,
        flights=SingleFlight(),
        budget=Budget(),
        journal=NoJournal(),
        retry=2,
        world=World(chance=random.Random(1).random),
    )
    handler = build(parts)

    async def ask(number: int) -> str:
        said = ({"role": "user", "content": f"question {number}"},)
        request = ModelRequest(f"ask#{number}.1", "p", said, timeout=TIMEOUT, max_tokens=100, cache="off")
        return (await handler(request)).text

    found = await storm(ask, calls)
    await models.close()
    return found


def deployment(kind: str, url: str) -> dict[str, Any]:
    price = PRICES[kind]
    return {"name": kind, "base_url": url, "model": "m", "input_price": price, "output_price": price}


async def plain(urls: dict[str, str], calls: int) -> dict[str, Any]:
    from openai import AsyncOpenAI

    chance = random.Random(1)
    clients = [AsyncOpenAI(base_url=u, api_key="none", timeout=TIMEOUT) for u in urls.values()]

    async def ask(number: int) -> str:
        said: Any = [{"role": "user", "content": f"question {number}"}]
        answer = await chance.choice(clients).chat.completions.create(model="m", messages=said, max_tokens=100)
        return str(answer.choices[0].message.content)

    found = await storm(ask, calls)
    await asyncio.gather(*(client.close() for client in clients))
    return found


async def litellm(urls: dict[str, str], calls: int, strategy: str) -> dict[str, Any]:
    from litellm import Router

    random.seed(1)
    rows = [
        {
            "model_name": "p",
            "litellm_params": {
                "model": "openai/m",
                "api_base": url,
                "api_key": "none",
                "timeout": TIMEOUT,
                "max_retries": 0,
                "input_cost_per_token": PRICES[kind] / 1e6,
                "output_cost_per_token": PRICES[kind] / 1e6,
            },
        }
        for kind, url in urls.items()
    ]
    router = Router(model_list=rows, num_retries=4, routing_strategy=strategy, cooldown_time=30, allowed_fails=2)

    async def ask(number: int) -> str:
        said = [{"role": "user", "content": f"question {number}"}]
        answer = await router.acompletion(model="p", messages=said, max_tokens=100)
        return str(answer.choices[0].message.content)

    return await storm(ask, calls)


def peer(python: str, urls: dict[str, str], calls: int, strategy: str) -> dict[str, Any]:
    """LiteLLM in a Python of its own."""
    command = [python, str(HERE), "--peer", json.dumps(urls), "--calls", str(calls), "--strategy", strategy]
    environ = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # nothing is fetched
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    return json.loads(done.stdout.strip().splitlines()[-1])


def row(name: str, runs: list[dict[str, Any]]) -> str:
    """The median of each figure, with its range where there were several runs; who answered, in the last one."""
    by = ", ".join(f"{k} {n}" for k, n in sorted(runs[-1]["by"].items(), key=lambda p: -p[1]))

    def figure(name: str, scale: float = 1, digits: int = 0) -> str:
        values = [scale * (sum(r[name].values()) if isinstance(r[name], dict) else r[name]) for r in runs]
        low, middle, high = (f"{v:,.{digits}f}" for v in (min(values), statistics.median(values), max(values)))
        return middle if low == high else f"{middle} ({low}-{high})"

    return " | ".join(
        (
            f"| {name}",
            *(figure(n) for n in ("lost", "twice", "asked")),
            *(f"{figure(n, 1e3)} ms" for n in ("p50", "p95")),
            f"{figure('cpu', 1e3, 1)} ms",
            f"{figure('took', digits=1)} s",
            f"${figure('spent', digits=3)} | ({by})",
        )
    )


STRATEGIES = ("simple-shuffle", "latency-based-routing", "least-busy", "usage-based-routing-v2", "cost-based-routing")
Contender = Callable[[dict[str, str]], dict[str, Any]]


def contenders(calls: int, python: str | None) -> dict[str, Contender]:
    def ours(policy: str, hedge: float | None = None) -> Contender:
        return lambda urls: asyncio.run(orchmagic(urls, calls, policy, hedge))

    rows = {f"orchmagic {p}": ours(p) for p in ("uptime", "price", "latency", "weighted", "order")}
    rows["orchmagic uptime, hedge 0.3 s"] = ours("uptime", 0.3)
    rows["openai client, its own 2 retries"] = lambda urls: asyncio.run(plain(urls, calls))
    for strategy in STRATEGIES if python else ():
        rows[f"LiteLLM {strategy}"] = lambda urls, s=strategy: peer(str(python), urls, calls, s)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[""], metavar="WORD", help="those whose name has one of the words")
    parser.add_argument("--litellm", metavar="PYTHON", help="a Python that has litellm: pip install litellm")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--strategy", default="simple-shuffle", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        return serve_all()
    if given.peer:
        return print(json.dumps(asyncio.run(litellm(json.loads(given.peer), given.calls, given.strategy))))
    print(f"{given.calls:,} calls, {AT_ONCE} at once", flush=True)
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(given.runs):
        for name, run in contenders(given.calls, given.litellm).items():
            if any(word in name for word in given.only):
                with servers() as (urls, counted):
                    result = run(urls)
                found[name].append({**result, **counted})
                print(row(name, found[name]), flush=True)
    return None


if __name__ == "__main__":
    main()
