"""Parses a block into a step, a code step or a control."""

from __future__ import annotations

import keyword
import re
import unicodedata
from typing import TYPE_CHECKING

from orchmagic.language import expression
from orchmagic.language.annotations import NotAnOutput, parse_output
from orchmagic.language.control_words import CONTROLS
from orchmagic.language.controls import read_control
from orchmagic.language.messages import read_messages
from orchmagic.language.scanner import closing, pieces, uncommented
from orchmagic.language.syntax import CodeStep, Item, Step, Value

if TYPE_CHECKING:
    from orchmagic.errors import Problem
    from orchmagic.language.annotations import Output
    from orchmagic.language.lines import Block, SourceLine

_NAME = re.compile(r"[^\W\d]\w*")
_OPTION = re.compile(r"\s*([^\s=]*)\s*=(?!=)\s*")
_STATE = frozenset({"visits", "feedback", "messages", "errors"})  # keys of a run's state
_ROLES = frozenset({"system", "user", "assistant"})


def read_item(block: Block, problems: list[Problem]) -> Item | None:
    """Parses a block; returns None, and adds no problem, if its first line is no step, code step or control."""
    name = _NAME.match(block.head.text)
    if name is None:
        return None
    rest = block.head.text[name.end() :]
    control = CONTROLS.get(name.group())
    if control and not re.match(r"\s*(=(?!=)|:|->)", rest):
        return read_control(block, control.name, problems)
    if re.match(r"\s*=(?!=)", rest):
        return _read_code(block, name.group(), problems)
    if re.match(r"\s*(\(|->|:|#|$)", rest):
        return _read_step(block, name.group(), problems)
    return None


def _read_code(block: Block, name: str, problems: list[Problem]) -> CodeStep:
    head = block.head
    _check_name(head, name, problems)
    start = head.text.index("=") + 1
    source = uncommented(head.text[start:])
    if problem := expression.check(source):
        column = min(start + problem[1], len(head.text))
        problems.append(head.problem(column, problem[0], "Write one Python expression: `name = search(query)`"))
    written = [line for line in block.text if not line.blank]
    if written:
        write = "Write the expression in one line, or move it into a function of the notebook"
        problems.append(written[0].problem(0, f"text under the code step {name!r}", write))
    return CodeStep(name, source.strip(), head.number)


def _read_step(block: Block, name: str, problems: list[Problem]) -> Step:
    head = block.head
    _check_name(head, name, problems)
    at = _skip(head.text, len(name))
    options: dict[str, Value] = {}
    if head.text.startswith("(", at):
        end = closing(head.text[at:])
        if end < 0:
            problems.append(head.problem(at, "the options are not closed", "Write `)` after the last option"))
            at = len(head.text)
        else:
            options = _read_options(head, at + 1, at + end, problems)
            at = _skip(head.text, at + end + 1)
    output, description = _read_end(head, at, problems)
    return Step(name, options, output, description, read_messages(block.text, problems), head.number)


def _skip(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip())


def _read_end(head: SourceLine, at: int, problems: list[Problem]) -> tuple[Output | None, str | None]:
    """Parses the text after name and options: `-> outputs`, `: description` or nothing."""
    rest = head.text[at:]
    if rest.startswith("->"):
        try:
            return parse_output(uncommented(rest[2:])), None
        except NotAnOutput as error:
            problems.append(head.problem(at, error.found, error.write[:1].upper() + error.write[1:]))
    elif rest.startswith(":"):
        if rest[1:].strip():
            return None, rest[1:].strip()
        problems.append(head.problem(at, "nothing follows the colon", "Write a description, or delete the colon"))
    elif rest and not rest.startswith("#"):
        shown = rest if len(rest) < 30 else rest[:29] + "…"  # noqa: PLR2004 - fits a line
        problems.append(head.problem(at, f"{shown!r} is not expected", "Write `-> outputs` or `: description`"))
    return None, None


def _read_options(head: SourceLine, start: int, end: int, problems: list[Problem]) -> dict[str, Value]:
    options: dict[str, Value] = {}
    for offset, piece in pieces(head.text[start:end]):
        if not piece.strip():
            continue
        column = _skip(head.text, start + offset)
        match = _OPTION.match(piece)
        name = match.group(1) if match else ""
        if match is None or not name.isidentifier():
            problems.append(head.problem(column, f"{piece.strip()!r} is no option", _option_form(name)))
        elif name in options:
            problems.append(head.problem(column, f"option {name!r} is given twice", "Write it once"))
        else:
            options[name] = Value(piece[match.end() :].strip(), start + offset + match.end())
            _check_value(head, options[name], problems)
    return options


def _option_form(name: str) -> str:
    better = name.replace("-", "_")
    return f"Write `{better}=…`" if better.isidentifier() else "Write `name=value`, as in `model=large`"


def _check_value(head: SourceLine, value: Value, problems: list[Problem]) -> None:
    """Checks that a value is a name, names in brackets or a Python expression."""
    problem = expression.check(value.source)
    if problem is None or (value.source and _is_words(value)):
        return
    column = min(value.column + problem[1], len(head.text))
    write = "Write a name (`model=large`), a literal (`retry=2`) or an expression (`when=score > 1`)"
    problems.append(head.problem(column, problem[0], write))


def _is_words(value: Value) -> bool:
    try:
        return bool(value.words)
    except ValueError:
        return False


def _check_name(head: SourceLine, name: str, problems: list[Problem]) -> None:
    """Checks that a name is valid in Python, as a key of the state and in templates."""
    normal = unicodedata.normalize("NFKC", name)
    if not name.isidentifier() or keyword.iskeyword(name):
        problems.append(head.problem(0, f"{name!r} is no Python name", f"Write another one: `{name}_step`"))
    elif name != normal:
        found = f"{name!r} has characters that Python writes in another way"
        problems.append(head.problem(0, found, f"Write `{normal}`"))
    elif name in _ROLES:
        write = "Indent it under its step: roles are the prompt's"
        problems.append(head.problem(0, f"{name!r} is a role, not a step", write))
    elif name in _STATE or name in CONTROLS or name.startswith("__"):
        problems.append(head.problem(0, f"{name!r} is reserved", f"Write another name: `my_{name.strip('_')}`"))
