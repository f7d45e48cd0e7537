"""What a person answers to a run that waits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError
from orchmagic.notebook.commands.lookup import pick

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.runtime.session import Session


def resume(session: Session, which: str, *words: str) -> Run:
    """Resume RUN [ANSWER]: answer what a run asks, or go on where it broke off; nothing is paid twice"""
    run = pick(session, which)
    return run.resume(" ".join(words) or None)


def approve(session: Session, which: str = "") -> Run:
    """Approve [RUN]: let what a waiting run asks about pass"""
    return pick(session, which, waiting=True).approve()


def edit(session: Session, which: str, *words: str) -> Run:
    """Edit RUN VALUE: let it pass with this value (JSON or text) in its place"""
    run = pick(session, which, waiting=True)
    if not words:
        raise InputError(f"an edit needs a value: write %orch edit {which} VALUE")
    return run.edit(_value(" ".join(words)))


def reject(session: Session, which: str = "", *words: str) -> Run:
    """Reject [RUN [WHY]]: do not let it pass"""
    return pick(session, which, waiting=True).reject(" ".join(words))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
