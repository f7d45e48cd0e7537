"""`python benchmarks/hammer.py`: one cache, eight processes, and every five seconds one of them dies (SIGKILL).

Each process writes versions of its own keys, one in eight so long that it becomes a file, and enters what was written
in a side file, with fsync, as soon as the cache came back: it is acknowledged. It reads the keys of the others, and
says so when one is missing, older than it was, or not as it was written. In the second form each process is a whole
session, which asks a scripted server the questions that the others ask too. In the end every acknowledged version must
be there. Warnings are errors in the workers. Figures of a shared machine: trust the orders of magnitude.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hammering import QUESTIONS, acknowledged, lines, session, value

SECONDS, PROCESSES, KILL = 60.0, 8, 5.0
WORKER = Path(__file__).resolve().with_name("hammering.py")


@dataclass
class Outcome:
    """What a hammering came to. `lost`, `odd` (a value that nobody wrote) and `said` (by workers) must be empty."""

    kills: int = 0
    lost: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    integrity: str = ""
    acknowledged: int = 0
    left_over: int = 0  # files that no entry names
    writes: list[float] = field(default_factory=list)  # seconds
    reads: list[float] = field(default_factory=list)  # seconds

    @property
    def clean(self) -> bool:
        return self.integrity == "ok" and not (self.lost or self.odd or self.said)


def hammer(
    folder: Path,
    seconds: float = SECONDS,
    processes: int = PROCESSES,
    kill: float = KILL,
    url: str = "",
    harm: Callable[[Path], None] | None = None,
) -> Outcome:
    """Let them work in `folder`; `harm(folder)` is done once, half way. With `url` they are sessions."""
    outcome, chance = Outcome(), random.Random(5)
    running = {slot: _start(folder, slot, processes, url) for slot in range(processes)}
    over = time.monotonic() + seconds
    next_kill, half = time.monotonic() + kill, time.monotonic() + seconds / 2
    while (now := time.monotonic()) < over:
        time.sleep(max(0.0, min(next_kill, over, *([half] if harm else [])) - now))
        if harm is not None and time.monotonic() >= half:
            harm(folder)
            harm = None
        if time.monotonic() >= next_kill:
            slot = chance.randrange(processes)
            running[slot].send_signal(signal.SIGKILL)
            outcome.said += _ended(running[slot], -signal.SIGKILL)
            running[slot] = _start(folder, slot, processes, url)
            outcome.kills += 1
            next_kill += kill
    (folder / "stop").touch()
    for process in running.values():
        outcome.said += _ended(process, 0)
    return outcome


def _start(folder: Path, slot: int, slots: int, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", str(WORKER), str(folder), str(slot), str(slots), *([url] if url else [])]
    errors = (folder / f"said-{slot}-{time.monotonic_ns()}").open("w+")
    process = subprocess.Popen(command, stderr=errors, text=True)
    process.said = errors  # type: ignore[attr-defined]  # where it speaks
    return process


def _ended(process: subprocess.Popen[str], expected: int) -> list[str]:
    code = process.wait(120)
    with process.said as errors:  # type: ignore[attr-defined]  # as above
        errors.seek(0)
        said = errors.read().splitlines()
    return said if code == expected else [*said, f"a worker ended with {code}, not {expected}"]


def check(folder: Path, processes: int, outcome: Outcome) -> Outcome:
    """Every acknowledged version is there, or a newer one of the same key; and SQLite finds its file whole."""
    from orchmagic.models.cache.stores.disk import DiskCache

    cache = DiskCache(folder / "answers")
    for slot in range(processes):
        for line in lines(folder / f"acked-{slot}"):
            _, _, wrote, read = line.split()
            outcome.writes.append(float(wrote))
            outcome.reads.append(float(read))
        for key, version in acknowledged(folder / f"acked-{slot}").items():
            found = cache.get(key)
            if found is None or found["version"] < version:
                outcome.lost.append(f"{key}: version {version} was acknowledged, {str(found)[:40]} is there")
            elif found != value(key, found["version"]):
                outcome.odd.append(f"{key}: {str(found)[:80]}")
    cache.close()
    outcome.acknowledged = len(outcome.writes)
    return whole(folder / "answers", outcome)


def check_runs(folder: Path, processes: int, outcome: Outcome, given: dict[str, list[str]], url: str) -> Outcome:
    """Every question that was answered is answered from the cache now, as the server answered it; it is not asked."""
    answered: set[int] = set()
    for slot in range(processes):
        for line in lines(folder / f"acked-{slot}"):
            number, answers, took = json.loads(line)
            answered.add(number)
            outcome.acknowledged += QUESTIONS
            outcome.writes += [took] if took is not None else []
            for i, answer in enumerate(answers):
                if answer not in given[f"Question {number}.{i}?"]:
                    outcome.odd.append(f"{number}.{i}: {answer}")
    before = sum(map(len, given.values()))
    made, chain = session(folder, url)
    for number in sorted(answered):
        if chain(number=number).status != "done":
            outcome.odd.append(f"run {number} failed")
    made.close()
    if (asked := sum(map(len, given.values())) - before) > 0:
        outcome.lost.append(f"{asked} questions were asked again")
    return whole(folder / "answers", outcome)


def whole(folder: Path, outcome: Outcome) -> Outcome:
    with contextlib.closing(sqlite3.connect(folder / "cache.db")) as connection:
        outcome.integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
        named = {name for (name,) in connection.execute("SELECT filename FROM Cache WHERE filename IS NOT NULL")}
    outcome.left_over = sum(str(f.relative_to(folder)) not in named for f in folder.glob("??/??/*.val"))
    return outcome


@contextlib.contextmanager
def answering() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """A scripted server in a thread, which answers no question twice in the same words; what it gave."""
    from collections import defaultdict

    from orchmagic.models.scripting.reply import Reply
    from orchmagic.models.scripting.server import serve

    given: dict[str, list[str]] = defaultdict(list)

    def reply(body: Any) -> Any:
        question = body["messages"][-1]["content"]
        given[question].append(f"answer {len(given[question])} to {question}")
        return Reply(given[question][-1])

    with serve(reply) as server:
        yield server.base_url, given


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1e3 if values else float("nan")


def report(name: str, outcome: Outcome, seconds: float) -> None:
    print(f"{name}: {outcome.acknowledged} acknowledged ({outcome.acknowledged / seconds:.0f} a second), ", end="")
    print(f"{outcome.kills} killed, {len(outcome.lost)} lost, {len(outcome.odd)} that nobody wrote, ", end="")
    print(f"integrity {outcome.integrity}, {outcome.left_over} files left over, workers said {len(outcome.said)} lines")
    for what, took in (("write" if outcome.reads else "run", outcome.writes), ("read", outcome.reads)):
        if took:
            print(f"   {what}: median {quantile(took, 0.5):.2f} ms, p99 {quantile(took, 0.99):.1f} ms, ", end="")
            print(f"longest {max(took) * 1e3:.0f} ms")
    for line in [*outcome.lost, *outcome.odd, *outcome.said][:20]:
        print("  ", line)


def main(seconds: float = SECONDS, processes: int = PROCESSES, kill: float = KILL) -> None:
    """Both forms, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        report("cache", check(Path(folder), processes, hammer(Path(folder), seconds, processes, kill)), seconds)
    with tempfile.TemporaryDirectory() as folder, answering() as (url, given):
        outcome = hammer(Path(folder), seconds, processes, kill, url)
        asked = sum(map(len, given.values()))
        report("sessions", check_runs(Path(folder), processes, outcome, given, url), seconds)
        print(f"   {asked - len(given)} of {asked} answers were given to a question that somebody else asked meanwhile")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--kill", type=float, default=KILL, help="seconds between two deaths")
    options = parser.parse_args()
    main(options.seconds, options.processes, options.kill)
