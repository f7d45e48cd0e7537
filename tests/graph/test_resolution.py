"""Which place's limit holds, which limits may be open, and which models a call asks."""

from __future__ import annotations

import pytest

from orchmagic.errors import CellError, SettingsError
from orchmagic.graph.model import Call, Graph
from orchmagic.graph.resolution import CallDefaults
from orchmagic.runtime.session import Session

CELL = "step\n    Say something.\n"
# of each limit: a value of the line, of the environment and of the project (as texts), and its built-in value
VALUES = {
    "deadline": ("90s", "80s", "70s", 600.0),
    "timeout": ("9s", "8s", "7s", 60.0),
    "budget": ("0.3", "0.2", "0.1", None),
    "max_tokens": ("900", "800", "700", 200_000),
    "max_steps": ("9", "8", "7", 50),
    "max_iterations": ("9", "8", "7", 8),
    "concurrency": ("9", "8", "7", 16),
    "retry": ("9", "8", "7", 2),
}
OPEN = ("deadline", "timeout", "budget", "max_tokens")
BOUNDED = tuple(name for name in VALUES if name not in OPEN)


@pytest.fixture
def limit(tmp_path, monkeypatch):
    """The limit `name` of a run whose cell, environment, project and `%config` say these things of it."""
    monkeypatch.chdir(tmp_path)
    opened = []

    def resolved(name, line=None, environment=None, project=None, config=None):
        text = "[tool.orchmagic]\n" + ("" if project is None else f'{name.replace("_", "-")} = "{project}"\n')
        (tmp_path / "pyproject.toml").write_text(text, "utf-8")
        environ = {} if environment is None else {f"ORCHMAGIC_{name.upper()}": environment}
        session = Session({}, environ=environ, config=lambda: {} if config is None else {name: config})
        opened.append(session)
        said = "" if line is None else f"--{name.replace('_', '-')} {line}"
        made = session.define("chain", said, CELL)
        if name in {"timeout", "retry"}:
            defaults = session.services.call_defaults(made.options)
            return defaults.timeout if name == "timeout" else defaults.retries
        return getattr(made.definition.limits, name)

    yield resolved
    for session in opened:
        session.close()


def seconds_or_number(text):
    return float(text.rstrip("s"))


@pytest.mark.parametrize("name", VALUES)
def test_the_nearest_place_that_says_something_wins(limit, name):
    line, environment, project, built_in = VALUES[name]
    assert limit(name, line, environment, project) == seconds_or_number(line)
    assert limit(name, None, environment, project) == seconds_or_number(environment)
    assert limit(name, None, None, project) == seconds_or_number(project)
    assert limit(name) == built_in


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.parametrize("place", ["line", "environment", "project", "config"])
def test_a_limit_of_time_or_money_can_be_opened_in_every_place(limit, name, place):
    assert limit(name, **{place: "none"}) is None


@pytest.mark.parametrize("name", OPEN)
def test_a_line_can_open_what_the_settings_bound_and_bound_what_they_open(limit, name):
    written = VALUES[name][0]
    assert limit(name, line="none", project=written) is None
    assert limit(name, line=written, project="none") == seconds_or_number(written)


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("place", ["environment", "project", "config"])
def test_the_settings_cannot_open_what_makes_a_run_end(limit, name, place):
    with pytest.raises(SettingsError, match="'none': write a whole number") as caught:
        limit(name, **{place: "none"})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", BOUNDED)
def test_nor_can_a_line(limit, name):
    with pytest.raises(CellError, match="cannot be 'none'") as caught:
        limit(name, line="none")
    assert [p.write for p in caught.value.problems] == [f"Write a whole number, {0 if name == 'retry' else 1} or more"]


@pytest.mark.parametrize("name", ["reask", "reply_tokens"])
def test_settings_that_no_line_has_must_be_numbers_too(limit, name):
    with pytest.raises(SettingsError, match="'none': write a whole number"):
        limit(name, environment="none")


def test_the_repeats_of_a_reply_that_does_not_fit_come_from_the_step_the_line_and_the_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = Session({}, environ={"ORCHMAGIC_REASK": "5"})
    plain, own = (
        session.define("chain", "", text).definition for text in (CELL, CELL.replace("step", "step(retry=3)"))
    )
    line = session.define("chain", "--retry 4", CELL).definition
    session.close()
    assert [graph.node("step").retry for graph in (plain, own, line)] == [5, 3, 4]


def test_an_open_deadline_is_told_by_a_dry_run_and_a_bounded_one_too(notebook):
    notebook.script("x")
    told = {line: notebook.define(f"%%chain {line}\n{CELL}").estimate().text() for line in ("", "--deadline none")}
    assert "The run stops at 50 steps, 200,000 tokens, 600 s." in told[""]
    assert "The run stops at 50 steps, 200,000 tokens; it has no deadline." in told["--deadline none"]
    both = notebook.define(f"%%chain --deadline none --max-tokens none\n{CELL}").estimate().text()
    assert "The run stops at 50 steps; it has no deadline and no limit of tokens." in both


def test_a_step_says_its_own_timeout_and_length_of_a_reply():
    defaults = CallDefaults(timeout=None, max_tokens=300)
    own, plain = Call("a", (), timeout=5.0, max_tokens=7), Call("a", ())
    assert (defaults.timeout_of(own), defaults.reply_tokens(own)) == (5.0, 7)
    assert (defaults.timeout_of(plain), defaults.reply_tokens(plain)) == (None, 300)


def test_a_run_without_limits_runs(notebook):
    notebook.script("done")
    run = notebook.run(f"%%chain --deadline none --budget none --max-tokens none --timeout none\n{CELL}")
    assert (run.status, run.output) == ("done", "done")
    assert run.record.limits["deadline"] is None


def test_a_budget_of_nothing_bounds_the_estimate(notebook):
    paid = {"provider": "scripted", "input_price": 2, "output_price": 8}
    notebook.session.add_models({"paid": paid})
    assert notebook.define(f"%%chain --model paid --budget 0\n{CELL}").estimate().cost.high == 0


def graph(*nodes, model=None, fallback=()):
    return Graph("g", "chain", nodes, (), (nodes[0].name,), model=model, fallback=fallback)


@pytest.mark.parametrize(
    ("call", "around", "models", "fallbacks"),
    [
        (Call("a", ()), graph(Call("a", ())), ("run",), ("spare",)),
        (Call("a", ()), graph(Call("a", ()), model="cell", fallback=("second",)), ("cell",), ("second",)),
        (Call("a", (), model="own"), graph(Call("a", ()), model="cell"), ("own",), ("spare",)),
        (Call("a", (), fallback=()), graph(Call("a", ()), fallback=("second",)), ("run",), ()),
        (Call("a", (), ladder=("x", "y"), model="own"), graph(Call("a", ())), ("x", "y"), ("spare",)),
    ],
)
def test_the_nearest_model_answers_and_a_step_without_fallback_says_so(call, around, models, fallbacks):
    defaults = CallDefaults(model="run", fallback=("spare",)).within(around)
    assert (defaults.models(call), defaults.fallbacks(call)) == (models, fallbacks)


@pytest.mark.parametrize(
    "option", ["timeout=0", "timeout=1e999", "timeout=none", "max_tokens=0", "retry=1.5", "retry=1e999"]
)
def test_a_step_whose_limit_makes_no_sense_is_a_problem_of_the_cell(notebook, option):
    with pytest.raises(CellError, match=f"{option} cannot be read"):
        notebook.define(f"%%chain\nstep({option})\n    Hi\n")
