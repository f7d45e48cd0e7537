"""`orchmagic.advise`: which pattern fits, by the figures of the running notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchmagic.errors import InputError
from orchmagic.notebook.reference_rows import running_session

if TYPE_CHECKING:
    from orchmagic.lint.advice import Advice
    from orchmagic.runtime.orchestration import Orchestration
    from orchmagic.runtime.session import Session

# ruff: noqa: PLC0415 - on demand


def advise(of: str | Orchestration | None = None, **given: bool | str) -> Advice:
    """Advises on an orchestration: `advise(triage)`; or by answers alone: `advise(predictable=True, asymmetric=False)`.

    Args:
        of: the orchestration or its name; None: by the answers alone.
        given: answers (`True`, `False`, "yes", "no") that win over the figures: predictable, asymmetric, heterogeneous,
            large, tools, planning, roles.

    Raises:
        InputError: there is no such question or answer, or no notebook.
        SettingsError: there is no orchestration of this name.
    """
    if of is None and not given:
        raise InputError("name an orchestration, advise(triage), or answer: advise(predictable=True, asymmetric=False)")
    if of is None:
        return advise_in(None, None, given)
    session = running_session("advise")
    return advise_in(session, session.find(of) if isinstance(of, str) else of, given)


def advise_in(session: Session | None, made: Orchestration | None, given: Mapping[str, object]) -> Advice:
    """Advises on an orchestration of a session, or by answers alone."""
    from orchmagic.lint import advice, choosing, of_session

    answers = choosing.read(given)
    subject = None if made is None or session is None else of_session.subject(session, made)
    return advice.advise(subject, answers)
