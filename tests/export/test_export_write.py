"""Exported files: where they may be written, and that they run from the command line."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from exported_cells import APPROVED, CODE, HELPDESK, ORDERS, RICH, TOOLS, TRIAGE
from exporting import graph_of, loaded, ran, served

from orchmagic import Script
from orchmagic.errors import ExportError
from orchmagic.export import write
from orchmagic.graph.resolution import CallDefaults
from orchmagic.models.scripting.reply import Reply
from orchmagic.models.scripting.server import serve


def exported(file: Path, cell: str = TRIAGE, code: str = "", **options: bool) -> Path:
    space = ran(code)
    endpoint = served(base_url=None, max_tokens_field="max_tokens")
    return write(graph_of(cell, space), space, endpoint, CallDefaults(), file, **options)


def test_our_own_file_is_written_again(tmp_path):
    file = exported(tmp_path / "triage.py")
    first = file.read_bytes()
    assert exported(file).read_bytes() == first
    assert [f.name for f in tmp_path.iterdir()] == ["triage.py"]


def test_a_file_of_somebody_else_stays(tmp_path):
    file = tmp_path / "triage.py"
    file.write_text("precious = 1\n")
    with pytest.raises(ExportError, match="was not written by orchmagic"):
        exported(file)
    assert file.read_text() == "precious = 1\n"
    assert exported(file, overwrite=True).read_text() != "precious = 1\n"


def test_a_file_that_was_edited_stays(tmp_path):
    file = exported(tmp_path / "triage.py")
    edited = file.read_text().replace("MAX_TOKENS = 1024", "MAX_TOKENS = 2048")
    file.write_text(edited)
    with pytest.raises(ExportError, match="was edited since"):
        exported(file)
    assert file.read_text() == edited


@pytest.mark.parametrize("name", ["triage.txt", "triage", "my-module.py", "1st.py"])
def test_a_name_that_is_no_module_is_refused(tmp_path, name):
    with pytest.raises(ExportError, match=r"write a name such as triage\.py"):
        exported(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ExportError, match="cannot be written"):
        exported(tmp_path / "nowhere" / "triage.py")


def test_a_graph_that_cannot_leave_writes_nothing(tmp_path):
    with pytest.raises(ExportError):
        exported(tmp_path / "made.py", "%%chain made\nfound = use(1)\nreply\n    {{ found }}\n", "use = lambda x: x\n")
    assert not list(tmp_path.iterdir())


def config(folder: Path) -> dict[str, object]:
    return json.loads((folder / "langgraph.json").read_text())


def test_a_langgraph_json_names_the_graphs_of_its_folder(tmp_path):
    exported(tmp_path / "triage.py", langgraph_json=True)
    assert config(tmp_path) == {"dependencies": ["."], "graphs": {"triage": "./triage.py:serve"}}
    (tmp_path / "langgraph.json").write_text(json.dumps({**config(tmp_path), "env": ".env"}))
    exported(tmp_path / "desk.py", HELPDESK, langgraph_json=True)
    assert config(tmp_path)["graphs"] == {"triage": "./triage.py:serve", "helpdesk": "./desk.py:serve"}
    assert config(tmp_path)["env"] == ".env"


def test_the_function_that_langgraph_json_names_makes_the_graph(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    text = exported(tmp_path / "triage.py", langgraph_json=True).read_text()
    made = loaded(text, tmp_path, "triage_served")
    assert not inspect.signature(made.serve).parameters
    assert made.serve().name == "triage"
    assert "def serve" not in exported(tmp_path / "other.py").read_text()


@pytest.mark.parametrize("found", ["{", "[]", '{"graphs": 1}'])
def test_a_langgraph_json_that_cannot_be_read_stays(tmp_path, found):
    (tmp_path / "langgraph.json").write_text(found)
    with pytest.raises(ExportError, match="mend it, or move it away"):
        exported(tmp_path / "triage.py", langgraph_json=True)
    assert [f.name for f in tmp_path.iterdir()] == ["langgraph.json"]
    assert (tmp_path / "langgraph.json").read_text() == found


def started(file: Path, base_url: str, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OPENAI_API_KEY": "any", "OPENAI_BASE_URL": base_url}
    return subprocess.run(
        [sys.executable, str(file), *arguments], input=said, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_chain_runs_from_the_command_line(tmp_path):
    found = {"product": "disk", "severity": "high", "quote": "my disk"}
    with serve(Script([found, "Sorry."])) as server:
        done = started(exported(tmp_path / "triage.py"), server.base_url, "--ticket", "my disk is full")
    assert (done.stdout, done.returncode) == ("Sorry.\n", 0)


@pytest.mark.slow
def test_a_person_is_asked_at_the_terminal(tmp_path):
    file = exported(tmp_path / "helpdesk.py", HELPDESK)
    with serve(Script([{"label": "human", "confidence": 1}])) as server:
        done = started(file, server.base_url, "--question", "a lawyer?", said="I call you.\n")
    assert done.stdout == "Please answer: a lawyer?\n> I call you.\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("approve\n", "Send Hi: Dear Ann"),
        ('{"subject": "Hello", "body": "Dear all"}\n', "Send Hello: Dear all"),
        ("reject\n", None),
    ],
)
def test_a_person_approves_at_the_terminal(tmp_path, said, sent):
    file = exported(tmp_path / "letter.py", APPROVED)
    with serve(Script([{"subject": "Hi", "body": "Dear Ann"}, "sent"])) as server:
        done = started(file, server.base_url, "--customer", "Ann", said=said)
    assert done.stdout.startswith("Send this to Ann?\n{\n")
    assert [r["messages"][0]["content"] for r in server.requests[1:]] == ([sent] if sent else [])


@pytest.mark.slow
def test_an_agent_prints_its_typed_answer(tmp_path):
    answer = {"answer": "shipped", "order_ids": ["A1"]}
    file = exported(tmp_path / "orders.py", ORDERS, TOOLS)
    with serve(Script([Reply(tool_calls=[("find_order", {"order_id": "A1"})]), answer])) as server:
        done = started(file, server.base_url, "--question", "A1?")
    assert json.loads(done.stdout) == answer


@pytest.mark.slow
def test_missing_and_unknown_arguments_are_explained(tmp_path):
    done = started(exported(tmp_path / "rich.py", RICH, CODE), "http://127.0.0.1:9/v1")
    assert done.returncode == 2
    assert "--question" in done.stderr
