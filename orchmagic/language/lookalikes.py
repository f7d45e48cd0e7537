"""Finds text in prompts that looks like cell syntax but is sent to the model as it stands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from orchmagic.language import expression
from orchmagic.language.cell import Cell, Control
from orchmagic.language.control_words import CONTROLS

# as in an f-string: a name, what is read of it, and how it is written
_BRACES = re.compile(
    r"""(?<![{$\\])\{(?P<value>(?P<name>[^\W\d]\w*)(?:\.[^\W\d]\w*|\[[^][{}\n]*\])*)(?:![rsa])?(?::[^\s{}"']*)?\}(?!\})"""
)
_HEADER = re.compile(r"[^\W\d]\w*\s*(?:\([^()]*=[^()]*\)\s*(?:->.*|:.*)?|->\s*\S.*)$")
_CONTROL = re.compile(rf"({'|'.join(CONTROLS)})\s+(.+)$")


def remarks(cell: Cell, variables: Collection[str]) -> Iterator[str]:
    """Yields one line for each `{name}` of a variable or step, and each indented line that reads like a step.

    `variables` are names of notebook values; the lines of the cell are numbered from 1, the magic line.
    """
    steps = {item.name for item in cell.items if not isinstance(item, Control)}
    known = steps | set(variables)
    for number, line in enumerate(cell.body.split("\n"), 2):
        text = line.strip()
        if not text or (cell.items and not line[:1].isspace()):
            continue
        found = {match.group(): match["value"] for match in _BRACES.finditer(line) if match["name"] in known}
        for written, value in found.items():
            yield f"line {number}: {written} is sent as it stands. For its value write {{{{ {value} }}}}"
        if cell.items and (_HEADER.match(text) or _is_control(text, known)):
            yield f"line {number}: `{text}` is a line of the prompt above it. A step or control begins at column 0"


def _is_control(text: str, known: Collection[str]) -> bool:
    """Whether the text is a control line about something that the cell knows, and not a sentence."""
    match = _CONTROL.match(text)
    if match is None:
        return False
    source = re.split(r"\s(?:else|max)\s", match[2])[0]
    return expression.check(source) is None and bool(expression.names(source) & set(known))
