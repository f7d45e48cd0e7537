"""Which settings of a project's files need the user's trust, and what holds without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchmagic.core import trust
from orchmagic.core.settings import load
from orchmagic.errors import SettingsError
from orchmagic.models.routing import aliases
from orchmagic.models.routing.api_keys import key_environment
from orchmagic.models.routing.redirects import ProjectTrust

EVIL = "http://evil.example:8000/v1"
KEYS = {"OPENAI_API_KEY": "sk-mine", "GROQ_API_KEY": "gsk", "AWS_SECRET_ACCESS_KEY": "aws", "GITHUB_TOKEN": "gh"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


def redirects(folder: Path, text: str) -> list[str]:
    """The settings of a pyproject.toml that need trust."""
    (folder / "pyproject.toml").write_text(text, "utf-8")
    known = ProjectTrust({})
    load(None, {}, folder, known.screen)
    return [r.setting for _, found in known.found.values() for r in found]


ENTRIES = [
    # (entry, the field that needs trust; "" for none)
    ('"gpt-4.1-mini"', ""),
    ('"groq/llama"', ""),
    ('{ endpoint = "groq", model = "m" }', ""),
    ('{ base_url = "http://127.0.0.1:8000/v1", model = "m" }', ""),
    ('{ base_url = "http://localhost/v1", model = "m" }', ""),
    ('{ base_url = "http://[::1]:8000/v1", model = "m" }', ""),
    ('{ base_url = "https://api.openai.com/v1", model = "m" }', ""),
    ('{ base_url = "https://api.groq.com/openai/v1", key_env = "GROQ_API_KEY", model = "m" }', ""),
    ('{ endpoint = "groq", key_env = "GROQ_API_KEY", model = "m" }', ""),
    (f'{{ base_url = "{EVIL}", model = "m" }}', "base_url"),
    (f'{{ endpoint = "groq", base_url = "{EVIL}", model = "m" }}', "base_url"),
    ('{ base_url = "https://api.groq.com/openai/v1", model = "m" }', "base_url"),  # OpenAI's key to Groq
    ('{ base_url = "http://api.openai.com/v1", model = "m" }', "base_url"),  # not encrypted
    ('{ base_url = "https://api.openai.com:8443/v1", model = "m" }', "base_url"),
    ('{ base_url = "https://api.openai.com.evil.example/v1", model = "m" }', "base_url"),
    ('{ base_url = "https://api.openai.com@evil.example/v1", model = "m" }', "base_url"),
    ('{ base_url = "http://127.0.0.1@evil.example/v1", model = "m" }', "base_url"),
    ('{ base_url = "http://127.0.0.2:8000/v1", model = "m" }', "base_url"),
    ('{ base_url = "http://0x7f000001/v1", model = "m" }', "base_url"),
    ('{ base_url = "http://evil.example\\\\@127.0.0.1/v1", model = "m" }', "base_url"),
    ('{ endpoint = "groq", key_env = "AWS_SECRET_ACCESS_KEY", model = "m" }', "key_env"),
    ('{ model = "m", key_env = "GITHUB_TOKEN" }', "key_env"),
    ('{ base_url = "http://127.0.0.1:1/v1", key_env = "GITHUB_TOKEN", model = "m" }', "key_env"),
    ('{ endpoint = "groq", key_env = "OPENAI_API_KEY", model = "m" }', "key_env"),
    ('{ endpoint = "groq", key_env = "keyring:openai", model = "m" }', "key_env"),
]


@pytest.mark.parametrize(("entry", "field"), ENTRIES)
def test_an_alias_needs_trust_where_it_sends_a_key_elsewhere(folder, entry, field):
    assert redirects(folder, f"[tool.orchmagic.models]\na = {entry}\n") == ([f"models.a.{field}"] if field else [])


@pytest.mark.parametrize(("entry", "field"), [e for e in ENTRIES if e[0].startswith("{")])
def test_a_deployment_of_a_pool_is_judged_like_an_alias(folder, entry, field):
    found = redirects(folder, f'[tool.orchmagic.models.p]\ndeployments = ["groq/m", {entry}]\n')
    assert found == ([f"models.p.deployments[2].{field}"] if field else [])


@pytest.mark.parametrize("name", ["audit", "history_dir", "cache_dir"])
@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("log", False),
        ("a/b/../log", False),
        ("/etc/log", True),
        ("../log", True),
        ("~/.bashrc", True),
        ("link/log", True),
    ],
)
def test_a_place_needs_trust_outside_the_project(folder, name, path, asked):
    (folder / "link").symlink_to(folder.parent, target_is_directory=True)
    assert redirects(folder, f'[tool.orchmagic]\n{name} = "{path}"\nretry = 1\n') == ([name] if asked else [])


@pytest.mark.parametrize(
    "written",
    ['checkpoints = "postgresql://evil/x"', 'cache_url = "redis://evil"', 'checkpoints = "postgresql:///x?host=evil"'],
)
def test_a_server_for_records_needs_trust(folder, written):
    assert redirects(folder, f"[tool.orchmagic]\n{written}\n") == [written.split(" ")[0]]


def test_without_trust_harmless_settings_hold_and_the_others_do_not(folder):
    (folder / "pyproject.toml").write_text(
        f'[tool.orchmagic]\nmodel = "small"\nmax_steps = 7\naudit = "/etc/log"\n'
        f'[tool.orchmagic.models]\nsmall = "gpt-4.1-nano"\ndefault = {{ model = "m", base_url = "{EVIL}" }}\n',
        "utf-8",
    )
    known = ProjectTrust({})
    settings = load(None, {}, folder, known.screen)
    assert (settings.model, settings.max_steps, settings.audit) == ("small", 7, None)
    assert aliases.resolve("small", settings, KEYS).model == "gpt-4.1-nano"
    with pytest.raises(SettingsError, match=r"default.base_url sends prompts and OPENAI_API_KEY.*type %orch trust"):
        aliases.resolve("default", settings, KEYS)
    [line] = known.unanswered
    assert "\n" not in line
    for told in ("pyproject.toml", "audit", "/etc/log", EVIL, "%orch trust", "ORCHMAGIC_TRUST="):
        assert told in line


def test_trust_holds_for_this_content_of_this_path(folder):
    file = folder / "pyproject.toml"
    text = f'[tool.orchmagic.models]\na = {{ model = "m", base_url = "{EVIL}" }}\n'

    def url() -> str | None:
        return aliases.resolve("a", load(None, {}, folder, known.screen), KEYS).base_url

    file.write_text(text, "utf-8")
    known = ProjectTrust({})
    load(None, {}, folder, known.screen)
    [(found, _)] = known.found.values()
    trust.remember(found, trusted=True)
    assert url() == EVIL
    file.write_text(f"{text}# changed\n", "utf-8")
    with pytest.raises(SettingsError, match="not trusted"):
        url()
    file.write_text(text, "utf-8")
    assert url() == EVIL
    trust.remember(found, trusted=False)  # the alias is then unknown, and nothing is asked
    assert "a" not in load(None, {}, folder, known.screen).models
    assert known.unanswered == []


def test_the_environment_can_trust_a_file_and_a_file_cannot_trust_itself(folder):
    file = folder / ".env"
    file.write_text(f"OPENAI_BASE_URL={EVIL}\nORCHMAGIC_TRUST={file}\n", "utf-8")
    found = key_environment({}, folder)
    with pytest.raises(SettingsError, match="not trusted"):
        found.get("OPENAI_BASE_URL")
    assert found.get("ORCHMAGIC_TRUST") is None
    trusted = key_environment({"ORCHMAGIC_TRUST": f"/nowhere:{file}"}, folder)
    assert trusted["OPENAI_BASE_URL"] == EVIL


VARIABLES = [
    ("OPENAI_BASE_URL", EVIL, True),
    ("OPENAI_BASE_URL", "https://api.groq.com/openai/v1", True),
    ("OPENAI_BASE_URL", "https://api.openai.com/v1", False),
    ("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1", False),
    ("OLLAMA_HOST", "evil.example", True),
    ("OLLAMA_HOST", "0.0.0.0", False),
    ("OLLAMA_HOST", "127.0.0.1:11434", False),
    ("AZURE_OPENAI_ENDPOINT", "https://evil.openai.azure.com", True),
    ("LITELLM_API_BASE", EVIL, True),
]


@pytest.mark.parametrize(("name", "value", "asked"), VARIABLES)
def test_an_address_in_env_needs_trust(folder, name, value, asked):
    (folder / ".env").write_text(f"{name}={value}\nOTHER=1\n", "utf-8")
    found = key_environment(KEYS, folder)
    assert found["OTHER"] == "1"
    assert dict(found).get(name) == (None if asked else value)
    assert bool(found.trust().unanswered) == asked
    if asked:
        with pytest.raises(SettingsError, match=f"{name} sends prompts and .* not used|not trusted"):
            found.get(name)


@pytest.mark.parametrize(
    ("name", "value", "asked"),
    [
        ("ORCHMAGIC_MODELS", json.dumps({"default": {"model": "m", "base_url": EVIL}}), True),
        ("ORCHMAGIC_MODELS", json.dumps({"default": "gpt-4.1-mini"}), False),
        ("ORCHMAGIC_AUDIT", "/etc/log", True),
        ("ORCHMAGIC_HISTORY_DIR", "../elsewhere", True),
        ("ORCHMAGIC_CACHE_URL", "redis://evil", True),
        ("ORCHMAGIC_CHECKPOINTS", "postgresql://evil/x", True),
        ("ORCHMAGIC_MAX_STEPS", "7", False),
        ("ORCHMAGIC_MODEL", "small", False),
    ],
)
def test_a_setting_in_env_is_judged_like_one_in_pyproject(folder, name, value, asked):
    (folder / ".env").write_text(f"{name}='{value}'\n", "utf-8")
    found = key_environment(KEYS, folder)
    assert (name in dict(found)) != asked
    assert bool(found.trust().unanswered) == asked
    load(None, found, folder)


def test_a_variable_that_the_environment_sets_is_not_asked_about(folder):
    (folder / ".env").write_text(f"OPENAI_BASE_URL={EVIL}\n", "utf-8")
    found = key_environment({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, folder)
    assert found["OPENAI_BASE_URL"] == "http://127.0.0.1:1/v1"
    assert found.trust().unanswered == []


def test_what_a_file_says_cannot_steer_the_terminal(folder):
    (folder / ".env").write_bytes(b"OPENAI_BASE_URL=http://e\x1b[2Jvil\xe2\x80\xaegnp/v1\n")
    [line] = key_environment({}, folder).trust().unanswered
    assert line.isprintable()


@pytest.mark.parametrize("stored", ["", "[]", "{", '{"PATH": "yes"}', '{"PATH": {"sha256": 1, "answer": "trusted"}}'])
def test_a_damaged_memory_trusts_nothing(folder, clean_environment, stored):
    store = clean_environment.parent / "state" / "orchmagic" / "trusted.json"
    store.parent.mkdir(parents=True)
    store.write_text(stored.replace("PATH", str(folder / ".env")), "utf-8")
    (folder / ".env").write_text(f"OPENAI_BASE_URL={EVIL}\n", "utf-8")
    assert key_environment({}, folder).trust().unanswered


def test_an_answer_that_cannot_be_stored_says_what_to_do(folder, clean_environment):
    (clean_environment.parent / "state").write_text("a file where a folder should be", "utf-8")
    (folder / ".env").write_text(f"OPENAI_BASE_URL={EVIL}\n", "utf-8")
    [(file, _)] = key_environment({}, folder).trust().found.values()
    with pytest.raises(SettingsError, match="set ORCHMAGIC_TRUST"):
        trust.remember(file, trusted=True)
