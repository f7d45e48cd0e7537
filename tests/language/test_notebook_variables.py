"""Notebook variables on the magic line and as models of a step: their values are put in, or one line says why not."""

import pathlib
from enum import Enum, StrEnum
from pathlib import Path

import pytest

from orchmagic import Script, install
from orchmagic.errors import CellError
from orchmagic.language.cell import parse
from orchmagic.language.magic_line import parse_options
from orchmagic.language.notebook_variables import filled_line, filled_models


class Kind(str, Enum):  # noqa: UP042 - its str() is not its value
    FAST = "fast-1"


class Named(StrEnum):
    FAST = "fast-1"


SPACE = {
    "pathlib": pathlib,
    "KIND": Kind.FAST,
    "MODEL": "openai/gpt-x",
    "N": 3,
    "COST": 0.05,
    "MODELS": ["a", "b"],
    "NAME": Named.FAST,
    "cfg": {"model": "m", "list": ["x", "y"]},
    "words": "two words",
    "quote": 'a "b" c',
    "path": Path("/tmp/x"),
    "dash": "-x",
    "braces": "{MODEL}",
    "frame": object(),
    "none": None,
    "topic": "bees",
}


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("t --model {MODEL}", "model", "openai/gpt-x"),
        ("t --model $MODEL", "model", "openai/gpt-x"),
        ("t --model=$MODEL", "model", "openai/gpt-x"),
        ("t --model={MODEL}", "model", "openai/gpt-x"),
        ("t --model {cfg.model}", "model", "m"),
        ("t --model {cfg['model']}", "model", "m"),
        ("t --model {cfg['list'][1]}", "model", "y"),
        ("t --model {MODELS[0]}", "model", "a"),
        ("t --model ollama/{MODELS[0]}:7b", "model", "ollama/a:7b"),
        ("t --model {NAME}", "model", "fast-1"),
        ("t --fallback {MODELS}", "fallback", ("a", "b")),
        ("t --fallback $MODEL,large", "fallback", ("openai/gpt-x", "large")),
        ("t --retry {N}", "retry", 3),
        ("t --budget {COST}", "budget", 0.05),
        ("t --thread {words}", "thread", "two words"),
        ("t --thread {quote}", "thread", 'a "b" c'),
        ('t --thread "x {quote}"', "thread", 'x a "b" c'),
        ("t --thread 'x {words}'", "thread", "x two words"),
        ("t --thread {path}", "thread", "/tmp/x"),
        ("t --thread {dash}", "thread", "-x"),
        ("{topic}", "name", "bees"),
        ("t --budget $0.05", "budget", 0.05),
        ("t --thread a{3}b$", "thread", "a{3}b$"),
        ("t --thread x$MODEL", "thread", "x$MODEL"),
    ],
)
def test_values_are_put_into_the_magic_line(line, key, value):
    assert getattr(parse_options("chain", filled_line("chain", line, SPACE)), key) == value


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("t --model {MODLE}", "did you mean 'MODEL'"),
        ("t --model $MODLE", "the notebook has no variable 'MODLE'"),
        ("t --model {cfg.other}", "is not there"),
        ("t --model {MODELS[7]}", "is not there"),
        ("t --model {frame}", "is of type object"),
        ("t --model {none}", "is of type NoneType"),
        ("t --model {braces}", "Write it into the line itself"),
        ("t --thread '{quote}'", "is not there"),
    ],
)
def test_what_cannot_be_put_in_is_refused_where_it_stands(line, told):
    space = SPACE | {"quote": SPACE["quote"].replace('"', "'")}
    with pytest.raises(CellError, match=told if "quote" not in line else "has a quote") as caught:
        filled_line("chain", line, space)
    assert caught.value.problems[0].column == len("%%chain ") + line.index("{" if "{" in line else "$")


@pytest.mark.parametrize(
    ("header", "filled"),
    [
        ("say(model=MODEL)", "say(model='openai/gpt-x')"),
        ("say(retry=1, model = MODEL, fallback=[MODEL, large])", "say(retry=1, model = 'openai/gpt-x', fallback=['openai/gpt-x', large])"),
        ("say(fallback=MODELS)", "say(fallback=['a', 'b'])"),
        ("say(fallback=[MODELS, large])", "say(fallback=['a', 'b', large])"),
        ("say(model=NAME) -> str", "say(model='fast-1') -> str"),
        ("say(model=large)", "say(model=large)"),
        ("say(model='MODEL')", "say(model='MODEL')"),
        ("say(model=pathlib)", "say(model=pathlib)"),
        ("say(model=KIND)", "say(model='fast-1')"),
        ("say(fallback=[MODLE, MODEL])", "say(fallback=[MODLE, 'openai/gpt-x'])"),
        ("say(model=small)", "say(model=small)"),
        ("say(model=openai/gpt-4o)", "say(model=openai/gpt-4o)"),
    ],
)  # fmt: skip
def test_a_model_of_a_step_may_be_a_variable(header, filled):
    cell = parse("chain", "t", f"x = 1\n{header}\n    hi MODEL\n")
    body = filled_models(cell, SPACE | {"small": "not this"}, {"small"}.__contains__)
    assert body == f"x = 1\n{filled}\n    hi MODEL\n"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("model=frame", "'frame' is of type object"),
        ("model=none", "'none' is of type NoneType"),
        ("model=N", "'N' is of type int"),
        ("model=cfg", "'cfg' is of type dict"),
        ("fallback=[MODEL, frame]", "'frame' is of type object"),
        ("model=nothing", "'nothing' is empty"),
        ("fallback=no_models", "'no_models' is empty"),
        ("fallback=mixed", "'mixed' is of type list"),
    ],
)
def test_a_variable_that_holds_no_model_is_refused_where_it_stands(option, told):
    cell = parse("chain", "t", f"x = 1\nsay({option})\n    hi\n")
    space = SPACE | {"nothing": "", "no_models": [], "mixed": ["a", 1]}
    with pytest.raises(CellError, match=told) as caught:
        filled_models(cell, space, set().__contains__)
    [problem] = caught.value.problems
    assert (problem.line, problem.column) == (3, 4 + option.index("=") + 1)
    assert problem.source == f"say({option})"


def test_a_run_and_its_resume_use_the_value_that_was_there(notebook):
    notebook.script(lambda _: "ok")
    two = install(Script(lambda _: "ok"), "two")
    cell = '%%chain t --no-cache --model {MODEL}\nsay(model=STEP)\n    hi\napprove "ok?"\nlast\n    more\n'
    run = notebook.run(cell, MODEL="scripted", STEP="scripted/two")
    notebook.space.update(MODEL="other", STEP="other")
    notebook.session.defined["t"].refresh()
    assert run.approve().status == "done"
    assert (len(two.requests), len(notebook.scripted.requests)) == (1, 1)
    source = notebook.session.services.history.store.run(run.id).source
    assert source.startswith("%%chain t --no-cache --model scripted\nsay(model='scripted/two')")


def test_an_alias_is_not_hidden_by_a_variable(notebook):
    tiny = install(Script(lambda _: "ok"), "tiny")
    notebook.session.add_models({"small": {"provider": "scripted", "model": "tiny"}})
    assert notebook.run("%%chain t --no-cache\nsay(model=small)\n    hi\n", small="scripted/two").status == "done"
    assert len(tiny.requests) == 1
