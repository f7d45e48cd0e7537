"""Parses the text under a step into chat messages. The docstring of `cell.py` states the rules for roles."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING

from orchmagic.language import template
from orchmagic.language.lines import SourceLine
from orchmagic.language.template import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchmagic.errors import Problem

_ROLE = re.compile(r"(system|user|assistant):(?:[ \t]|$)")
_EMPTY = re.compile(r"(?:\s|\{#(?:(?!#\}).)*#\})*", re.DOTALL)  # blank, or comments only


def read_messages(lines: Sequence[SourceLine], problems: list[Problem]) -> tuple[Message, ...]:
    """Returns the messages of a prompt, () if it has no text; appends to `problems`."""
    lines = _trimmed(lines)
    text = _dedented(lines, problems)
    if not text:
        return ()
    if not _ROLE.match(text[0].text):
        return (_message("user", text, lines, problems),)
    starts = [i for i, line in enumerate(text) if _ROLE.match(line.text)]
    return tuple(
        _role_message(text[start:end], lines[start:end], problems)
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True)
    )


def _trimmed(lines: Sequence[SourceLine]) -> list[SourceLine]:
    written = [i for i, line in enumerate(lines) if not line.blank]
    return list(lines[written[0] : written[-1] + 1]) if written else []


def _dedented(lines: Sequence[SourceLine], problems: list[Problem]) -> list[SourceLine]:
    margins = [_margin(line) for line in lines if not line.blank]
    margin = os.path.commonprefix(margins)  # noqa: RUF071 - margins are characters, not paths
    if margins and all(margins) and not margin:
        write = "Indent every line of a prompt alike, with spaces or with tabs"
        first = next(line for line in lines if not line.blank and _margin(line)[0] != margins[0][0])
        problems.append(first.problem(0, "tabs and spaces mixed", write))
    return [SourceLine(line.number, _without(margin, line.text)) for line in lines]


def _margin(line: SourceLine) -> str:
    return line.text[: len(line.text) - len(line.text.lstrip(" \t"))]


def _without(margin: str, text: str) -> str:
    """Removes the margin; a blank line may be shorter than it."""
    return text[len(margin) :] if text.startswith(margin) else text.lstrip(" \t")


def _role_message(text: Sequence[SourceLine], lines: Sequence[SourceLine], problems: list[Problem]) -> Message:
    first = text[0]
    role = first.text.partition(":")[0]
    rest = SourceLine(first.number, first.text[len(role) + 2 :])
    below = _trimmed(text[1:])
    if rest.blank:
        return _message(role, _dedented(below, problems), lines, problems)
    end = below[-1].number if below else first.number
    return _message(role, [rest, *(line for line in text[1:] if line.number <= end)], lines, problems)


def _message(role: str, text: Sequence[SourceLine], lines: Sequence[SourceLine], problems: list[Problem]) -> Message:
    """Builds a message and checks its template. `lines` are the cell's own lines, where a caret can point."""
    message = Message(role, "\n".join(line.text for line in text))
    if _EMPTY.fullmatch(message.text):
        problems.append(lines[0].problem(0, f"the {role} message is empty", "Write its text, or delete it"))
    if problem := template.check(message.text):
        number = text[min(problem[1], len(text) - 1)].number
        line = next(line for line in lines if line.number == number)
        write = "Write `{{ name }}`; braces that are text stand as {{ '{{' }}"
        problems.append(line.problem(len(_margin(line)), problem[0], write))
    return message
