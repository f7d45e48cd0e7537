"""Runs that die: a program that forks a child for each life of a run, so that imports are paid for once.

It reads a line of JSON for each life and answers with one: {"cells": [...], "folder": ..., "url": ..., "inputs":
..., "die_at": k or null, "revive": true or false, "effects": [...], "forget": [ids of writes]}. With `die_at` the
child kills itself with SIGKILL as soon as the k-th effect is recorded. Its calls are made one at a time, so that
none is under way when it dies.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import os
import signal
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from orchmagic.patterns import PATTERNS
from orchmagic.runtime.session import Session
from orchmagic.runtime.tools import tool
from orchmagic.storage.journal import RunJournal
from orchmagic.storage.writes import Ledger

# what a first run imports
LATER = """anyio._backends._asyncio genai_prices.data_snapshot h11 httpcore2 jinja2.environment langgraph.graph
langgraph.checkpoint.sqlite.aio openai pydantic truststore orchmagic.runtime.compiler orchmagic.graph.draw orchmagic.runtime.history
orchmagic.models.pipeline orchmagic.models.providers.openai orchmagic.trace.fold orchmagic.storage.runs"""


class Effects:
    """Counts what is recorded; from the chosen number on, it dies as soon as no call and no write is under way."""

    def __init__(self, die_at: int | None, counted: list[str]) -> None:
        self.die_at = die_at
        self.counted = counted
        self.count = 0
        self.asking = False
        self.writing = 0  # writes under way: items side by side may ask for the same one
        self._lock = threading.Lock()

    def watch(self, owner: type, method: str) -> None:
        real = getattr(owner, method)

        def recorded(*args: Any) -> Any:
            if method == "claim" and method not in self.counted:
                with self._lock:
                    self.writing += 1  # it may be on record before `real` returns
            given = real(*args)
            if isinstance(args[0], RunJournal | Ledger):
                args[0]._database.flush()  # it is recorded now
            with self._lock:
                self.note(method, args[-1], given)
                due = self.die_at is not None and self.count >= self.die_at
                if due and not self.asking and not self.writing:
                    os.kill(os.getpid(), signal.SIGKILL)
            if due and not self.writing and threading.current_thread().name != "orchmagic-loop":
                threading.Event().wait()  # the loop dies when it has kept the answer under way
            return given

        setattr(owner, method, recorded)

    def note(self, method: str, value: Any, given: Any) -> None:
        self.count += method in self.counted
        if method == "keep" and isinstance(value, dict) and "finish_reason" in value:  # an answer of a model
            self.asking = False
        if method == "claim" and method not in self.counted:
            self.writing -= not given.mine
        if method == "done":
            self.writing -= 1

    def one_at_a_time(self, provider: Any) -> None:
        real, turn = provider.complete, asyncio.Lock()

        async def complete(*args: Any) -> Any:
            async with turn:
                self.asking = True
                return await real(*args)

        provider.complete = complete


def functions(folder: Path) -> dict[str, Any]:
    """What the notebook defines. Each deed is a line in a file."""

    @tool(writes=True, key=lambda order_id: order_id)
    def refund(order_id: str) -> str:
        """Pay the money of an order back."""
        with (folder / "refunds").open("a") as file:
            file.write(f"{order_id}\n")
        return f"refunded {order_id}"

    @tool
    def find(what: str) -> str:
        """Look it up."""
        return f"found {what}"

    return {"refund": refund, "find": find}


def live(order: dict[str, Any]) -> dict[str, Any]:
    """One life, to its end or until it dies."""
    effects = Effects(order["die_at"], order["effects"])
    for owner, method in ((RunJournal, "keep"), (Ledger, "claim"), (Ledger, "done")):
        effects.watch(owner, method)
    folder = Path(order["folder"])
    space = functions(folder)
    session = Session(space, environ=environment(order), notify=lambda _: None)
    effects.one_at_a_time(session.services.models.provider("openai"))
    for write in order["forget"]:
        session.services.history.store.ledger.forget(write)
    if order["revive"]:
        run = session.lookup.run("r1")
        status = run.status
        run.resume({"action": "approve"} if status == "waiting" else None)
    else:
        status = ""
        for cell in order["cells"]:
            head, _, body = cell.partition("\n")
            magic, _, line = head.removeprefix("%%").partition(" ")
            made = session.define(magic, line, body)
            space[made.definition.name] = made
        run = made(**order["inputs"])
    while run.status == "waiting":
        run.approve()
    found = {
        "status": run.status,
        "before": status,
        "output": run.record.output,
        "tokens": run.tokens,
        "error": run.error,
        "effects": effects.count,
    }
    session.close()
    return found


def environment(order: dict[str, Any]) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "any",
        "OPENAI_BASE_URL": order["url"],
        "ORCHMAGIC_MODEL": "scribe",
        "ORCHMAGIC_CACHE": "off",
        "ORCHMAGIC_HISTORY_DIR": order["folder"],
    }


def main() -> None:
    for name in LATER.split():
        import_module(name)
    for name in PATTERNS.names():
        PATTERNS.get(name)
    gc.freeze()  # what is imported is shared with every child
    for line in sys.stdin:
        order = json.loads(line)
        os.environ |= environment(order)
        result = Path(order["folder"]) / "result.json"
        result.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            faulthandler.dump_traceback_later(30, exit=True)
            try:
                result.write_text(json.dumps(live(order)))
            except BaseException:  # noqa: BLE001 - a child must never go on as its parent
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(0 if result.exists() else 1)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = json.loads(result.read_text()) if result.exists() else {}
        sys.stdout.write(json.dumps({"ended": ended, **found}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
