"""Commands that answer or resume a run: resume, approve, edit, reject."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError
from orchmagic.notebook.commands.lookup import pick
from orchmagic.notebook.commands.registry import answering_command, command

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.runtime.session import Session


@answering_command
def resume(session: Session, which: str, *words: str) -> Run:
    """Resume RUN [ANSWER]: answer what a run asks, or go on where it broke off; nothing is paid twice"""
    name, span = _target(which)
    return pick(session, name).resume(" ".join(words) or None, span=span)


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
    return run.edit(_value(" ".join(words)), span=span)


@answering_command
def reject(session: Session, which: str = "", *words: str) -> Run:
    """Reject [RUN [WHY]]: do not let it pass"""
    name, span = _target(which)
    return pick(session, name, waiting=True).reject(" ".join(words), span=span)


def _target(which: str) -> tuple[str, str | None]:
    """Splits `RUN:SPAN` into (run, span); the span selects a question, None stands for the first."""
    name, _, span = which.partition(":")
    return name, span or None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
