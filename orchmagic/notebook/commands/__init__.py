"""The commands of `%orch` about models, runs, cache and set-up. Each is a function in a module of this folder."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError, SettingsError, nearest
from orchmagic.language.magic_line import usage
from orchmagic.notebook.commands.registry import AS_TYPED, COMMANDS, PlainText
from orchmagic.patterns import Pattern

if TYPE_CHECKING:
    from orchmagic.runtime.session import Session

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def run(session: Session, line: str) -> Any:
    """Executes a `%orch` line.

    Raises:
        OrchError: unknown command or wrong arguments; says what to write.
    """
    head = line.split(maxsplit=1)[:1]
    try:
        words = line.split(maxsplit=2) if AS_TYPED.intersection(head) else shlex.split(line)
    except ValueError as error:
        raise InputError(f"%orch {line}: {error}") from None
    if not words or words[0] in {"help", "-h", "--help"}:
        return PlainText(overview())
    if words[0] not in COMMANDS:
        raise SettingsError(f"no command %orch {words[0]} (known: {', '.join(COMMANDS)}){nearest(words[0], COMMANDS)}")
    command = COMMANDS[words[0]]
    try:
        inspect.signature(command).bind(session, *words[1:])
    except TypeError:
        raise InputError(f"wrong arguments. Write %orch {_doc(command).split(':')[0]}") from None
    answer = command(session, *words[1:])
    return PlainText(answer) if isinstance(answer, str) and not isinstance(answer, PlainText) else answer


def overview() -> str:
    """Lists all commands, one per line."""
    return "%orch COMMAND\n" + "\n".join(f"  {_doc(c)}" for c in COMMANDS.values())


def help_text(pattern: Pattern) -> str:
    """The help text of a pattern (`%%chain?`): purpose, limits, options and an example."""
    low, high = pattern.dollars
    fast, slow = pattern.seconds
    options = usage(pattern.name, pattern.options, pattern.step_options)
    return (
        f"{pattern.summary}\n\nUse it when: {pattern.when}\nBreaks when: {pattern.breaks}\n"
        f"Usual run (hosted models, Q2 2026, illustrative): ${low:g} to ${high:g}, {fast:g} to {slow:g} s\n\n"
        f"Example (copy it into a cell):\n\n{pattern.example}\n{options}"
    )


def _doc(command: Callable[..., Any]) -> str:
    first = (command.__doc__ or command.__name__).splitlines()[0]
    return first[0].lower() + first[1:]
