"""(i) `evaluate` on 2,000 rows beside Inspect AI and beside `asyncio` with openai's client: seconds, CPU a row, memory.

Each arm is a process of its own; they take turns at one endpoint on loopback. `--peers PYTHON` names an interpreter
with inspect-ai; without it that arm is left out. The code by hand only asks: it scores and keeps nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile

from measure import spread
from wire import LATENCY, Arm, endpoint, in_turn

ROWS, AT_ONCE = 2_000, 64


def main(rounds: int, peers: str | None = None) -> None:
    """Print the figures."""
    with endpoint(LATENCY) as url:
        arms = [Arm(name, url, ROWS, AT_ONCE) for name in ("hand", "cell", "evaluate")]
        arms += [Arm("inspect scored", url, ROWS, AT_ONCE, peers)] if peers else []
        found = in_turn(arms, rounds)
    print(f"i) {ROWS:,} rows at {LATENCY * 1e3:.0f} ms, {AT_ONCE} at once, load {os.getloadavg()[0]:.1f}")
    for name, took in found.items():
        seconds, cpu = spread([t["seconds"] for t in took], "s"), spread([t["cpu"] / ROWS for t in took], "ms", 1e3)
        times = statistics.median(a["cpu"] / b["cpu"] for a, b in zip(took, found["hand"], strict=True))
        print(
            f"   {name:14} {seconds:28} CPU a row {cpu:26} x {times:.2f}   memory {max(t['mb'] for t in took):.0f} MB"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", help="an interpreter that has inspect-ai")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("ORCHMAGIC_CACHE_DIR", "ORCHMAGIC_HISTORY_DIR", "TMPDIR"):
            os.environ[name] = folder
        main(given.rounds, given.peers)
