"""`%orch`: what a person asks about models, runs, cache and set-up. Each command is also a function here."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError, OrchError, SettingsError, nearest
from orchmagic.language.magic_line import usage
from orchmagic.notebook.commands.approvals import approve, edit, reject, resume
from orchmagic.notebook.commands.budget_limits import budget
from orchmagic.notebook.commands.cache_admin import cache
from orchmagic.notebook.commands.plain_text import PlainText
from orchmagic.notebook.commands.run_history import compare, dash, dead, diff, replay, runs, show, thread, writes
from orchmagic.notebook.commands.setup import doctor, export, models
from orchmagic.patterns import Pattern

if TYPE_CHECKING:
    from orchmagic.runtime.session import Session

_TYPED = frozenset({"resume", "edit", "reject"})  # the words behind the run are a person's own
_RUNS = (runs, show, resume, approve, edit, reject, replay, diff, compare, dash, dead, thread, writes)
_ALL = (models, *_RUNS, export, cache, budget, doctor)
COMMANDS: dict[str, Callable[..., Any]] = {f.__name__: f for f in _ALL}


def run(session: Session, line: str) -> Any:
    """Carry out a `%orch` line.

    Raises:
        OrchError: unknown command, or wrong arguments; says what to write.
    """
    try:
        # a person's answer is taken as it was typed, apostrophes and all
        words = (
            line.split(maxsplit=2)
            if line.split(maxsplit=1)[0:1] and line.split(maxsplit=1)[0] in _TYPED
            else shlex.split(line)
        )
    except ValueError as error:
        raise InputError(f"%orch {line}: {error}") from None
    if not words or words[0] in {"help", "-h", "--help"}:
        return PlainText(overview())
    if words[0] not in COMMANDS:
        raise SettingsError(f"no command %orch {words[0]} (known: {', '.join(COMMANDS)}){nearest(words[0], COMMANDS)}")
    command = COMMANDS[words[0]]
    try:
        _check_count(command, words[1:])
        found = command(session, *words[1:])
    except TypeError as error:
        raise OrchError(f"%orch {words[0]}: {error}. Write %orch {_doc(command).split(':')[0]}") from error
    return PlainText(found) if isinstance(found, str) else found


def _check_count(command: Callable[..., Any], words: list[str]) -> None:
    import inspect  # noqa: PLC0415 - only to check a line

    try:
        inspect.signature(command).bind(None, *words)
    except TypeError:
        raise InputError(f"wrong arguments. Write %orch {_doc(command).split(':')[0]}") from None


def overview() -> str:
    """All commands, a line each."""
    return "%orch COMMAND\n" + "\n".join(f"  {_doc(c)}" for c in COMMANDS.values())


def help_text(pattern: Pattern) -> str:
    """What `%%chain?` shows: what it is for, when it breaks, options, and an example to copy."""
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
