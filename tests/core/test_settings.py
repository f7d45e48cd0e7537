"""Where settings come from, which wins, and what a wrong one says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orchmagic.core.model_entries import DeploymentEntry, MemberEntry
from orchmagic.core.settings import Settings, load
from orchmagic.core.validators import duration
from orchmagic.errors import SettingsError
from orchmagic.models.types import Deployment
from orchmagic.notebook.config import OrchMagic


@pytest.fixture
def project(tmp_path: Path):
    def write(text: str) -> Path:
        (tmp_path / "pyproject.toml").write_text(text, "utf-8")
        return tmp_path

    return write


def test_with_nothing_set_the_defaults_hold(tmp_path):
    assert load(None, {}, tmp_path) == Settings()


def test_every_field_can_be_set():
    """In each of the three places: the traits of `%config` are those of the model, with its help texts."""
    traits = {name: trait.help for name, trait in OrchMagic.class_traits(config=True).items() if name != "live"}
    assert traits == {name: field.description for name, field in Settings.model_fields.items()}


def test_a_models_entry_has_the_fields_of_a_deployment():
    fields = {f.name for f in dataclasses.fields(Deployment)} - {"alias"}
    assert set(DeploymentEntry.model_fields) == fields | {"endpoint"}
    assert set(MemberEntry.model_fields) == set(DeploymentEntry.model_fields) | {"use", "name"}


def test_the_notebook_wins_over_the_environment_and_that_over_the_project(project):
    start = project("[tool.orchmagic]\nretry = 1\nreask = 1\nmodel = 'a'\n")
    found = load({"retry": 3}, {"ORCHMAGIC_RETRY": "2", "ORCHMAGIC_REASK": "2"}, start)
    assert (found.retry, found.reask, found.model) == (3, 2, "a")


def test_the_file_of_the_project_is_read_and_none_above_it(project):
    root = project("[tool.orchmagic]\nmax-steps = 7\n")
    inner = root / "package" / "notebooks"
    inner.mkdir(parents=True)
    assert load(None, {}, inner).max_steps == 7
    (root / "package" / "pyproject.toml").write_text("[project]\nname = 'x'\n", "utf-8")
    assert load(None, {}, inner).max_steps == Settings().max_steps


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ('{"small": {"model": "m",\n "key": "KEY"', "is no JSON at line 2, column"),
        ('"KEY"', "is no JSON object"),
        ('["KEY"]', "is no JSON object"),
    ],
)
def test_models_that_cannot_be_read_say_where_and_never_what_stands_there(tmp_path, written, where):
    key = "sk-proj-" + "a1b2c3d4" * 5
    with pytest.raises(SettingsError, match=f"environment: ORCHMAGIC_MODELS {where}.*write JSON such as") as error:
        load(None, {"ORCHMAGIC_MODELS": written.replace("KEY", key)}, tmp_path)
    assert key not in str(error.value)


def test_models_are_merged_by_alias_and_replaced_whole(project):
    start = project(
        '[tool.orchmagic.models]\nsmall = "qwen2.5:7b"\n'
        'big = { model = "m", base_url = "http://127.0.0.1:1/v1", input_price = 1, output_price = "$2" }\n'
    )
    found = load({"models": {"small": {"model": "other", "tools": "json"}}}, {}, start).models
    assert found["small"] == {"model": "other", "tools": "json"}
    assert found["big"]["output_price"] == 2.0


def test_the_environment_is_read_as_text(tmp_path):
    environ = {
        "ORCHMAGIC_FALLBACK": "small, large",
        "ORCHMAGIC_TIMEOUT": "2m",
        "ORCHMAGIC_DEADLINE": "none",
        "ORCHMAGIC_BUDGET": "$0.05",
        "ORCHMAGIC_CACHE": "off",
        "ORCHMAGIC_CACHE_DIR": str(tmp_path),
        "ORCHMAGIC_MODEL": "",
        "ORCHMAGIC_MODELS": '{"small": {"model": "x"}}',
        "OTHER": "1",
    }
    found = load(None, environ, tmp_path)
    assert found == Settings(
        fallback=("small", "large"),
        timeout=120.0,
        deadline=None,
        budget=0.05,
        cache="off",
        cache_dir=tmp_path,
        models={"small": {"model": "x"}},
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"retries": 1}, "%config OrchMagic: retries is unknown: write one of model, fallback"),
        ({"retry": -1}, "retry is -1: write a whole number, 0 or more"),
        ({"retry": True}, "retry is True: write a whole number"),
        ({"retry": 1.5}, "retry is 1.5: write a whole number"),
        ({"retry": "1.5"}, "retry is '1.5': write a whole number, 0 or more"),
        ({"concurrency": 0}, "concurrency is 0: write a whole number, 1 or more"),
        ({"concurrency": 10**10}, "write a whole number, 1,000,000,000 or less"),
        ({"max_steps": 0}, "max_steps is 0: write a whole number, 1 or more"),
        ({"max_iterations": 0}, "max_iterations is 0: write a whole number, 1 or more"),
        ({"reply_tokens": 0}, "reply_tokens is 0: write a whole number, 1 or more"),
        ({"max_tokens": 0}, "max_tokens is 0: write a whole number, 1 or more"),
        ({"reask": float("inf")}, "reask is inf: write a whole number, 0 or more"),
        ({"deadline": -1}, "deadline is -1: write seconds, or a time such as"),
        ({"deadline": "-90s"}, "deadline is '-90s': write a time such as"),
        ({"deadline": float("nan")}, "deadline is nan: write seconds"),
        ({"timeout": float("inf")}, "timeout is inf: write seconds"),
        ({"timeout": "366d"}, "timeout is '366d': write 365d or less"),
        ({"budget": -0.01}, "budget is -0.01: write US dollars"),
        ({"budget": True}, "budget is True: write US dollars"),
        ({"max_tokens": 10**400}, "write a whole number"),
        ({"timeout": "soon"}, "timeout is 'soon': write a time such as"),
        ({"timeout": 0}, 'write more than no time, such as "90s"'),
        ({"budget": "nan"}, "budget is 'nan': write US dollars such as 0.05"),
        ({"cache": "0"}, "cache is '0': write a time from 10s"),
        ({"cache": "week"}, "cache is 'week'"),
        ({"model": " "}, "model is ' ': write a name in quotes"),
        ({"fallback": {"a": 1}}, "write names separated by commas"),
        ({"models": {"a": {"modle": "x"}}}, "models.a.modle is unknown"),
        ({"models": {"a": {"modle": "x"}}}, "did you mean 'model'?"),
        ({"models": {"a": {"tools": "xml"}}}, 'models.a.tools is \'xml\': write "native" or "json"'),
        ({"models": {"a": {"logprobs": "yes"}}}, "models.a.logprobs is 'yes': write true or false"),
        ({"models": {"a": {"input_price": 1}}}, "models.a has one price: write both"),
        ({"models": {"a": 3}}, "models.a is 3: write a table"),
        ({"models": "{"}, "write JSON such as"),
        ({"models": {"a": {"parameters": 3}}}, "models.a.parameters is 3: write a table"),
    ],
)
def test_a_wrong_setting_says_where_what_and_what_to_write(config, said, tmp_path):
    with pytest.raises(SettingsError) as caught:
        load(config, {}, tmp_path)
    assert said in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load({"retry": "x", "models": {"a": {"tools": 1, "modle": 2}}, "reask": -2}, {}, tmp_path)
    assert len(str(caught.value).splitlines()) == 4


def test_the_problems_of_all_places_are_told_at_once_each_in_a_line(project):
    start = project("[tool.orchmagic]\nretry = -1\n")
    with pytest.raises(SettingsError) as caught:
        load({"timeout": "soon"}, {"ORCHMAGIC_BUGDET": "1", "ORCHMAGIC_RETRY": "x"}, start)
    told = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in told] == [
        f"[tool.orchmagic] of {start / 'pyproject.toml'}",
        "environment",
        "environment",
        "%config OrchMagic",
    ]


def test_an_unknown_variable_offers_the_nearest(tmp_path):
    with pytest.raises(SettingsError, match=r"environment: ORCHMAGIC_BUGDET is unknown.*'ORCHMAGIC_BUDGET'"):
        load(None, {"ORCHMAGIC_BUGDET": "1"}, tmp_path)


@pytest.mark.parametrize("text", ["[tool.orchmagic\n", "tool = 3\n", "[tool]\norchmagic = 3\n"])
def test_a_project_file_that_cannot_be_read_is_named(project, text):
    start = project(text)
    with pytest.raises(SettingsError, match=r"pyproject\.toml cannot be read"):
        load(None, {}, start)


def test_a_wrong_key_of_the_project_is_named_with_its_file(project):
    start = project("[tool.orchmagic]\nmax-stepps = 7\n")
    with pytest.raises(SettingsError, match=r"\[tool\.orchmagic\] of .*pyproject\.toml: max-stepps is unknown"):
        load(None, {}, start)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5m", 90), ("2h", 7200), (" 1 d ", 86400), ("0s", 0)])
def test_durations(text, seconds):
    assert duration(text) == seconds
