"""In a real ipykernel: an interrupt ends a run, its trace is shown, the next cell runs, and the namespace is whole."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from real_kernel import Kernel

from orchmagic.trace.record import MIME

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SETUP = """%load_ext orchmagic
%config OrchMagic.model = "scripted"
import langgraph.graph
from orchmagic import Reply, Script, install
def hang(x: int) -> str:
    "Never returns in time."
    import time
    time.sleep(30)
    return "late"
install(Script(lambda body: SCRIPT(body)))
install(Script(lambda body: SCRIPT(body)), "default")
None
"""
HANGS = """
texts = ["one", "two"]
def SCRIPT(body):
    said = str(body["messages"])
    if "WAIT" in said:
        return Reply("never", latency=60)
    if body.get("tools"):
        return Reply(tool_calls=[("hang", {"x": 1})])
    return {"steps": ["one", "two"]} if "Break down" in said else None
"""
CHAIN = "%%chain --no-cache\nfirst\n    A\nsecond\n    WAIT {{ first }}\n"
CELLS = {
    "chain": (CHAIN, "second"),
    "route": ("%%route --no-cache\nrouter = 'sad'\nhappy: x\n    A\nsad: y\n    WAIT\n", "sad"),
    "react": ("%%react --no-cache --tools hang\nGo\n", "tools"),
    "parallel": ("%%parallel --no-cache\none\n    A\ntwo\n    WAIT\n", "two"),
    "votes": ("%%parallel --no-cache\ntoxic(votes=5)\n    WAIT\n", "toxic"),
    "mapreduce": (
        "%%mapreduce --no-cache --over texts\nmap\n    WAIT {{ chunk }}\nreduce\n    {{ parts }}\n",
        "map",
    ),
    "plan": (
        "%%plan --no-cache\nplan -> steps: list[str]\n    Break down\nexecute\n    WAIT {{ step }}\n",
        "execute",
    ),
    "refine": (
        "%%refine --no-cache\ngenerate\n    A\nevaluate -> score: float\n    WAIT\nuntil evaluate.score > 1 max 3\n",
        "evaluate",
    ),
    "cascade": (
        "%%cascade --no-cache --models scripted,scripted/default\nanswer\n    A\nverify judge >= 0.8\n    WAIT\n",
        "judge",
    ),
    "team": ("%%team --no-cache\nsupervisor\n    Go\nclerk: pays\n    WAIT\n", "clerk"),
    "items": ("%%chain --no-cache\neach(over=range(40))\n    WAIT {{ item }}\n", "each"),
    "nested": ("%%chain --no-cache\nfound = inner(x='WAIT')\n", "found"),
}


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    made.run(SETUP)
    yield made
    made.close()


def shown(messages: list[dict[str, Any]]) -> str:
    return str(
        [
            m["content"]
            for m in messages
            if m["msg_type"] in {"display_data", "update_display_data", "stream", "error", "execute_result"}
        ]
    )


def interrupt(kernel: Kernel, cell: str, step: str) -> tuple[list[dict[str, Any]], float]:
    """Run a cell, interrupt it when the step is seen running; all it said, and how long it then took (seconds)."""
    asked = kernel.start(cell)
    seen = []
    for message in kernel.messages(asked):
        seen.append(message)
        live = message["msg_type"] == "update_display_data" and re.search(
            rf"\b{step}\b", str(message["content"]["data"])
        )
        if live and "running" in str(message["content"]["data"]).lower():
            break
    else:
        raise AssertionError(f"{step} never ran: {shown(seen)}")
    began = time.monotonic()
    kernel.manager.interrupt_kernel()
    seen += kernel.messages(asked)
    return seen, time.monotonic() - began


@pytest.mark.parametrize("name", CELLS)
def test_an_interrupt_ends_the_run_and_keeps_its_trace(kernel, name):
    cell, step = CELLS[name]
    kernel.run(HANGS)
    kernel.run("%%chain inner --no-run\na\n    Do {{ x }}\n")
    seen, took = interrupt(kernel, cell, step)
    for _ in range(2):
        if took >= 1:  # a busy machine gets another chance
            seen, took = interrupt(kernel, cell, step)
    assert "was stopped" in shown(seen), shown(seen)
    assert "Traceback" not in shown(seen)
    records = [m["content"]["data"][MIME] for m in seen if MIME in m["content"].get("data", {})]
    assert records[-1]["status"] == "cancelled"
    spans = [json.loads(line) for line in records[-1]["spans"]]
    assert any(s["name"] == step and s["status"] == "cancelled" for s in spans)
    assert took < 1, took
    assert "42" in shown(kernel.run("print(6 * 7)"))
    assert "[('ok',)]" in shown(kernel.run(SOUND))


SOUND = """
import sqlite3
with sqlite3.connect(get_ipython()._orchmagic_face.session.services.history.store.database.path) as database:
    print([tuple(row) for row in database.execute("PRAGMA integrity_check")])
database.close()
"""


def test_the_live_view_leaves_nothing_behind(kernel):
    kernel.run('SCRIPT = lambda body: Reply("fine", latency=0.4)')
    seen = kernel.run(CHAIN)
    last = {m["content"]["transient"]["display_id"]: m for m in seen if m["msg_type"] == "update_display_data"}
    result, stop = (m["content"]["data"] for m in last.values())
    assert MIME in result  # the last content of the display that was live
    assert "fine" in result["text/plain"]
    assert stop == {"text/plain": "", "text/html": ""}
    displays = [m["content"]["data"] for m in seen if m["msg_type"] == "display_data"]
    assert displays == [{"text/plain": "", "text/html": ""}] * 2


def test_jupyterlab_gets_the_card_and_no_plotly(kernel, tmp_path):
    """What JupyterLab and Notebook 7 tell with each cell, and our extension beside it: one display, of our MIME type."""
    folder = tmp_path / "labextensions" / "orchmagic"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text("{}")
    kernel.run(f"import os; os.environ['JUPYTER_PATH'] = {str(tmp_path)!r}")
    kernel.run('SCRIPT = lambda body: Reply("fine", latency=0.4)')
    content = {"code": CHAIN, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
    request = kernel.client.session.msg("execute_request", content, metadata={"deletedCells": []})
    kernel.client.shell_channel.send(request)
    seen = list(kernel.messages(request["header"]["msg_id"]))
    kernel.run("del os.environ['JUPYTER_PATH']")
    frames = [m["content"]["data"] for m in seen if m["msg_type"] == "update_display_data"]
    assert len([m for m in seen if m["msg_type"] == "display_data"]) == 1
    assert frames[0][MIME]["status"] == "running"
    assert frames[-1][MIME]["status"] == "done"
    assert frames[-1].keys() == {MIME, "text/html", "text/plain"}
    assert all(isinstance(json.loads(span), dict) for span in frames[-1][MIME]["spans"])


def test_a_run_in_the_background_ends_by_itself(kernel):
    kernel.run('SCRIPT = lambda body: Reply("later", latency=0.2)')
    kernel.run("%%chain behind --no-cache --background\nfirst\n    A\n")
    assert "later" in shown(kernel.run("print(behind.last.wait().output)"))
    kernel.run(SHOWN)


# what the run shows at its end must not fall into the next test
SHOWN = """
import threading
[thread.join() for thread in threading.enumerate() if thread.name == "orchmagic-background"]
"""
