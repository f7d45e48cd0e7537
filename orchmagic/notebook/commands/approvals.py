"""Commands that answer or resume a run: resume, approve, edit, reject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchmagic.errors import CellError, InputError
from orchmagic.language.magic_line import RunOptions, parse_options
from orchmagic.notebook.commands.lookup import pick
from orchmagic.notebook.commands.registry import answering_command, command, typed_value

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.runtime.session import Session


@answering_command
def resume(session: Session, which: str, *words: str) -> Run:
    """Resume RUN [ANSWER | --budget 0.50 | --max-tokens 9000]: answer it, or go on; pays nothing twice"""
    name, span = _target(which)
    said = " ".join(words)
    if said.startswith(("--budget", "--max-tokens")):
        return pick(session, name).resume(**_limits(said))
    return pick(session, name).resume(said or None, span=span)


@command
def approve(session: Session, which: str = "") -> Run:
    """Approve [RUN]: let what a waiting run asks about pass"""
    name, span = _target(which)
    return pick(session, name, waiting=True).approve(span=span)


@answering_command
def edit(session: Session, which: str, *words: str) -> Run:
    """Edit RUN VALUE: let it pass with this value (JSON or text) in its place"""
    name, span = _target(which)
    run = pick(session, name, waiting=True)
    if not words:
        raise InputError(f"an edit needs a value: write %orch edit {which} VALUE")
    return run.edit(typed_value(" ".join(words)), span=span)


@answering_command
def reject(session: Session, which: str = "", *words: str) -> Run:
    """Reject [RUN [WHY]]: do not let it pass"""
    name, span = _target(which)
    return pick(session, name, waiting=True).reject(" ".join(words), span=span)


def _limits(said: str) -> dict[str, Any]:
    """The limits in `--budget 0.50 --max-tokens 100000`."""
    try:
        options = parse_options("chain", said)
    except CellError as error:
        raise InputError("; ".join(f"{p.found}. {p.write}" for p in error.problems)) from None
    if options != RunOptions(budget=options.budget, max_tokens=options.max_tokens) or "none" in {
        options.budget,
        options.max_tokens,
    }:
        raise InputError(f"%orch resume takes --budget and --max-tokens with an amount, not {said!r}")
    return {"budget": options.budget, "max_tokens": options.max_tokens}


def _target(which: str) -> tuple[str, str | None]:
    """Splits `RUN:SPAN` into (run, span); the span selects a question, None stands for the first."""
    name, _, span = which.partition(":")
    return name, span or None
