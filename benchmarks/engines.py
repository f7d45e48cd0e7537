"""(h) `map` over rows in this process and on two workers: seconds, CPU a row (workers included), overhead a row.

The arms take turns at one endpoint on loopback, round by round. The workers of a pool and of Dask stay from round to
round; those of `processes` are started in each, and this is counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile

from measure import spread
from wire import LATENCY, Arm, endpoint, in_turn

ROWS, AT_ONCE = 1_000, 64
ENGINES = ("in process", "pool", "dask", "processes")


def main(rounds: int) -> None:
    """Print the figures."""
    with endpoint(LATENCY) as url:
        found = in_turn([Arm(name, url, ROWS, AT_ONCE) for name in ENGINES], rounds)
    place = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"h) {ROWS:,} rows at {LATENCY * 1e3:.0f} ms, {AT_ONCE} at once, {place}")
    here = found["in process"]
    for name, took in found.items():
        seconds, cpu = spread([t["seconds"] for t in took], "s"), spread([t["cpu"] / ROWS for t in took], "ms", 1e3)
        more = statistics.median((a["cpu"] - b["cpu"]) / ROWS for a, b in zip(took, here, strict=True))
        print(f"   {name:10} {seconds:28} CPU a row {cpu:28} {more * 1e3:+.2f} ms a row")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("ORCHMAGIC_CACHE_DIR", "ORCHMAGIC_HISTORY_DIR", "TMPDIR"):
            os.environ[name] = folder
        main(given.rounds)
