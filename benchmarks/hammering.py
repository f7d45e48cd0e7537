"""One of the processes that `hammer.py` starts, kills and replaces: `hammering.py FOLDER SLOT SLOTS [URL]`."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

KEYS = 25  # of each process
LONG, EVERY = 50_000, 8  # letters; one in so many
QUESTIONS = 5  # that a session asks in one run
CELL = "".join(f"q{i}\n    Question {{{{ number }}}}.{i}?\n" for i in range(QUESTIONS))


def value(key: str, version: int) -> dict[str, Any]:
    """What is written under a key: anybody can tell whether it is whole."""
    size = LONG if (version + version // KEYS) % EVERY == 0 else 40 + version % 400
    return {"key": key, "version": version, "text": f"{key}:{version} ".ljust(size, chr(97 + version % 26))}


def acknowledged(file: Path) -> dict[str, int]:
    """The latest version of each key in a side file; a last line without its end does not count."""
    found: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in file.read_text().split("\n")[:-1]:
            key, version, *_ = line.split()
            found[key] = int(version)
    return found


class Worker:
    """One process of the plain form, on its own keys `slot-0` ... and on those of the others."""

    def __init__(self, folder: Path, slot: int, slots: int) -> None:
        from orchmagic.models.cache.stores.disk import DiskCache

        self.folder, self.slot, self.slots = folder, slot, slots
        self.cache = DiskCache(folder / "answers")
        self.chance = random.Random(f"{slot} {os.getpid()}")
        # what the one before did last may have been written and not entered
        self.version = max(acknowledged(folder / f"acked-{slot}").values(), default=0) + 2
        self.seen: dict[str, int] = {}

    def work(self) -> None:
        """Until the file `stop` is there."""
        with (self.folder / f"acked-{self.slot}").open("a") as acked:
            while not (self.folder / "stop").exists():
                wrote = self.write()
                read = self.read()
                acked.write(f"{wrote[0]} {self.version} {wrote[1]:.7f} {read:.7f}\n")
                acked.flush()
                os.fsync(acked.fileno())
        self.cache.close()

    def write(self) -> tuple[str, float]:
        self.version += 1
        key = f"{self.slot}-{self.version % KEYS}"
        content = value(key, self.version)
        began = time.perf_counter()
        self.cache.set(key, content)
        return key, time.perf_counter() - began

    def read(self) -> float:
        """A key of anybody, which must not be older than it was a moment ago; the seconds it took."""
        key = f"{self.chance.randrange(self.slots)}-{self.chance.randrange(KEYS)}"
        began = time.perf_counter()
        found = self.cache.get(key)
        took = time.perf_counter() - began
        if found is None:
            if key in self.seen:
                print(f"{key} is missing, it was version {self.seen[key]}", file=sys.stderr)
        elif found != value(key, found["version"]):
            print(f"{key} is {str(found)[:80]}, which nobody wrote", file=sys.stderr)
        elif found["version"] < self.seen.get(key, 0):
            print(f"{key} is version {found['version']}, it was {self.seen[key]}", file=sys.stderr)
        else:
            self.seen[key] = found["version"]
        return took


def session(folder: Path, url: str) -> Any:
    """A session and a chain of questions on a server, both in the folder that all share."""
    from orchmagic import Session

    environ = {
        "OPENAI_API_KEY": "any", "OPENAI_BASE_URL": url, "ORCHMAGIC_MODEL": "m",
        "ORCHMAGIC_CACHE_DIR": str(folder), "ORCHMAGIC_HISTORY_DIR": str(folder),
    }  # fmt: skip  # pairs
    made = Session({}, environ=environ, notify=lambda _: None)
    return made, made.define("chain", "hammered", CELL)


def ask(folder: Path, slot: int, url: str) -> None:
    """One process of the form with sessions: all ask the same numbers, whoever dies is replaced a little behind."""
    made, chain = session(folder, url)
    file = folder / f"acked-{slot}"
    number, began = max((int(json.loads(line)[0]) for line in lines(file)), default=0), None
    with file.open("a") as acked:
        while not (folder / "stop").exists():
            number += 1
            first, began = began is None, time.perf_counter()
            run = chain(number=number)
            if run.status != "done":
                print(f"run {number} is {run.status}: {run.error}", file=sys.stderr)
            answers = [run[f"q{i}"] for i in range(QUESTIONS)]
            took = None if first else time.perf_counter() - began  # the first one imports
            acked.write(json.dumps([number, answers, took]) + "\n")
            acked.flush()
            os.fsync(acked.fileno())
    made.close()


def lines(file: Path) -> list[str]:
    return file.read_text().split("\n")[:-1] if file.exists() else []


if __name__ == "__main__":
    where, slot, slots, *url = sys.argv[1:]
    if url:
        ask(Path(where), int(slot), url[0])
    else:
        Worker(Path(where), int(slot), int(slots)).work()
