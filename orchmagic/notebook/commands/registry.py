"""The registry of `%orch` commands by name. Modules of this folder register theirs with `@command`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

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
