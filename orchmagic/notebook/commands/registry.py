"""The commands of `%orch` by name. A module of this folder adds its own with `@command`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

COMMANDS: dict[str, Callable[..., Any]] = {}
AS_TYPED: set[str] = set()
"""Commands whose words after the run are a person's own: they are not split like a shell's."""


def command(function: F) -> F:
    """Register a function of the session and words; the first line of its docstring is its help."""
    COMMANDS[function.__name__] = function
    return function


def answering_command(function: F) -> F:
    """`command` for one that takes a person's text as it was typed, apostrophes included."""
    AS_TYPED.add(function.__name__)
    return command(function)
