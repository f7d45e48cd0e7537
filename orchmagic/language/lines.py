"""Lines and blocks: a line at column 0, and the indented lines under it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchmagic.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 40
_WIDEST = 160  # a caret under a longer line points nowhere


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One line of the cell; the magic line is number 1."""

    number: int
    text: str

    @property
    def blank(self) -> bool:
        """Nothing but whitespace."""
        return not self.text.strip()

    @property
    def shown(self) -> str:
        """The line, cut for a message."""
        return self.text if len(self.text) <= _SHOWN else self.text[: _SHOWN - 1] + "…"

    def problem(self, column: int, found: str, write: str) -> Problem:
        """A problem in this line."""
        return Problem(self.number, column, found, write, self.text if len(self.text) <= _WIDEST else "")


@dataclass(frozen=True, slots=True)
class Block:
    """A line at column 0 with the lines that belong to it, blank ones included."""

    head: SourceLine
    text: list[SourceLine] = field(default_factory=list)


def blocks(lines: Iterable[SourceLine], problems: list[Problem]) -> list[Block]:
    """The blocks of a cell without its comments."""
    result: list[Block] = []
    stray = False
    for line in lines:
        if line.text.startswith("#"):
            continue
        if not line.blank and not line.text.startswith((" ", "\t")):
            result.append(Block(line))
        elif result:
            result[-1].text.append(line)
        elif not line.blank and not stray:
            stray = True
            write = "Write the step that this text belongs to above it, at column 0: `name`"
            problems.append(line.problem(0, "indented text without a step", write))
    return result
