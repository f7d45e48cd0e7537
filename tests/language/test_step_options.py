"""The tables of step options and control words, and all that is made of them."""

import importlib.util
import re
from pathlib import Path
from typing import get_args

import pytest

from orchmagic.errors import CellError
from orchmagic.graph.model import Call
from orchmagic.language.cell import parse
from orchmagic.language.control_words import ACTIONS, CONTROLS, ActionKind, Keyword
from orchmagic.language.magic_line import usage
from orchmagic.language.step_options import STEP_OPTIONS
from orchmagic.language.syntax import Value
from orchmagic.notebook.completion import complete
from orchmagic.patterns import PATTERNS
from orchmagic.runtime.session import Session

ROOT = Path(__file__).resolve().parents[2]
ALL = [(p.name, option) for p in PATTERNS for option in p.step_options]


@pytest.fixture
def session(notebook):
    return notebook.session


def completed(session: Session, text: str) -> list[str]:
    lines = text.split("\n")
    return [word for word, _ in complete(session, text, len(lines) - 1, lines[-1])]


@pytest.mark.parametrize(("pattern", "option"), ALL, ids=[f"{p}-{o.name}" for p, o in ALL])
def test_every_example_is_one_that_can_be_read(pattern, option):
    assert option.read(Value(option.example)) is not None


@pytest.mark.parametrize(
    "option", [o for o in STEP_OPTIONS if o.name not in {"item", "by", "min", "run"}], ids=lambda o: o.name
)
def test_what_a_step_says_reaches_its_node(session, option):
    node = session.define(
        "chain", "--no-run", f"x({option.name}={option.example})\n    Hi {{{{ item }}}}\n"
    ).definition.nodes[0]
    assert isinstance(node, Call)
    name = option.field or option.name
    assert getattr(node, name) not in {None, ()}


@pytest.mark.parametrize("option", STEP_OPTIONS, ids=lambda o: o.name)
def test_a_value_that_cannot_be_read_says_what_to_write(session, option):
    with pytest.raises(CellError) as caught:
        session.define("chain", "", f"x({option.name}=3 4)\n    Hi\n")
    assert "Write " in str(caught.value)


def test_an_unknown_option_names_the_nearest(session):
    with pytest.raises(CellError, match=r"unknown option 'temperatur'.*Known: model, fallback.*mean 'temperature'\?"):
        session.define("chain", "", "x(temperatur=1)\n    Hi\n")


@pytest.mark.parametrize("pattern", [*PATTERNS], ids=lambda p: p.name)
def test_completion_offers_all_options_of_the_steps_of_a_pattern(session, pattern):
    offered = completed(session, f"%%{pattern.name}\nx(")
    assert [word for word in offered if word.endswith("=")] == [f"{o.name}=" for o in pattern.step_options]
    if pattern.step_options:
        assert "when=" in completed(session, "%%chain\nx(retry=2, wh")


@pytest.mark.parametrize("pattern", [*PATTERNS], ids=lambda p: p.name)
def test_completion_offers_the_control_lines_of_a_pattern(session, pattern):
    assert [w for w in completed(session, f"%%{pattern.name}\n") if w in CONTROLS] == list(pattern.controls)
    if pattern.controls:
        assert completed(session, f"%%{pattern.name}\n{pattern.controls[0][:2]}") == [pattern.controls[0]]


def test_completion_offers_actions_choices_and_the_names_of_an_expression(notebook):
    session = notebook.session
    notebook.space["ticket"] = "t"
    head = "%%chain\nextract -> product: str\n    x\n"
    assert completed(session, f"{head}gate extract else ")[: len(ACTIONS)] == list(ACTIONS)
    assert completed(session, f"{head}x(cache=se") == ["semantic"]
    assert completed(session, f"{head}x(when=ti") == ["ticket"]
    assert completed(session, f"{head}x(when=extract.p") == ["extract.product"]
    assert completed(session, f"{head}x(when=m") == []  # an expression, not the place of an option


def test_help_shows_all_options_of_steps(session):
    shown = usage("chain", (), STEP_OPTIONS)
    assert [o.name for o in STEP_OPTIONS if f"  {o.name}={o.example} " not in shown] == []


def test_each_control_word_and_action_has_one_row():
    assert tuple(CONTROLS) == get_args(Keyword)
    assert tuple(ACTIONS) == get_args(ActionKind)


@pytest.mark.parametrize("word", [*CONTROLS.values()], ids=lambda w: w.name)
def test_the_example_of_a_control_line_is_one(word):
    line = word.example.replace("EXPRESSION", "x > 1")
    assert parse("chain", "", f"x\n    Hi\n{line}\n").items[1].keyword == word.name


@pytest.mark.parametrize("action", [*ACTIONS.values()], ids=lambda a: a.name)
def test_the_example_of_an_action_is_one(action):
    line = f"gate x {action.example.replace('STEP', 'x')}"
    assert parse("chain", "", f"x\n    Hi\n{line}\n").items[1].action.kind == action.name


def test_the_controls_of_a_pattern_are_those_it_takes(session):
    for pattern in PATTERNS:
        for word in CONTROLS.values():
            line = word.example.replace("EXPRESSION", "True")
            try:
                session.define(pattern.name, "", f"x\n    Hi\n{line}\n")
                refused = False
            except CellError as error:
                refused = bool(re.search(rf"has no `{word.name}` line", str(error)))
            if not pattern.one_prompt:
                assert refused is (word.name not in pattern.controls), (pattern.name, word.name)


def test_the_words_of_the_highlighting_are_those_of_the_package():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "labextension" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.FILE.read_text(encoding="utf-8") == module.tables()
    assert all(f"'{o.name}'" in module.tables() for o in STEP_OPTIONS)


def test_the_action_is_behind_the_last_else():
    gate = parse("chain", "", "x\n    Hi\ngate a if b else retry else retry 2\n").items[1]
    assert (gate.expression, gate.action.kind, gate.action.argument) == ("a if b else retry", "retry", 2)
