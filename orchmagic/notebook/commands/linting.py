"""Commands that give advice: lint, advise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchmagic.errors import InputError
from orchmagic.notebook.commands.registry import command

if TYPE_CHECKING:
    from orchmagic.lint.advice import Advice
    from orchmagic.runtime.session import Session


@command
def lint(session: Session, name: str = "", action: str = "") -> str:
    """Lint [NAME [fix]]: what is likely to cost, fail or mislead; fix: the mended cell as a new one"""
    from orchmagic.lint import of_session  # noqa: PLC0415 - only this command needs it

    if action not in {"", "fix"}:
        raise InputError(f"unknown word {action!r}: write %orch lint {name} fix")
    if not action:
        return of_session.text(session, name)
    cell = of_session.fixed_cell(session, name)
    offer(cell)
    return f"The new cell is {name} with what can be mended by itself. Run it to use it.\n\n{cell}"


@command
def advise(session: Session, *words: str) -> Advice:
    """Advise [NAME] [QUESTION=yes …]: which pattern fits, by figures of its runs, and what to add next"""
    from orchmagic.notebook.advising import advise_in  # noqa: PLC0415 - as above

    names = [word for word in words if "=" not in word]
    if len(names) > 1:
        raise InputError(f"{names[1]!r} is no answer: write %orch advise {names[0]} predictable=yes")
    given: dict[str, object] = {n: v for n, _, v in (word.partition("=") for word in words if "=" in word)}
    if not names and not given:
        raise InputError("name an orchestration: %orch advise triage; or answer: predictable=yes asymmetric=no")
    return advise_in(session, session.find(names[0]) if names else None, given)


def offer(cell: str) -> None:
    """Puts the text into a new cell below, where the front end can."""
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - as above

    if (shell := get_ipython()) is not None:
        shell.set_next_input(cell, replace=False)
