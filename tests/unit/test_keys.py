"""Keys come from the environment, a .env file or the keyring, and are shown nowhere."""

from __future__ import annotations

import sys
import types

import pytest

from orchmagic.errors import SettingsError
from orchmagic.models.keys import around, read


def test_a_env_file_adds_to_the_environment_which_wins(tmp_path):
    (tmp_path / ".env").write_text("A=from file\nB=from file\n", "utf-8")
    found = around({"A": "from environment"}, tmp_path)
    assert (found["A"], found["B"], found.get("C")) == ("from environment", "from file", None)
    assert dict(found) == {"A": "from environment", "B": "from file"}
    assert "B" in found


def test_it_is_looked_for_upwards_but_not_beyond_the_project(tmp_path):
    inner = tmp_path / "project" / "notebooks"
    inner.mkdir(parents=True)
    (tmp_path / ".env").write_text("OUTER=1\n", "utf-8")
    assert around({}, inner).get("OUTER") == "1"
    (tmp_path / "project" / "pyproject.toml").write_text("", "utf-8")
    assert around({}, inner).get("OUTER") is None
    (tmp_path / "project" / ".env").write_text("INNER=1\n", "utf-8")
    assert around({}, inner).get("INNER") == "1"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("K=plain", "plain"),
        ("export K = spaced ", "spaced"),
        ('K="with # and spaces"  # why', "with # and spaces"),
        ("K='single'", "single"),
        ("K=value # comment", "value"),
        ("K=sk-with#inside", "sk-with#inside"),
        ("K=", ""),
        ("K=$HOME", "$HOME"),
    ],
)
def test_a_line_of_it(tmp_path, line, value):
    file = tmp_path / ".env"
    file.write_text(f"# K=commented\n\nnonsense\n{line}\n", "utf-8")
    assert read(file) == {"K": value}


def test_a_file_that_cannot_be_read_says_so_without_its_content(tmp_path):
    file = tmp_path / ".env"
    file.write_bytes(b"K=\xff\xfe secret")
    with pytest.raises(SettingsError, match=r"cannot be read: UnicodeDecodeError$"):
        around({}, tmp_path)


def test_values_are_never_shown(tmp_path):
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-secret-000000\n", "utf-8")
    assert "secret" not in repr(around({}, tmp_path))


def test_a_key_may_be_in_the_keyring(monkeypatch, tmp_path):
    ring = types.ModuleType("keyring")
    ring.get_password = lambda service, name: {("orchmagic", "openai"): "sk-ring"}.get((service, name))
    ring.errors = types.SimpleNamespace(KeyringError=OSError)
    monkeypatch.setitem(sys.modules, "keyring", ring)
    found = around({}, tmp_path)
    assert found.get("keyring:openai") == "sk-ring"
    assert found.get("keyring:other") is None
    assert "keyring:other" not in found


def test_without_the_package_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SettingsError, match="pip install keyring"):
        around({}, tmp_path).get("keyring:openai")
