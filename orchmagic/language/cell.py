"""Parses a cell into a frozen `Cell`, or raises one CellError with all problems. The grammar:

    cell     = lines; a line at column 0 is structure, indented lines are the text of the line above them
    line     = step | code step | control | `# comment`
    step     = name [ "(" option "=" value, ... ")" ] [ "->" outputs  |  ":" description ]
    code     = name "=" expression
    control  = gate EXPR [else ACTION] | until EXPR [max N] | verify EXPR | approve "question"
    ACTION   = retry N | stop "why" | goto STEP | ask "question"

A prompt loses its common indentation and the blank lines around it; every other character is kept. A comment at
column 0 inside a prompt is not part of the prompt. If a prompt's first line begins with a role (`system:`, `user:`,
`assistant:`, followed by a space or the line end), each line at the prompt's own indentation that begins with a role
starts a new message. Text after the role is the message's first line; if there is none, the lines below the role
are dedented separately. A prompt that does not begin with a role is one user message.

A step may have the name of a builtin (`map`, `filter`): inside the cell the name means the step.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchmagic.errors import CellError, Problem, nearest
from orchmagic.language.control_words import CONTROLS
from orchmagic.language.lines import Block, SourceLine, blocks
from orchmagic.language.messages import read_messages
from orchmagic.language.scanner import uncommented
from orchmagic.language.step_line import read_item
from orchmagic.language.syntax import Action, Cell, CodeStep, Control, Item, Step, Value
from orchmagic.language.template import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Action", "Cell", "CodeStep", "Control", "Item", "Message", "Step", "Value", "parse"]

_HALF = re.compile("[\ud800-\udfff]")
_FORMS = "`name(options) -> outputs`, `name: description`, `name = expression` or `gate EXPRESSION`"


def parse(magic: str, line: str, body: str, *, one_prompt: bool = False) -> Cell:
    """Parses a cell. With `one_prompt` the whole body is one prompt that starts at column 0 (`%%react`).

    Raises:
        CellError: with all problems, each with its line in the cell (the magic line is line 1).
    """
    problems: list[Problem] = []
    text = body.replace("\r\n", "\n").replace("\r", "\n")
    lines = [SourceLine(number, line_text) for number, line_text in enumerate(text.split("\n"), 2)]
    _check_characters([SourceLine(1, line), *lines])
    items: tuple[Item, ...] = ()
    prompt: tuple[Message, ...] = ()
    if one_prompt:
        prompt = read_messages(lines, problems)
    else:
        items = _read_items(blocks(lines, problems), problems)
    if not (items or prompt or problems):
        write = "Write the prompt under the magic line" if one_prompt else f"Write {_FORMS}"
        problems.append(Problem(1, 0, "the cell is empty", write, f"%%{magic} {line}".rstrip()))
    if problems:
        raise CellError(problems)
    return Cell(magic, line, body, items, prompt)


def _check_characters(lines: Sequence[SourceLine]) -> None:
    problems = [
        Problem(line.number, half.start(), f"half of a character ({half.group()!r})", "Delete it")
        for line in lines
        for half in _HALF.finditer(line.text)
    ]
    if problems:
        raise CellError(problems)


def _read_items(structure: Sequence[Block], problems: list[Problem]) -> tuple[Item, ...]:
    items: list[Item] = []
    readable = True
    for block in structure:
        fresh: list[Problem] = []
        item = read_item(block, fresh)
        if item is not None:
            items.append(item)
        elif not fresh and readable:  # for a prompt at column 0, one problem is enough
            problems.append(_unreadable(block.head))
        readable = item is not None or bool(fresh)
        problems.extend(fresh)
    heads = {block.head.number: block.head for block in structure}
    problems.extend(_check_names(items, heads))
    return tuple(items)


def _unreadable(head: SourceLine) -> Problem:
    word = head.text.split(maxsplit=1)[0]
    close = nearest(word, CONTROLS)
    return head.problem(0, f"{head.shown!r} is no step", f"Indent the text of a prompt, or write {_FORMS}{close}")


def _check_names(items: Sequence[Item], heads: dict[int, SourceLine]) -> list[Problem]:
    """Checks that step names are unique and that every `goto` names a step."""
    problems: list[Problem] = []
    first: dict[str, int] = {}
    for item in items:
        if isinstance(item, Control):
            continue
        if item.name in first:
            found = f"{item.name!r} is already the name of line {first[item.name]}"
            problems.append(heads[item.line].problem(0, found, "Give each step a name of its own"))
        first.setdefault(item.name, item.line)
    for item in items:
        if isinstance(item, Control) and item.action and item.action.kind == "goto":
            target, head = str(item.action.argument), heads[item.line]
            if target not in first:
                found = f"no step is called {target!r}"
                known = ", ".join(first) or "no step yet"
                column = uncommented(head.text).rindex(target)
                write = f"Write one of the steps ({known}){nearest(target, first)}"
                problems.append(head.problem(column, found, write))
    return problems
