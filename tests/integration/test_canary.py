"""A key is nowhere but in the request: not in an output, a trace, the cache, the store, an export or a saved notebook.

The endpoint here is as careless as can be: it repeats the key, and the whole head of the request, in its errors.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from orchmagic import Session, views
from orchmagic.views import answer

pytestmark = pytest.mark.slow

CANARY = "sk-canary-0123456789abcdefXYZ"
CELL = """%%chain triage
extract -> name: str
    Read {{ text }}
reply
    About {{ extract.name }}
"""


class Careless(ThreadingHTTPServer):
    """Answers by `statuses`, in order, then with 200; `heads` are the heads of all requests."""

    def __init__(self, statuses: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Careless)
        self.statuses = statuses
        self.heads: list[str] = []


class _Careless(BaseHTTPRequestHandler):
    server: Careless

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heads.append(str(self.headers))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        said = json.dumps({"name": "lamp"}) if asked.get("response_format") else "the reply"
        word = "delta" if asked.get("stream") else "message"
        good = {"choices": [{"index": 0, word: {"role": "assistant", "content": said}, "finish_reason": "stop"}]}
        bad = {"error": {"message": f"bad key {CANARY}; you sent: {self.headers}", "code": "x", "type": CANARY}}
        body = json.dumps(good if status == 200 else bad).encode()
        if status == 200 and asked.get("stream"):
            body = b"data: " + body + b"\n\ndata: [DONE]\n\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Echo", CANARY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`endpoint(500, 401)` is a careless server that begins with those answers; the environment leads to it."""
    servers: list[Careless] = []

    def start(*statuses: int) -> Careless:
        server = Careless(list(statuses))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/v1"
        for name, value in {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": url, "ORCHMAGIC_MODEL": "m"}.items():
            monkeypatch.setenv(name, value)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def files(folder: Path) -> bytes:
    return b"".join(f.read_bytes() for f in folder.rglob("*") if f.is_file())


@pytest.mark.parametrize(
    ("statuses", "status"), [((), "done"), ((500,), "done"), ((401,), "failed"), ((500, 500, 500), "failed")]
)
def test_a_key_is_in_the_request_and_nowhere_else(endpoint, tmp_path, monkeypatch, capsys, statuses, status):
    server = endpoint(*statuses)
    monkeypatch.setenv("ORCHMAGIC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ORCHMAGIC_HISTORY_DIR", str(tmp_path / "history"))
    said: list[str] = []
    session = Session({"text": "a lamp"}, notify=said.append)
    made = session.define("chain", "triage --retry 2", CELL.partition("\n")[2])
    run = made()
    assert run.status == status
    assert all(CANARY in head for head in server.heads)
    record = run.record
    shown = [answer.bundle(record), views.bundle(record), record.to_json(), run.receipt(), run.receipt().totals]
    told = [run.receipt().text, run.receipt()._repr_html_(), repr(run), repr(made), str(run.error), *said]
    events = [repr(e) for e in run.trace.events]
    made.export(tmp_path / "triage.py")
    session.close()
    assert CANARY not in json.dumps(shown, default=repr) + "".join(told + events) + str(capsys.readouterr())
    assert CANARY.encode() not in files(tmp_path)
    assert b"lamp" in files(tmp_path)  # there is something in those files


def test_an_error_names_the_variable_and_not_its_value(endpoint):
    endpoint(401)
    session = Session({"text": "a lamp"})
    error = session.define("chain", "triage --no-cache", CELL.partition("\n")[2])().error
    session.close()
    assert "OPENAI_API_KEY" in error
    assert CANARY not in error


@pytest.mark.timeout(120)
def test_a_saved_notebook_holds_no_key(endpoint, tmp_path, monkeypatch):
    endpoint(500)
    monkeypatch.setenv("ORCHMAGIC_HISTORY_DIR", str(tmp_path / "history"))
    cells = [
        "%load_ext orchmagic\ntext = 'a lamp'",
        CELL,
        "triage.last.receipt()",
        "%orch models",
        "%orch runs",
        "%orch doctor",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    NotebookClient(book, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    saved = nbformat.writes(book)
    assert "the reply" in saved
    assert "bad key" in saved  # what the endpoint said is told, without the key
    assert CANARY not in saved
    assert CANARY.encode() not in files(tmp_path)
