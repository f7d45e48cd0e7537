"""What a rule is, and what it finds: `triage:3 OM105 judge-same-model: what was found. Write what to do`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from orchmagic.lint.subject import LintSubject

Fix: TypeAlias = Callable[[str], str]
"""Changes the text of a cell."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found at `step` ("" for the magic line). `write` says what to do.

    `fix` does it, where that is mechanical and loses nothing.
    """

    step: str
    text: str
    write: str
    fix: Fix | None = None


@dataclass(frozen=True, slots=True)
class LintRule:
    """A rule. The docstring of the module that defines `check` is its page: what, why, example, fix."""

    id: str
    name: str
    check: Callable[[LintSubject], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class LintFinding:
    """What `rule` found in the cell `name`, at `line` (the magic line is line 1)."""

    name: str
    line: int
    rule: str
    title: str
    text: str
    write: str
    fix: Fix | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.line} {self.rule} {self.title}: {self.text}. {self.write}"


def with_flag(flag: str, value: str) -> Fix:
    """Returns the fix that adds an option to the magic line."""

    def add(source: str) -> str:
        head, line_end, body = source.partition("\n")
        return f"{head.rstrip()} {flag} {value}{line_end}{body}"

    return add


def without_option(step: str, written: str) -> Fix:
    """Returns the fix that removes an option, such as `temperature=0`, from the header of a step."""
    header = re.compile(rf"^{re.escape(step)}[ \t]*\(.*$", re.MULTILINE)
    option = re.compile(rf"(?:,\s*{written}(?=\s*[,)])|(?<=\()\s*{written}\s*,\s*|\(\s*{written}\s*\))")
    return lambda source: header.sub(lambda line: option.sub("", line.group(), count=1), source, count=1)
