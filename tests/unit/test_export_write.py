"""Exported files: where they may be written, and that they run from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from exported_cells import CODE, HELPDESK, ORDERS, RICH, TOOLS, TRIAGE
from exporting import graph_of, ran, served

from orchmagic import Script
from orchmagic.context import CallDefaults
from orchmagic.errors import ExportError
from orchmagic.export import write
from orchmagic.models.reply import Reply
from orchmagic.models.scripted_server import serve


def exported(file: Path, cell: str = TRIAGE, code: str = "", *, overwrite: bool = False) -> Path:
    space = ran(code)
    endpoint = served(base_url=None, max_tokens_field="max_tokens")
    return write(graph_of(cell, space), space, endpoint, CallDefaults(), file, overwrite=overwrite)


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
