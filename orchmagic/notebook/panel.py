"""The face of the Runs panel: what JupyterLab asks the kernel silently, between two cells; JSON in, JSON out.

Nothing here waits for a model, prints, or touches the notebook's names: a question of the panel leaves no trace.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic import views
from orchmagic.errors import CellError, InputError, OrchError
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.trace import humanize
from orchmagic.trace.questions import pending_questions, question_to_answer
from orchmagic.trace.record import MIME, Record

if TYPE_CHECKING:
    from orchmagic.runtime.session import Session
    from orchmagic.storage.runs import Stored

_SHOWN, _LOOKED = 50, 1_000  # runs in the list; runs that are looked through for today's cost
_FIELDS = ("id", "name", "pattern", "status", "started", "parent", "seconds", "tokens", "cost", "unpriced")
_CUT = 2_000  # characters of a value in the list; `asked` has the whole


class PanelReply:
    """What the kernel sends back: only its JSON is read."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def __repr__(self) -> str:
        return "orchmagic"

    def _repr_json_(self) -> dict[str, Any]:
        return self.data


def ask(session: Session, question: str) -> PanelReply:
    """Answer `["name", argument, …]` (JSON) with `{"found": …}`, or, where that goes wrong, `{"error": one line}`."""
    name, *arguments = json.loads(question)
    try:
        return PanelReply({"found": _QUESTIONS[name](session, *arguments)})
    except CellError as error:
        return PanelReply({"error": "; ".join(p.found for p in error.problems)})
    except (OrchError, OSError) as error:
        return PanelReply({"error": " ".join(str(error).split())})


def overview(session: Session, now: datetime | None = None) -> dict[str, Any]:
    """The latest runs, newest first, and what the runs that began today (local time) cost, in US dollars as far as
    prices are known; `unpriced` counts the calls of today whose price is not.
    """
    latest = session.lookup.latest(_LOOKED)
    today = (now or datetime.now(UTC)).astimezone().date()
    begun = [r for r in latest if datetime.fromisoformat(r.started).astimezone().date() == today]
    sums = {"today": sum(r.cost for r in begun), "unpriced": sum(r.unpriced for r in begun)}
    here = {run.id for run in session.runs}
    return {"version": 1, **sums, "runs": [_row(session, r, here=r.id in here) for r in latest[:_SHOWN]]}


def record(session: Session, which: str) -> dict[str, Any]:
    """A run's trace, as a notebook saves it.

    Raises:
        InputError: there is no such run, or it ended before anything was recorded.
    """
    trace: dict[str, Any] = views.bundle(_record(session, which))[MIME]
    return trace


def asked(session: Session, which: str, span: str | None = None) -> dict[str, Any]:
    """What a run asks (at `span`, else first), uncut: `{"span", "question", "choices", "value"}`.

    Raises:
        InputError: it does not wait with that.
    """
    return asdict(question_to_answer(_record(session, which), span))


def answer(session: Session, which: str, reply: object, span: str | None = None) -> dict[str, Any]:
    """Answer the question of `span`, else the first, of a waiting run, which goes on in the background.

    Raises:
        InputError: it does not wait with that, or the reply does not fit; it still waits then.
    """
    run = session.lookup.run(which)
    run.respond(reply, span)
    return {"status": run.status}


def resume(session: Session, which: str) -> dict[str, Any]:
    """Go on, in the background, with a run that broke off.

    Raises:
        InputError: it is done, under way, or waits for an answer.
    """
    return {"status": session.lookup.run(which).begin_again().status}


def export(session: Session, which: str) -> dict[str, Any]:
    """Write what a run ran as a Python module into the kernel's folder; an existing file is never overwritten.

    Raises:
        OrchError: the run cannot be exported, or the file is there.
    """
    stored = session.services.history.store.run(which)
    cell = session.reader.read_source(stored.source, stored.name, session.services.namespace)
    path = Orchestration(cell, session.factory, session.reader).export(Path(f"{stored.name.replace('.', '_')}.py"))
    return {"file": str(path)}


_QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    f.__name__: f for f in (overview, record, asked, answer, resume, export)
}


def _record(session: Session, which: str) -> Record:
    for run in session.runs:
        if run.id == which:
            return run.record
    stored = session.services.history.store.run(which)
    if stored.record is None:
        raise InputError(f"run {which} ({stored.name}) is {stored.status}: nothing of it was recorded")
    return Record.from_json(stored.record)


def _row(session: Session, run: Stored, *, here: bool) -> dict[str, Any]:
    """One line of the list; `here`: the run is at hand in this kernel."""
    row = {**{name: getattr(run, name) for name in _FIELDS}, "here": here}
    if run.status == "waiting" and (questions := pending_questions(_record(session, run.id))):
        first = questions[0]
        row["asked"] = {
            "span": first.span,
            "question": first.question,
            "choices": first.choices,
            "shown": humanize.shown(first.value, _CUT),
        }
    return row
