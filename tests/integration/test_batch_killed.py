"""A kernel that is killed while it waits for a batch: the next one collects that batch, and nothing is paid twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchmagic import Script, serve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on Windows"),
]

LIFE = """
import json, os, sys
from orchmagic import Session
from orchmagic.trace.events import BatchSent

def told(event):
    if isinstance(event, BatchSent):
        print("sent", flush=True)

session = Session({"papers": [f"paper {n}" for n in range(20)]}, environ=dict(os.environ))
cell = session.define("chain", sys.argv[1], sys.argv[2])
if sys.argv[3] == "resume":
    run = session.lookup.run("r1").resume()
else:
    run = cell.prepare()
    run.watch(told)
    run.start()
run.wait()
print(json.dumps([run.status, run.output, run.cost, run.record.usage.total]), flush=True)
session.close()
"""
CELL = "kinds(over=papers, item=paper)\n    Classify {{ paper }}\nlast\n    Sum {{ kinds }}\n"


class Lives:
    def __init__(self, server: Any, folder: Path) -> None:
        model = {"base_url": server.base_url, "model": "m", "batch": True, "input_price": 10, "output_price": 20}
        self.environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "ORCHMAGIC_MODELS": json.dumps({"night": model}),
            "ORCHMAGIC_MODEL": "night",
            "ORCHMAGIC_BATCH_QUIET": "0.5",
            "ORCHMAGIC_BATCH_POLL": "0.1",
            "ORCHMAGIC_HISTORY_DIR": str(folder / "history"),
            "ORCHMAGIC_CACHE_DIR": str(folder / "cache"),
        }

    def begin(self, line: str, how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", LIFE, line, CELL, how]
        return subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, text=True)

    def killed(self, line: str) -> None:
        """A life that ends while all its requests wait in a batch."""
        life = self.begin(line, "run")
        assert life.stdout is not None
        for text in life.stdout:
            if text.strip() == "sent":
                break
        life.kill()
        life.wait()
        life.stdout.close()

    def whole(self, line: str, how: str) -> Any:
        out, _ = self.begin(line, how).communicate(timeout=120)
        return json.loads(out.splitlines()[-1])


@pytest.fixture
def server() -> Iterator[Any]:
    with serve(Script(lambda body: body["messages"][-1]["content"].split()[-1])) as made:
        yield made


@pytest.mark.parametrize(("line", "how"), [("sort", "run"), ("sort --no-cache", "resume")])
def test_a_killed_kernel_loses_no_batch(server: Any, tmp_path: Path, line: str, how: str) -> None:
    lives = Lives(server, tmp_path)
    server.batches.looks = 10**9
    lives.killed(line)
    assert server.requests == []
    server.batches.end_all()
    status, output, cost, tokens = lives.whole(line, how)
    assert (status, json.loads(output)) == ("done", [str(n) for n in range(20)])
    assert [len(batch) for batch in server.batches.received] == [20, 1]
    assert len(server.requests) == 21, "each request is answered, and paid, once"
    assert 0 < cost < tokens * 20 / 1e6
