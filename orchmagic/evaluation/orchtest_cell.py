"""Reads an `%%orchtest` cell: what is tested, inputs (`name = expression`) and gates."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any

from orchmagic.core.user_code import described
from orchmagic.errors import CellError, InputError, nearest
from orchmagic.evaluation.evaluate_cell import stand_in_functions
from orchmagic.evaluation.gates import GateTest
from orchmagic.language import expression
from orchmagic.language.cell import Cell, CodeStep, Control, parse
from orchmagic.language.magic_line import HelpRequested, Option, parse_names
from orchmagic.language.notebook_variables import filled_line
from orchmagic.runtime.orchestration import Orchestration

MAGIC = "orchtest"
OPTIONS = (
    Option("--stand-in", "words", "a function in place of a tool that writes", "TOOL=FUNCTION,…"),
    Option("--budget", "money", "most that the run may cost, in US dollars"),
    Option("--allow-writes", "flag", "tools that write are called"),
)
HELP = """\
Tests a step, or a whole orchestration, on inputs: a gate that does not hold fails the cell.

%%orchtest triage.extract [OPTIONS]
ticket = "The export button crashes"   an input; other inputs are notebook variables
gate product == "export"               over fields of the output, output, steps, inputs, run, calls, the notebook

Options of %%orchtest
"""
_FORM = "write inputs, ticket = …, and gates, gate output == …"


def help_text() -> str:
    """The text of `%%orchtest?`."""
    width = max(len(option.shown) for option in OPTIONS)
    return HELP + "\n".join(f"  {option.shown:<{width}}  {option.help}" for option in OPTIONS)


def read_test(line: str, body: str, namespace: Mapping[str, Any], find: Callable[[str], Orchestration]) -> GateTest:
    """Reads the cell and checks it; nothing is run. `find` returns the orchestration of a name.

    Raises:
        CellError: the cell is wrong; lists all its problems.
        InputError: a name, an input or a gate is wrong.
        HelpRequested: the line asks for help.
    """
    names, given = parse_names(MAGIC, filled_line(MAGIC, line, namespace), OPTIONS, dotted=True)
    if given.pop("help", False):
        raise HelpRequested(help_text())
    if len(names) != 1:
        found = "names no orchestration" if not names else f"tests one at a time, not {', '.join(names)}"
        raise InputError(f"%%orchtest {found}: write %%orchtest triage, or %%orchtest triage.extract")
    if not body.strip():
        raise InputError(f"%%orchtest {names[0]} is empty: {_FORM}")
    cell = parse(MAGIC, line, body)
    _check_items(cell)
    name, _, step = names[0].partition(".")
    made = find(name)
    inputs: dict[str, Any] = {}
    for item in cell.items:
        if isinstance(item, CodeStep):
            inputs[item.name] = _value(item, ChainMap(inputs, namespace))  # type: ignore[arg-type]  # it is only read
    return GateTest(
        made.step(step) if step else made,
        inputs,
        [item.expression for item in cell.items if isinstance(item, Control)],
        stand_in=stand_in_functions(given.get("stand_in", ()), namespace),
        budget=given.get("budget"),
        allow_writes=given.get("allow_writes", False),
    )


def _check_items(cell: Cell) -> None:
    problems = []
    for item in cell.items:
        write = _FORM.capitalize()
        match item:
            case CodeStep() | Control(keyword="gate", action=None):
                continue
            case Control(keyword="gate"):
                found, write = "`else` after a gate of a test", "Write the gate alone"
            case Control():
                found = f"`{item.keyword}` is no part of a test"
            case _:
                found = f"the step {item.name!r} is no part of a test"
        problems.append(cell.problem(item.line, 0, found, write))
    if problems:
        raise CellError(problems)


def _value(item: CodeStep, names: Mapping[str, Any]) -> Any:
    for name in sorted(expression.names(item.expression)):
        if name not in names:
            close = nearest(name, (n for n in names if not n.startswith("_")))
            raise InputError(f"{item.name} = {item.expression}: {name!r} is no notebook name{close}")
    try:
        return expression.evaluate(item.expression, names)
    except Exception as error:
        raise InputError(f"{item.name} = {item.expression} raised {described(error)}") from error
