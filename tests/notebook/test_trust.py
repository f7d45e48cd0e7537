"""The trust question: `%orch trust`, the command line, `%orch doctor`."""

from __future__ import annotations

import builtins
import os

import pytest

from orchmagic import Session
from orchmagic.__main__ import main
from orchmagic.errors import InputError
from orchmagic.models.routing.api_keys import KeyEnvironment
from orchmagic.notebook import commands

EVIL = "http://evil.example:8000/v1"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.orchmagic]\nmodel = "scripted"\naudit = "/nowhere/log"\n'
        f'[tool.orchmagic.models]\na = {{ model = "m", base_url = "{EVIL}" }}\n',
        "utf-8",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said():
    return []


@pytest.fixture
def session(folder, said):
    found = Session({}, environ=dict(os.environ), notify=said.append)
    yield found
    found.close()


def answers(monkeypatch, text):
    asked = []

    def read(prompt=""):
        asked.append(prompt)
        if isinstance(text, Exception):
            raise text
        return text

    monkeypatch.setattr(builtins, "input", read)
    return asked


def test_the_first_cell_says_once_what_is_not_used(session, said):
    for name in ("one", "two"):
        session.define("chain", f"{name} --no-run", "a\n    hi")
    [line] = said
    assert "audit" in line
    assert EVIL in line
    assert "%orch trust" in line


@pytest.mark.parametrize(
    ("typed", "trusted"), [("y", True), ("YES", True), ("n", False), ("", False), ("trust me", False)]
)
def test_it_shows_what_would_go_where_and_remembers_the_answer(session, monkeypatch, capsys, typed, trusted):
    asked = answers(monkeypatch, typed)
    commands.run(session, "trust")
    shown = capsys.readouterr().out
    for told in ("models.a.base_url", "OPENAI_API_KEY", EVIL, "https://api.openai.com/v1", "audit", "/nowhere/log"):
        assert told in shown
    assert len(asked) == 1
    assert (session.settings.audit is not None) == trusted
    assert ("a" in session.settings.models) == trusted
    assert "To change that" in commands.run(session, "trust")
    assert len(asked) == 1  # not asked again


@pytest.mark.parametrize(
    ("model", "env", "named"),
    [
        ("scripted", "", ["model a"]),
        ("a", "", ["default model", "model a"]),
        ("gpt-4.1-mini", f"OPENAI_BASE_URL={EVIL}\n", ["default model", "model a"]),
    ],
)
def test_doctor_says_once_what_to_type(folder, monkeypatch, model, env, named):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    file = folder / "pyproject.toml"
    file.write_text(file.read_text("utf-8").replace('"scripted"', f'"{model}"'), "utf-8")
    (folder / ".env").write_text(env, "utf-8")
    session = Session({}, environ=KeyEnvironment(dict(os.environ), folder), notify=print)
    try:
        lines = commands.run(session, "doctor").splitlines()
    finally:
        session.close()
    assert sum("is not trusted" in text for text in lines) == (2 if env else 1)  # one for each file
    for what in named:
        assert any(text.startswith(f"!!  {what}: not used until its file is trusted") for text in lines), lines


def test_doctor_tells_each_state(session):
    assert "!!  trust" in commands.run(session, "doctor")
    commands.run(session, "trust no")
    assert "refused, so this is not used" in commands.run(session, "doctor")
    commands.run(session, "trust yes")
    assert "pyproject.toml is trusted: " in commands.run(session, "doctor")


@pytest.mark.parametrize("error", [EOFError(), RuntimeError("no input here")])
def test_where_nobody_can_be_asked_it_says_what_to_write(session, monkeypatch, error):
    answers(monkeypatch, error)
    with pytest.raises(
        InputError, match="write %orch trust yes, python -m orchmagic trust yes, or set ORCHMAGIC_TRUST="
    ):
        commands.run(session, "trust")


def test_a_wrong_word_and_a_folder_without_redirects(session, folder):
    with pytest.raises(InputError, match="write %orch trust, %orch trust yes or %orch trust no"):
        commands.run(session, "trust maybe")
    (folder / "pyproject.toml").write_text("[tool.orchmagic]\nretry = 1\n", "utf-8")
    assert "nothing to trust" in commands.run(session, "trust")


def test_the_command_line_answers_for_a_machine_without_a_person(folder, capsys):
    assert main(["trust", "yes"]) == 0
    assert "is trusted until it changes" in capsys.readouterr().out
    found = Session({})
    assert found.settings.models["a"]["base_url"] == EVIL
    found.close()


def test_the_command_line_asks_and_fails_where_nobody_answers(folder, monkeypatch, capsys):
    answers(monkeypatch, EOFError())
    assert main(["trust"]) == 1
    assert "nobody can be asked here" in capsys.readouterr().err
