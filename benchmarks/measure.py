"""What the benchmarks measure with: pairs in turn, medians with their spread, ratios, a scripted endpoint.

Figures of a shared machine: trust the ratios. Every pair is measured in turn (A B A B ...), so that a drift of
the machine hits both.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator

REPLY = "a reply of a few words"


def spread(values: list[float], unit: str, scale: float = 1.0) -> str:
    """`median (min … max) unit`."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle * scale:.2f} ({low * scale:.2f} … {high * scale:.2f}) {unit}"


def child(code: str) -> float:
    """The number that a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def in_turn(first: Callable[[], float], second: Callable[[], float], runs: int) -> tuple[list[float], list[float]]:
    """Both measured `runs` times, alternating, after one warm-up each."""
    first(), second()
    pairs = [(first(), second()) for _ in range(runs)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of the ratios pair by pair."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


@contextlib.contextmanager
def server(latency: float = 0.0) -> Iterator[str]:
    """A scripted endpoint in a process of its own, so that it does not share our interpreter; `latency` in seconds."""
    code = (
        "import sys; from orchmagic import Reply, Script, serve\n"
        f"with serve(Script(lambda body: Reply({REPLY!r}, latency={latency}))) as s: "
        "print(s.base_url, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)
