"""The registry of `%orch` commands, and what they return. Modules of this folder register theirs with `@command`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Self, TypeVar

from orchmagic.core.text_format import shorten

_WIDE = 60  # characters of a value in a table
F = TypeVar("F", bound=Callable[..., Any])

COMMANDS: dict[str, Callable[..., Any]] = {}
AS_TYPED: set[str] = set()
"""Commands whose words after the run id are free text: they are not split like shell words."""


def command(function: F) -> F:
    """Registers a function (session, *words); the first line of its docstring is its help text."""
    COMMANDS[function.__name__] = function
    return function


def answering_command(function: F) -> F:
    """Like `command`, for a command that takes free text as typed, with apostrophes."""
    AS_TYPED.add(function.__name__)
    return command(function)


class PlainText(str):
    """Text that a notebook cell displays without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Listing(PlainText):
    """Text for terminals and programs, which a notebook shows as static HTML."""

    __slots__ = ("html",)
    html: str

    def __new__(cls, text: str, html: str) -> Self:
        made = super().__new__(cls, text)
        made.html = html
        return made

    def _repr_html_(self) -> str:
        return self.html


def typed_value(text: str) -> Any:
    """Reads a value that a person typed: JSON, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def cell(value: object) -> str:
    """Formats a value on one line of a table."""
    return shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _WIDE)
