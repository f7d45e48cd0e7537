"""Rows on worker processes: a worker that is killed loses no row, and only its calls in flight are made again."""

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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # workers start in each test

ROWS, AT_ONCE = 60, 6
LIFE = f"""
import json, linecache, signal, sys
from orchmagic import Session, evaluate

CELL = '''
import os
from pathlib import Path

def seen(n):
    (Path({{folder!r}}) / str(os.getpid())).touch()
    return n
'''

def main(engine):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
    space, code = {{}}, CELL.format(folder=sys.argv[2])
    linecache.cache["<cell>"] = (len(code), None, code.splitlines(keepends=True), "<cell>")
    exec(compile(code, "<cell>", "exec"), space)
    session = Session(space, environ={{}}, notify=lambda _: None)
    session.add_models({{"m": {{"model": "m", "base_url": sys.argv[1], "input_price": 1, "output_price": 1}}}})
    cell = session.define("chain", "two --model m", "k = seen(n)\\nfirst\\n    First {{{{ k }}}}\\nsecond\\n    Second {{{{ n }}}} {{{{ first }}}}\\n")
    rows = [{{"n": i}} for i in range({ROWS})]
    try:
        result = evaluate(cell, on=rows, metrics={{"right": "output == 'ok'"}}, concurrency={AT_ONCE}, engine=engine)
    finally:
        print("stopped" if sys.exc_info()[0] else "ended", flush=True)
    found = result.details[0]
    print(json.dumps({{"runs": found.runs, "unanswered": found.unanswered, "right": found.metrics["right"].value}}))
    session.close()
"""
PROCESSES = """
if __name__ == "__main__":
    main("processes:2")
"""
DASK = """
if __name__ == "__main__":
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        main(client.get_executor(pure=False))
"""


class Endpoint:
    """Answers "ok", notes what it was asked, and calls `at_moment` once, when it has had `moment` questions."""

    def __init__(self, folder: Path, moment: int, at_moment) -> None:
        self.folder, self.moment, self.at_moment = folder, moment, at_moment
        self.asked: list[str] = []
        self.reached = threading.Event()

    def reply(self, body) -> str:
        self.asked.append(body["messages"][-1]["content"])
        if len(self.asked) == self.moment:
            self.at_moment(self)
            self.reached.set()
        return "ok"

    def workers(self) -> list[int]:
        return [int(file.name) for file in self.folder.iterdir()]

    def kill_one(self) -> None:
        os.kill(self.workers()[0], signal.SIGKILL)


def life(tmp_path: Path, endpoint: Endpoint, kind: str):
    """Starts the program; (server, process)."""
    program = tmp_path / "life.py"
    program.write_text(LIFE + kind)
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "ORCHMAGIC_CACHE_DIR": str(tmp_path / "cache")}
    server = serve(Script(endpoint.reply))
    url = server.__enter__().base_url
    command = [sys.executable, str(program), url, str(endpoint.folder)]
    return server, lambda: subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )


@pytest.mark.parametrize(("kind", "moment"), [(PROCESSES, 40), (DASK, 40)], ids=["processes", "dask"])
def test_a_killed_worker_loses_no_row_and_only_its_calls_in_flight_are_made_again(tmp_path, kind, moment):
    if kind is DASK:
        pytest.importorskip("distributed")
    folder = tmp_path / "workers"
    folder.mkdir()
    endpoint = Endpoint(folder, moment, Endpoint.kill_one)
    server, start = life(tmp_path, endpoint, kind)
    try:
        out, err = start().communicate(timeout=200)
    finally:
        server.__exit__(None, None, None)
    assert endpoint.reached.is_set(), err
    assert out.startswith("ended"), err
    assert json.loads(out.splitlines()[-1]) == {"runs": ROWS, "unanswered": 0, "right": 1.0}
    assert {*endpoint.asked} == {f"First {i}" for i in range(ROWS)} | {f"Second {i} ok" for i in range(ROWS)}
    assert len(endpoint.asked) - 2 * ROWS <= AT_ONCE


def test_an_interrupt_stops_the_workers_and_the_same_call_goes_on(tmp_path):
    folder = tmp_path / "workers"
    folder.mkdir()
    endpoint = Endpoint(folder, 30, lambda _: None)
    server, start = life(tmp_path, endpoint, PROCESSES)
    try:
        first = start()
        assert endpoint.reached.wait(120)
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=60)
        assert out == "stopped\n", err
        assert not [pid for pid in endpoint.workers() if _runs(pid)]
        out, err = start().communicate(timeout=120)
    finally:
        server.__exit__(None, None, None)
    assert json.loads(out.splitlines()[-1])["runs"] == ROWS, err
    assert len(endpoint.asked) - 2 * ROWS <= AT_ONCE


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except FileNotFoundError:
        return False
