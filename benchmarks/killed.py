"""The runs that `kills.py` kills: forks a process for each life of a run, so that imports are paid for once.

It reads a line of JSON for each life, {"cells": [...], "folder": ..., "url": ..., "inputs": ..., "revive": bool}. It
answers with the number of the process as soon as it works, and with what the life came to when it is over.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
import urllib.request
from importlib import import_module
from pathlib import Path
from typing import Any

from orchmagic.patterns import PATTERNS
from orchmagic.runtime.session import Session
from orchmagic.runtime.tools import tool

# what a first run imports
LATER = """anyio._backends._asyncio genai_prices.data_snapshot h11 jinja2.environment langgraph.graph
langgraph.checkpoint.sqlite.aio openai pydantic orchmagic.runtime.compiler orchmagic.graph.draw orchmagic.trace.fold
orchmagic.runtime.history orchmagic.storage.runs orchmagic.models.pipeline orchmagic.models.providers.openai"""
LIVES = 9  # resumes of one run, at most


def functions(server: str) -> dict[str, Any]:
    """What the notebook defines: a write, which the server logs, and a look-up."""

    @tool(writes=True, key=lambda order_id, **_: order_id)
    def pay(order_id: str, amount: float = 1.0) -> str:  # noqa: ARG001 - a model fills it in
        """Pay an amount back."""
        urllib.request.urlopen(f"{server}/write", data=order_id.encode(), timeout=60).read()
        return f"paid {order_id}"

    @tool
    def find(what: str) -> str:
        """Look it up."""
        return f"found {what}"

    return {"pay": pay, "find": find}


def live(order: dict[str, Any]) -> dict[str, Any]:
    """One life, to its end."""
    server = order["url"].removesuffix("/v1")
    space = functions(server)
    session = Session(space, environ=environment(order), notify=lambda _: None)
    for cell in order["cells"]:
        head, _, body = cell.partition("\n")
        magic, _, line = head.removeprefix("%%").partition(" ")
        made = session.define(magic, line, body)
        space[made.definition.name] = made
    found = revived(session, server) if order["revive"] else {"run": made(**order["inputs"])}
    if "run" in found:
        run = found.pop("run")
        while run.status == "waiting":
            run.approve()
        found |= {"status": run.status, "error": run.error, "output": run.record.output}
    session.close()
    return found


def revived(session: Session, server: str) -> dict[str, Any]:
    """Resume the run as a person does: a write of unknown end is looked up at the server, and settled or forgotten."""
    if not session.services.history.store.runs(9):
        return {"status": "no run"}
    ledger = session.services.history.store.ledger
    unknown = 0
    for _ in range(LIVES):
        run = session.lookup.run("r1")
        if run.status == "waiting":
            run = run.approve() or run
        elif run.status != "done":
            run = run.resume() or run
        open_ = [write for write in ledger.writes() if write.state == "unknown"]
        if not open_ or run.status == "done":
            break
        done = json.loads(urllib.request.urlopen(f"{server}/writes", timeout=60).read())
        for write in open_:
            unknown += 1
            order_id = json.loads(write.key) if write.key.startswith('"') else write.key
            if order_id in done:
                ledger.settle(write.id, f"paid {order_id}")
            else:
                ledger.forget(write.id)
    return {"run": run, "unknown": unknown}


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
            try:
                result.write_text(json.dumps(live(order), default=str))
            except BaseException:  # noqa: BLE001 - a child must never go on as its parent
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(0 if result.exists() else 1)
        print(child, flush=True)
        os.waitpid(child, 0)
        print(result.read_text() if result.exists() else "{}", flush=True)


if __name__ == "__main__":
    main()
