"""An exact hit from each cache, 1 kB and 50 kB: alone, and in the pipeline (thread included), as medians and p95.

    python benchmarks/caches.py [--url redis://host:6379/15]

Without `--url` a Redis of its own is started (redis-server or valkey-server must be installed). The cache of the
`--url` is written to, under two keys that are removed again. The caches are asked in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchmagic.errors import SettingsError
from orchmagic.models.cache import Cache, at
from orchmagic.models.cache.stores.memory import MemoryCache
from orchmagic.models.middleware.caching import Caching
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse

TURNS = 40
ASKS = 50
WIDE = 16
HERE = Deployment("m", "openai", "m", base_url="http://127.0.0.1:1/v1")


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server on a free port, with its files in `folder`."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise SystemExit("no redis-server: install it, or give --url")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def told(name: str, took: list[float]) -> str:
    ordered = sorted(took)
    middle, late = statistics.median(ordered), ordered[int(len(ordered) * 0.95)]
    return f"   {name:8} {middle * 1e3:7.3f} ms   p95 {late * 1e3:7.3f} ms"


async def measured(asks: dict[str, Callable[[], Awaitable[Any]]]) -> None:
    """Each for some time, in turn, so that a drift of the machine hits all."""
    took: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(TURNS):
        for name, ask in asks.items():
            for _ in range(ASKS):
                start = time.perf_counter()
                await ask()
                took[name].append(time.perf_counter() - start)
    for name, values in took.items():
        print(told(name, values))


async def size(caches: dict[str, Cache], length: int) -> None:
    request = ModelRequest(call="a#1.1", model="m", messages=({"role": "user", "content": f"{length}"},))
    answer = ModelResponse("x" * length, model="m", provider="openai")
    layers = {name: Caching(cache, lambda _: HERE, lambda _: None) for name, cache in caches.items()}

    async def model(_: ModelRequest) -> ModelResponse:
        return answer

    async def hit(layer: Caching) -> None:
        found = await layer(request, model)
        assert found.age is not None

    async def alone(cache: Cache) -> None:
        assert cache.get("bench") is not None

    async def many(layer: Caching) -> None:
        await asyncio.gather(*(hit(layer) for _ in range(WIDE)))

    for name, layer in layers.items():
        await layer(replace(request, cache="refresh"), model)
        caches[name].set("bench", {"text": "x" * length}, 600)
    print(f"{length / 1000:g} kB: get alone")
    await measured({name: lambda c=cache: alone(c) for name, cache in caches.items()})  # type: ignore[misc]  # default
    print(f"{length / 1000:g} kB: a hit in the pipeline")
    await measured({name: lambda c=layer: hit(c) for name, layer in layers.items()})  # type: ignore[misc]  # as above
    print(f"{length / 1000:g} kB: {WIDE} hits at once, all of them")
    await measured({name: lambda c=layer: many(c) for name, layer in layers.items()})  # type: ignore[misc]  # as above


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server that runs; otherwise one is started")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        url = given.url or stack.enter_context(server(Path(folder)))
        caches = {"memory": MemoryCache(), "disk": at(None, Path(folder) / "disk"), "redis": at(url, Path(folder))}
        deadline = time.monotonic() + 10
        while not ready(caches["redis"]) and time.monotonic() < deadline:
            time.sleep(0.1)
        for length in (1_000, 50_000):
            asyncio.run(size(caches, length))
        caches["redis"].delete("bench")
        for cache in caches.values():
            cache.close()


def ready(cache: Cache) -> bool:
    try:
        cache.stats()
    except SettingsError:  # not up yet
        cache.close()
        return False
    return True


if __name__ == "__main__":
    main()
