"""Frozen dataclasses of a parsed cell. `line` is the line number in the cell; the magic line is line 1."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from orchmagic.errors import Problem
from orchmagic.language import expression
from orchmagic.language.scanner import pieces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchmagic.language.annotations import Output
    from orchmagic.language.control_words import ActionKind, Keyword
    from orchmagic.language.template import Message

# Model names need not be valid Python: gpt-4o-mini, openai/gpt-4o, qwen2.5:7b.
_WORD = re.compile(r"(?![\d.]+$)\w[\w./:+@-]*")


@dataclass(frozen=True, slots=True)
class Value:
    """An option's value as written; the option's reader interprets it through one of the properties.

    `column` counts characters from 0 in the cell's line. Each property raises a ValueError for a wrong value.
    """

    source: str
    column: int = 0

    @property
    def word(self) -> str:
        """A name: bare (`large`, `openai/gpt-4o`) or quoted."""
        if _WORD.fullmatch(self.source):
            return self.source
        literal = self._read("a name")
        if not isinstance(literal, str):
            raise ValueError(f"{self.source} is no name: write a word or a quoted text")  # noqa: TRY004 - a wrong value, whatever its type
        return literal

    @property
    def words(self) -> tuple[str, ...]:
        """One name, or several in brackets."""
        inner = self.source[1:-1] if self.source[:1] + self.source[-1:] in {"[]", "()"} else self.source
        return tuple(Value(piece.strip()).word for _, piece in pieces(inner) if piece.strip())

    @property
    def literal(self) -> object:
        """The value of a Python literal."""
        return self._read("a literal such as 3, 0.5, True or a quoted text")

    @property
    def expression(self) -> str:
        """The source of a valid Python expression."""
        if problem := expression.check(self.source):
            raise ValueError(f"{self.source} is no expression: {problem[0]}")
        return self.source

    def _read(self, wanted: str) -> object:
        try:
            return ast.literal_eval(self.source)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            raise ValueError(f"{self.source} is not {wanted}") from None


@dataclass(frozen=True, slots=True)
class Step:
    """A step with a prompt. `output` is None without `->`; `description` is the text after the colon, if any."""

    name: str
    options: Mapping[str, Value]
    output: Output | None
    description: str | None
    messages: tuple[Message, ...]
    line: int


@dataclass(frozen=True, slots=True)
class CodeStep:
    """A line `name = expression`."""

    name: str
    expression: str
    line: int


@dataclass(frozen=True, slots=True)
class Action:
    """The action of a false gate: `retry` N times, `stop` with a reason, `goto` a step, `ask` a question."""

    kind: ActionKind
    argument: str | int


@dataclass(frozen=True, slots=True)
class Control:
    """A control line. `gate` and `approve` may have an `action`, only `until` a `maximum`.

    `messages` is the text under `verify`.
    `approve` has no expression; its question is the only message.
    """

    keyword: Keyword
    expression: str
    action: Action | None
    messages: tuple[Message, ...]
    line: int
    maximum: int | None = None


Item: TypeAlias = Step | CodeStep | Control


@dataclass(frozen=True, slots=True)
class Cell:
    """A parsed cell. For a pattern whose body is one prompt (`%%react`), `prompt` holds it and `items` is empty."""

    magic: str
    line: str
    body: str
    items: tuple[Item, ...]
    prompt: tuple[Message, ...] = ()

    def problem(self, line: int, column: int, found: str, write: str) -> Problem:
        """Returns a problem that quotes its line of this cell."""
        lines = [
            f"%%{self.magic} {self.line}",
            *self.body.replace("\r\n", "\n").replace("\r", "\n").split("\n"),
        ]
        return Problem(line, column, found, write, lines[line - 1])
