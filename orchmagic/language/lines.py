"""Splits a cell into blocks: a line at column 0 and the indented lines below it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchmagic.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 40
_WIDEST = 160  # longer lines wrap, so that a caret below them would be misplaced


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One line of the cell; the magic line is number 1."""

    number: int
    text: str

    @property
    def blank(self) -> bool:
        return not self.text.strip()

    @property
    def shown(self) -> str:
        """The line, shortened for a message."""
        return self.text if len(self.text) <= _SHOWN else self.text[: _SHOWN - 1] + "…"

    def problem(self, column: int, found: str, write: str) -> Problem:
        return Problem(self.number, column, found, write, self.text if len(self.text) <= _WIDEST else "")


@dataclass(frozen=True, slots=True)
class Block:
    """A line at column 0 (`head`) and the indented or blank lines below it (`text`)."""

    head: SourceLine
    text: list[SourceLine] = field(default_factory=list)


def blocks(lines: Iterable[SourceLine], problems: list[Problem]) -> list[Block]:
    """Groups lines into blocks, without comments; indented text before the first block is a problem."""
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
