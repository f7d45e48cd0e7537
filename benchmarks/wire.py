"""(g) speed near the wire: chains, wide maps and their CPU beside hand-written code and other libraries.

Each arm is a process of its own; they take turns, round by round, at one endpoint on loopback. `--peers PYTHON` names
an interpreter with langchain-openai, litellm, dspy and inspect-ai; arms whose package it lacks are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from arms import LABELS
from live import Kernel
from measure import spread

HERE = Path(__file__).parent
PEERS = {"langchain": "langchain_openai", "litellm": "litellm", "dspy": "dspy", "inspect": "inspect_ai"}
ITEMS, LATENCY = 1_000, 0.02  # seconds
CHAINS = 20  # in one round
Found = dict[str, list[dict[str, float]]]


class Arm:
    """A process that makes one round at a time."""

    def __init__(self, name: str, url: str, items: int = 0, at_once: int = 0, python: str = sys.executable) -> None:
        self.name = name
        command = [python, str(HERE / "arms.py"), name, url, str(items), str(at_once)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)

    def once(self) -> dict[str, float] | None:
        """One round; None if the process has ended, because it lacks a package."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        while line and not line.startswith("{"):
            line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def end(self) -> None:
        """Ends the process, which ends its workers."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def endpoint(seconds: float) -> Iterator[str]:
    """The address of a fast endpoint in a process of its own."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, HERE / "loopback.py", str(seconds)], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def in_turn(arms: list[Arm], rounds: int, batch: int = 1) -> Found:
    """The rounds of each arm, after one that is not counted; each is `batch` rounds in a row."""
    found: Found = {}
    try:
        arms = [arm for arm in arms if arm.once() is not None]
        for _ in range(rounds):
            for arm in arms:
                some = [took for _ in range(batch) if (took := arm.once()) is not None]
                mean = {key: statistics.mean(took[key] for took in some) for key in some[0]}
                found.setdefault(arm.name, []).append(mean)
    finally:
        for arm in arms:
            arm.end()
    return found


def shown(
    title: str, found: Found, scale: float, unit: str, goals: dict[str, float], per: int = 1, by: str = "hand"
) -> None:
    """A line for each arm: seconds and CPU with their spread, and the ratios to the arm `by`, the code by hand."""
    print(title)
    hand = found[by]
    for name, rounds in found.items():
        ratios = {
            key: statistics.median(a[key] / b[key] for a, b in zip(rounds, hand, strict=True))
            for key in ("seconds", "cpu")
        }
        goal = f"  (goal <= {goals[name]:.2f})" if name in goals else ""
        seconds = spread([took["seconds"] for took in rounds], unit, scale)
        spent = spread([took["cpu"] / per for took in rounds], "us", 1e6)
        print(f"   {name:16} {seconds:32} x {ratios['seconds']:.2f}   CPU {spent:36} x {ratios['cpu']:.2f}{goal}")


def chains(rounds: int) -> None:
    with endpoint(0) as url:
        found = in_turn([Arm(name, url) for name in ("hand", "off", "kept", "cached")], rounds, CHAINS)
        steps = 5
        shown("g) 5-step chain, loopback", found, 1e3, "ms", {"off": 0.85, "kept": 0.95}, steps)
        took = [one["seconds"] / steps for one in found["cached"]]
        print("   a cached step", spread(took, "ms", 1e3), "  (goal <= 0.7 ms)")
        for title, name, goal, batch in (
            ("one row of a cascade", "cascade", 3.0, CHAINS),
            ("an answer of 300 kB, streamed", "streamed", 2.0, 1),
        ):
            by = f"{name} by hand"
            found = in_turn([Arm(by, url), Arm(name, url)], rounds, batch)
            shown(f"   {title}", found, 1e3, "ms", {name: goal}, 1, by)


def maps(rounds: int, peers: str | None) -> None:
    for at_once, goal in ((64, 0.70), (256, 0.45)):
        with endpoint(LATENCY) as url:
            arms = [Arm(name, url, ITEMS, at_once) for name in ("hand", "cell", "bare")]
            arms += [Arm(name, url, ITEMS, at_once, peers) for name in PEERS if peers]
            found = in_turn(arms, rounds)
            shown(f"   {ITEMS:,} items, {at_once} at once", found, 1, "s", {"cell": goal}, ITEMS)


def wide(rounds: int) -> None:
    with endpoint(LATENCY) as url:
        narrow = in_turn([Arm("wide", url, 1_000, 64)], rounds)["wide"]
        found = in_turn([Arm("wide", url, 10_000, 64)], max(1, rounds // 3))["wide"]
    growth = statistics.median(f["cpu_us"] for f in found) / statistics.median(n["cpu_us"] for n in narrow)
    print("   10,000 items   ", spread([f["seconds"] for f in found], "s"))
    print("   CPU an item    ", spread([f["cpu_us"] for f in found], "us"), f"  x {growth:.2f} of 1,000 (goal <= 1.25)")
    print("   cost and repr  ", spread([f["read_ms"] for f in found], "ms"), "  (goal <= 5 ms)")
    print("   memory an item ", spread([f["kb"] for f in found], "kB"), "  (goal <= 8 kB)")


def in_a_kernel(rounds: int) -> None:
    """10,000 items in a kernel: live view, cache and history as they come."""
    with endpoint(LATENCY) as url:
        environ = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none", "ORCHMAGIC_MODEL": "m"}
        kernel = Kernel(
            "%load_ext orchmagic\nitems = ['warm']",
            f"%%chain watched --max-tokens 1000000000 --concurrency 64\n{LABELS}",
            environ,
        )
        try:
            took = []
            for number in range(rounds):
                kernel.cell(f"items = [f'text {number} {{i}}' for i in range(10_000)]")
                took.append(kernel.again())
                kernel.cell("assert len(watched.last.output) == 10_000")
        finally:
            kernel.close()
    print("   10,000 items in a kernel, with the live view ", spread(took, "s"), "  (goal <= 10 s)")


def main(rounds: int, peers: str | None = None) -> None:
    """Print the figures."""
    load = os.getloadavg()[0]
    print(f"   {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}")
    chains(rounds)
    maps(rounds, peers)
    wide(rounds)
    in_a_kernel(max(1, rounds // 3))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", help="an interpreter that has them")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("ORCHMAGIC_CACHE_DIR", "ORCHMAGIC_HISTORY_DIR", "TMPDIR"):
            os.environ[name] = folder
        main(given.rounds, given.peers)
