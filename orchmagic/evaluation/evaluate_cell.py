"""Reads an `%%evaluate` cell: its magic line, metrics (`name = expression`), judges (steps) and `target` lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchmagic.errors import CellError, InputError, nearest
from orchmagic.evaluation.evaluate import Setup, prepare
from orchmagic.evaluation.judges import Judge, judge
from orchmagic.evaluation.metrics import Metric
from orchmagic.language.cell import Cell, CodeStep, Control, Step, parse
from orchmagic.language.magic_line import HelpRequested, Option, parse_names
from orchmagic.language.notebook_variables import filled_line
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.run_factory import RunFactory

MAGIC = "evaluate"
TARGET = "target"
OPTIONS = (
    Option("--on", "text", "the rows: a variable, or the path of a CSV, JSONL or Parquet file", "ROWS"),
    Option("--models", "words", "run each variant on each of these models", "MODEL,…"),
    Option("--by", "text", "the column that names rows that belong together, such as one document", "COLUMN"),
    Option("--repeat", "int", "how often each row is run", least=1),
    Option("--stop", "text", "first: the cheapest first, and no other once one is shown to meet the target", "first"),
    Option("--against", "text", "plain: one call with all instructions beside each variant", "plain"),
    Option("--baseline", "text", "compare with the scores of this file; written if it is not there", "FILE"),
    Option("--stand-in", "words", "a function in place of a tool that writes", "TOOL=FUNCTION,…"),
    Option("--rename", "words", "a column that is an input of another name", "COLUMN=INPUT,…"),
    Option("--budget", "money", "most that all rows together may cost, in US dollars"),
    Option("--concurrency", "int", "most rows at once", least=1),
    Option("--engine", "text", "workers that run the rows: processes, dask, or an executor's variable", "ENGINE"),
    Option("--allow-writes", "flag", "tools that write are called, once for each row"),
    Option("--dry-run", "flag", "say how many runs it would be; call no model"),
    Option("--result", "text", "the variable that takes the result", "NAME", "-o"),
)
HELP = """\
Runs variants on rows, scores each answer, and says which one to choose.

%%evaluate VARIANT, … --on ROWS [OPTIONS]
right = router.label == team           a metric: an expression over columns, steps, output, run, row, expect, calls
helpful(model=judge) -> verdict: "good" | "bad"
    Question: {{ question }} Answer: {{ output }}
target right >= 0.85 and cost <= 0.01  also measured: cost, seconds, tokens, failed, waiting

Options of %%evaluate
"""
_TARGET = re.compile(rf"{TARGET}\b(?!\s*[=(]|\s*->)(.*)")


@dataclass(frozen=True, slots=True)
class EvaluateCell:
    """What the cell says: the setup of the evaluation, and what to do with its result."""

    setup: Setup
    result: str | None
    baseline: Path | None
    dry_run: bool


def help_text() -> str:
    """The text of `%%evaluate?`."""
    width = max(len(option.shown) for option in OPTIONS)
    return HELP + "\n".join(f"  {option.shown:<{width}}  {option.help}" for option in OPTIONS)


def read_cell(line: str, body: str, namespace: Mapping[str, Any], find: Callable[[str], Orchestration]) -> EvaluateCell:
    """Reads the cell and checks it; nothing is run. `find` returns the orchestration of a name.

    Raises:
        CellError: the cell is wrong; lists all its problems.
        InputError: a name, a column or a row is wrong.
        HelpRequested: the line asks for help.
    """
    names, given = parse_names(MAGIC, filled_line(MAGIC, line, namespace), OPTIONS)
    if given.pop("help", False):
        raise HelpRequested(help_text())
    if not names:
        raise InputError("%%evaluate names no orchestration: write %%evaluate triage --on rows")
    if "on" not in given:
        raise InputError(
            f"%%evaluate {', '.join(names)} has no rows: write --on ROWS, a variable or the path of a file"
        )
    variants = {name: find(name) for name in names}
    cell, target = _parsed(line, body)
    metrics = [Metric(item.name, item.expression) for item in cell.items if isinstance(item, CodeStep)]
    steps = [item for item in cell.items if isinstance(item, Step)]

    def judges(factory: RunFactory) -> Sequence[Judge]:
        return [judge(cell, step, factory) for step in steps]

    setup = prepare(
        variants, rows_of(given["on"], namespace), metrics, judges=judges, target=target, rows_name=given["on"],
        models=given.get("models", ()), by=given.get("by"), repeat=given.get("repeat", 1), stop=given.get("stop"),
        against=given.get("against"), stand_in=stand_in_functions(given.get("stand_in", ()), namespace),
        rename=pairs("--rename", given.get("rename", ()), "COLUMN=INPUT"), budget=given.get("budget"),
        concurrency=given.get("concurrency"), allow_writes=given.get("allow_writes", False),
    )  # fmt: skip
    baseline = given.get("baseline")
    engine = given.get("engine")
    setup = replace(setup, engine=engine if engine is None else namespace.get(engine, engine))
    return EvaluateCell(setup, given.get("result"), Path(baseline) if baseline else None, given.get("dry_run", False))


def _parsed(line: str, body: str) -> tuple[Cell, str | None]:
    """The cell without its `target` lines, and the target."""
    lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = {i: match.group(1) for i, text in enumerate(lines) if (match := _TARGET.match(text))}
    rest = "\n".join("" if i in found else text for i, text in enumerate(lines))
    target = " and ".join(text.partition("#")[0].strip() for text in found.values()) if found else None
    if not any(text.strip() and not text.startswith("#") for text in rest.split("\n")):
        return Cell(MAGIC, line, body, ()), target
    cell = replace(parse(MAGIC, line, rest), body=body)
    problems = [
        cell.problem(
            item.line, 0, f"`{item.keyword}` is no part of an evaluation", "Write a metric: right = output == team"
        )
        for item in cell.items
        if isinstance(item, Control)
    ]
    if problems:
        raise CellError(problems)
    return cell, target


def rows_of(name: str, namespace: Mapping[str, Any], option: str = "--on") -> object:
    """The rows that an option names: the value of a variable, else the path of a file.

    Raises:
        InputError: there is no such variable.
    """
    if name in namespace:
        return namespace[name]
    if name.isidentifier():
        close = nearest(name, (n for n in namespace if not n.startswith("_")))
        raise InputError(f"{option} {name}: the notebook has no variable {name!r}{close}")
    return Path(name)


def pairs(option: str, words: Sequence[str], form: str) -> dict[str, str]:
    """The words `LEFT=RIGHT` of an option, by their left sides.

    Raises:
        InputError: a word has another form.
    """
    for word in words:
        if not all(word.partition("=")):
            raise InputError(f"{option} {word}: write {option} {form}")
    return {left: right for left, _, right in (word.partition("=") for word in words)}


def stand_in_functions(words: Sequence[str], namespace: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """The functions of `--stand-in TOOL=FUNCTION,…`, by tool.

    Raises:
        InputError: a word has another form, or there is no such function.
    """
    found = {}
    for tool, name in pairs("--stand-in", words, "TOOL=FUNCTION").items():
        if name not in namespace:
            close = nearest(name, (n for n in namespace if not n.startswith("_")))
            raise InputError(f"--stand-in {tool}={name}: the notebook has no function {name!r}{close}")
        found[tool] = namespace[name]
    return found
