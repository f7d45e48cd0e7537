"""An evaluation whose kernel is killed goes on: no row is lost, and only calls in flight are paid again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchmagic import Script, serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # two kernels start in each test

ROWS, AT_ONCE = 40, 4
LIFE = f"""
import json, sys
from orchmagic import Session, evaluate
space = {{}}
session = Session(space, environ={{"ORCHMAGIC_CACHE": "off"}}, notify=lambda _: None)
session.add_models({{"m": {{"model": "m", "base_url": sys.argv[1], "input_price": 1, "output_price": 1}}}})
cell = session.define("chain", "two --model m", "first\\n    First {{{{ n }}}}\\nsecond\\n    Second {{{{ n }}}} {{{{ first }}}}\\n")
rows = [{{"n": i}} for i in range({ROWS})]
result = evaluate(cell, on=rows, metrics={{"right": "output == 'ok'"}}, concurrency={AT_ONCE})
found = result.details[0]
print(json.dumps({{"runs": found.runs, "unanswered": found.unanswered, "right": found.metrics["right"].value}}))
session.close()
"""


@pytest.mark.parametrize("moment", [1, 5, 12, 25, 40, 60, 79])
def test_only_calls_in_flight_are_asked_again(tmp_path: Path, moment: int):
    asked: list[str] = []
    reached = threading.Event()

    def reply(body):
        asked.append(body["messages"][-1]["content"])
        if len(asked) >= moment:
            reached.set()
        return "ok"

    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "ORCHMAGIC_CACHE_DIR": str(tmp_path / "cache")}
    with serve(Script(reply)) as server:
        command = [sys.executable, "-c", LIFE, server.base_url]
        first = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert reached.wait(200)  # seconds: a busy machine takes more than a minute
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"runs": ROWS, "unanswered": 0, "right": 1.0}
    repeated = len(asked) - 2 * ROWS
    assert {*asked} == {f"First {i}" for i in range(ROWS)} | {f"Second {i} ok" for i in range(ROWS)}
    assert 0 <= repeated <= AT_ONCE
