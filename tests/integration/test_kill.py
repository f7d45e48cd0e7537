"""A run of each pattern, killed at every moment that it recorded something, goes on: nothing is paid or done twice."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchmagic import Reply, Script, serve
from orchmagic.models.types import ToolCall

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a life is a fork: no such thing on Windows"),
]

CHAIN = """%%chain settle
extract -> order: str
    The order of this ticket: {{ ticket }}
done = refund(extract.order)
reply
    Write that {{ done }}. {{ ticket }}
"""
ROUTE = """%%route desk
router
    Which team? {{ ticket }}
billing: refunds
    You are billing. {{ ticket }}
other: the rest
    You are somebody. {{ ticket }}
"""
REACT = """%%react orders --tools find,refund
You help with orders.
{{ ticket }}
"""
PARALLEL = """%%parallel moderate
toxicity(votes=3, by=label) -> label: "ok" | "toxic"
    Is it toxic? {{ ticket }}
done = refund("A1")
merge
    Votes {{ toxicity.label }}, {{ done }}. Decide.
"""
MAPREDUCE = """%%mapreduce digest --over texts
map
    Claims of: {{ chunk }}
reduce
    Merge: {{ parts }}
"""
PLAN = """%%plan report --tools refund --max-steps 30
plan -> steps: list[str]
    Break down: {{ ticket }}
execute
    Do this step: {{ step }}. So far: {{ results }}
reflect -> ok: bool, feedback: str
    Complete? {{ ticket }} {{ results }}
"""
REFINE = """%%refine tagline
generate
    A tagline for {{ ticket }}. {% if evaluate %}Improve on: {{ evaluate.feedback }}{% endif %}
evaluate -> score: float, feedback: str
    Score: {{ generate }}
until evaluate.score >= 8 max 3
"""
CASCADE = """%%cascade solve --models scribe,sage
answer -> value: int
    Solve: {{ ticket }}
verify answer.value == 4
"""
TEAM = """%%team launch --max-turns 4
supervisor
    Goal: {{ ticket }}
clerk(tools=refund): pays back
    You pay back.
"""
NESTED = """%%chain outer
both(run=settle, over=tickets, item=ticket)
sum
    Sum up: {{ both }}
"""
PEOPLE = """%%chain careful
draft
    Draft an answer to {{ ticket }}
approve "Send it?"
done = refund("A1")
"""

TICKET = {"ticket": "order A1 came broken"}
CELLS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "chain": ([CHAIN], TICKET),
    "route": ([ROUTE], TICKET),
    "react": ([REACT], TICKET),
    "parallel": ([PARALLEL], TICKET),
    "mapreduce": ([MAPREDUCE], {"texts": ["one", "two", "three"]}),
    "plan": ([PLAN], TICKET),
    "refine": ([REFINE], TICKET),
    "cascade": ([CASCADE], TICKET),
    "team": ([TEAM], TICKET),
    "nested": ([CHAIN, NESTED], {"tickets": ["order A1 came broken", "order A1 came late"]}),
    "people": ([PEOPLE], TICKET),
}
WRITES = {"chain", "react", "parallel", "plan", "team", "nested", "people"}


def answer(body: dict[str, Any]) -> Any:
    """By what is asked, whenever it is asked."""
    last = body["messages"][-1]
    text = str(last["content"])
    if last["role"] == "tool":
        return f"all done: {text}"
    if body.get("tools"):
        return Reply("", tool_calls=[ToolCall("call_1", "refund", '{"order_id": "A1"}')])
    if "Goal:" in text:
        done = "refunded" in text
        return {"next": "finish" if done else "clerk", "task": "pay back", "answer": "paid back" if done else ""}
    rules: list[tuple[str, Any]] = [
        ("The order of", {"order": "A1"}),
        ("Which team", {"label": "billing"}),
        ("toxic?", {"label": "ok"}),
        ("Break down", {"steps": ["pay it back", "tell them"]}),
        ("Complete?", {"ok": True, "feedback": ""}),
        ("Score", {"score": 9.0 if "better" in text else 5.0, "feedback": "be bold"}),
        ("Improve on", "a better one"),
        ("Solve", {"value": 4 if body["model"] == "sage" else 5}),
    ]
    return next(
        (given for words, given in rules if words in text), None if body.get("response_format") else f"<{text}>"
    )


class Lives:
    """The program that lives and dies, and the server that it asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = Script(answer)
        self.number = 0
        self._program = subprocess.Popen(
            [sys.executable, "-W", "error", str(Path(__file__).parents[1] / "support" / "killing.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, cells: list[str], inputs: dict[str, Any], url: str, folder: Path, **order: Any) -> dict[str, Any]:
        """One life; its `requests` too."""
        self.script.requests.clear()
        whole = {"cells": cells, "inputs": inputs, "url": url, "folder": str(folder)}
        whole |= {"die_at": None, "effects": ["keep", "done"], "forget": [], **order}
        assert self._program.stdin
        assert self._program.stdout
        self._program.stdin.write(json.dumps(whole) + "\n")
        self._program.stdin.flush()
        found = json.loads(self._program.stdout.readline())
        return found | {"requests": Counter(json.dumps(r, sort_keys=True) for r in self.script.requests)}

    def close(self) -> None:
        assert self._program.stdin
        assert self._program.stdout
        self._program.stdin.close()
        self._program.wait()
        self._program.stdout.close()


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    made = Lives(tmp_path_factory.mktemp("lives"))
    yield made
    made.close()


def sound(folder: Path) -> bool:
    """Every SQLite file in it passes its own check."""
    files = list(folder.glob("*.sqlite"))
    for file in files:
        with closing(sqlite3.connect(file)) as database:
            if database.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return False
    return bool(files)


@pytest.mark.parametrize("name", CELLS)
def test_a_killed_run_goes_on_and_pays_and_writes_once(lives, tmp_path, name):
    cells, inputs = CELLS[name]
    with serve(lives.script) as server:
        (tmp_path / "whole").mkdir()
        whole = lives.run(cells, inputs, server.base_url, tmp_path / "whole", revive=False)
        assert (whole["ended"], whole["status"]) == (0, "done"), whole
        assert whole["effects"] > 1
        for die_at in range(1, whole["effects"] + 1):
            folder = tmp_path / str(die_at)
            folder.mkdir()
            first = lives.run(cells, inputs, server.base_url, folder, revive=False, die_at=die_at)
            assert first["ended"] == -signal.SIGKILL
            assert sound(folder)
            second = lives.run(cells, inputs, server.base_url, folder, revive=True)
            where = f"killed at effect {die_at} of {whole['effects']}: {second}"
            assert (second["status"], second["output"]) == ("done", whole["output"]), where
            assert first["requests"] + second["requests"] == whole["requests"], where
            assert second["tokens"] == whole["tokens"], where
            assert sound(folder)
            assert refunds(folder) == ("A1\n" if name in WRITES else ""), where


def test_a_run_that_dies_in_each_of_its_lives_comes_to_its_end(lives, tmp_path):
    cells, inputs = CELLS["nested"]
    asked: Counter[str] = Counter()
    (tmp_path / "whole").mkdir()
    with serve(lives.script) as server:
        whole = lives.run(cells, inputs, server.base_url, tmp_path / "whole", revive=False)
        (folder := tmp_path / "torn").mkdir()
        found: dict[str, Any] = {"ended": -signal.SIGKILL}
        died = 0
        while found["ended"] == -signal.SIGKILL:
            found = lives.run(cells, inputs, server.base_url, folder, revive=died > 0, die_at=1)
            asked += found["requests"]
            died += found["ended"] != 0
    assert 1 < died <= whole["effects"]
    assert (found["status"], found["output"], found["tokens"]) == ("done", whole["output"], whole["tokens"])
    assert asked == whole["requests"]
    assert refunds(folder) == "A1\n"
    assert sound(folder)


@pytest.mark.parametrize("name", ["chain", "react"])
def test_a_run_that_died_in_the_middle_of_a_write_waits_for_a_person_who_looked(lives, tmp_path, name):
    cells, inputs = CELLS[name]
    with serve(lives.script) as server:
        first = lives.run(cells, inputs, server.base_url, tmp_path, revive=False, die_at=1, effects=["claim"])
        assert first["ended"] == -signal.SIGKILL
        second = lives.run(cells, inputs, server.base_url, tmp_path, revive=True)
        assert second["status"] == "failed"
        assert "refund('A1') was begun by run r1 and its end is unknown" in second["error"]
        assert (refunds(tmp_path), second["requests"]) == ("", {})
        third = lives.run(cells, inputs, server.base_url, tmp_path, revive=True, forget=["w1"])
    assert third["status"] == "done"
    assert refunds(tmp_path) == "A1\n"


def refunds(folder: Path) -> str:
    file = folder / "refunds"
    return file.read_text() if file.exists() else ""
