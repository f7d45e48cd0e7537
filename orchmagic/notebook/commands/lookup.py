"""Finds the run that a command's argument names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchmagic.errors import InputError, nearest

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.runtime.session import Session


def pick(session: Session, which: str, *, waiting: bool = False) -> Run:
    """Returns the run with this id, or the latest run of an orchestration's name; the latest of all for ""."""
    known = [n for r in session.runs for n in (r.id, r.name)]
    here = [r for r in session.runs if which in {"", r.id, r.name} and (r.status == "waiting" or not waiting)]
    if here:
        return here[-1]
    if which[:1] == "r" and which[1:].isdecimal():
        return session.lookup.run(which)
    stored = session.services.history.store.runs(limit=1_000, name=which or None)
    chosen = [s for s in stored if s.status == "waiting" or not waiting]
    if chosen:
        return session.lookup.run(chosen[0].id)
    if not which:
        raise InputError("no run waits for a person" if waiting else "there is no run yet: run a cell such as %%chain")
    raise InputError(f"no run {which!r} (known: {', '.join(dict.fromkeys(known)) or 'none'}){nearest(which, known)}")
