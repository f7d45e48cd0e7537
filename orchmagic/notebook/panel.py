"""Kernel side of the Runs panel: answers silent JSON requests of JupyterLab between two cells.

Nothing here waits for a model, prints, or changes the notebook's names, so requests have no visible effect.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
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
from orchmagic.views import card
from orchmagic.views.truncate import cut

if TYPE_CHECKING:
    from orchmagic.runtime.session import Session
    from orchmagic.storage.runs import Stored

_SHOWN, _MOST, _LOOKED = 50, 5_000, 1_000  # runs in the list, at first and at most; runs read to sum today's cost
_FIELDS = ("id", "name", "pattern", "status", "doubt", "started", "parent", "seconds", "tokens", "cost", "unpriced")
_CUT = 2_000  # characters of a value in the list; `asked` returns all
_WHOLE = 200_000  # bytes of a value that is asked for
_ROWS = 400_000  # characters of the rows of a table that is asked for


class PanelReply:
    """The reply of the kernel; the panel reads only its JSON."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def __repr__(self) -> str:
        return "orchmagic"

    def _repr_json_(self) -> dict[str, Any]:
        return self.data


def ask(session: Session, question: str) -> PanelReply:
    """Handles the JSON request `["name", argument, …]`: `{"found": …}`, or `{"error": one line}` on failure."""
    name, *arguments = json.loads(question)
    try:
        return PanelReply({"found": _QUESTIONS[name](session, *arguments)})
    except CellError as error:
        return PanelReply({"error": "; ".join(p.found for p in error.problems)})
    except (OrchError, OSError) as error:
        return PanelReply({"error": " ".join(str(error).split())})


def overview(session: Session, shown: int = _SHOWN, *, now: datetime | None = None) -> dict[str, Any]:
    """Returns the latest `shown` runs, newest first, and whether there are `more`; the known cost in US dollars of the
    runs that began today (local time), and today's number of calls without a known price (`unpriced`).
    """
    shown = min(max(shown, 1), _MOST)
    latest = session.lookup.latest(max(_LOOKED, shown + 1))
    today = (now or datetime.now(UTC)).astimezone().date()
    begun = [r for r in latest if datetime.fromisoformat(r.started).astimezone().date() == today]
    sums = {"today": sum(r.cost for r in begun), "unpriced": sum(r.unpriced for r in begun)}
    here = {run.id for run in session.runs}
    rows = [_row(session, r, here=r.id in here) for r in latest[:shown]]
    return {"version": 1, **sums, "runs": rows, "more": shown < min(len(latest), _MOST)}


def record(session: Session, which: str) -> dict[str, Any]:
    """Returns a run's trace in the form that notebooks store.

    Raises:
        InputError: there is no such run, or it ended before anything was recorded.
    """
    trace: dict[str, Any] = views.bundle(_record(session, which))[MIME]
    return trace


def asked(session: Session, which: str, span: str | None = None) -> dict[str, Any]:
    """Returns the full question of a run (of `span`, else the first): `{"span", "question", "choices", "value"}`.

    Raises:
        InputError: the run has no such open question.
    """
    return asdict(question_to_answer(_record(session, which), span))


def answer(session: Session, which: str, reply: object, span: str | None = None) -> dict[str, Any]:
    """Answers a waiting run's question (of `span`, else the first) and resumes it in the background.

    Raises:
        InputError: the run has no such open question, or the reply is invalid; a waiting run still waits.
    """
    run = session.lookup.run(which)
    run.respond(reply, span)
    return {"status": run.status}


def resume(session: Session, which: str) -> dict[str, Any]:
    """Resumes a stopped run in the background.

    Raises:
        InputError: it is done, running, or waits for an answer.
    """
    return {"status": session.lookup.run(which).begin_again().status}


def export(session: Session, which: str) -> dict[str, Any]:
    """Writes a run's graph as a Python module to the kernel's folder; overwrites only an unedited export.

    Raises:
        OrchError: the run cannot be exported, or another file has this name.
    """
    stored = session.services.history.store.run(which)
    cell = session.reader.read_source(stored.source, stored.name, session.services.namespace)
    path = Orchestration(cell, session.factory, session.reader).export(Path(f"{stored.name.replace('.', '_')}.py"))
    return {"file": str(path)}


def stop(session: Session, which: str) -> dict[str, Any]:
    """Stops a run that goes on in the background.

    Raises:
        InputError: there is no such run.
    """
    run = session.lookup.run(which)
    threading.Thread(target=run.cancel, name="orchmagic-stop", daemon=True).start()
    return {"status": run.status}


def value(session: Session, which: str, span: str, part: str) -> dict[str, Any]:
    """Returns the whole `input` or `output` of a span, of which a notebook stores the beginning.

    Raises:
        InputError: there is no such run or span.
    """
    found = next((s for s in _record(session, which).spans if s.id == span), None)
    if found is None:
        raise InputError(f"run {which} has no step {span}")
    return {"value": cut(found.input if part == "input" else found.output, _WHOLE)}


def rows(session: Session, which: str, of: Sequence[str] = ("", "")) -> dict[str, Any]:
    """Returns the table of rows of a run, of which a notebook stores the first; `of` as in `feedback`.

    Raises:
        InputError: there is no such run, it is another run, or it has no rows.
    """
    found = _record(session, which)
    _same(found, of)
    table = card.table(found, _ROWS)
    if table is None:
        raise InputError(f"run {which} has no rows")
    return table


def feedback(
    session: Session,
    which: str,
    verdict: str | None = None,
    note: str = "",
    expect: Any = None,
    of: Sequence[str] = ("", ""),
) -> Any:
    """Keeps what a person says of a run (see `Run.feedback`), or with a run alone tells what was said.

    `expect` has by step what would have been right. `of` has the name and the start of the run that the person sees,
    each "" if not known: ids are those of one machine. Returns `{"verdict", "expect", "note"}`, empty if nothing was
    said.

    Raises:
        InputError: there is no such run or verdict, it is another run, or a correction does not fit.
    """
    if expect is not None and not isinstance(expect, dict):
        raise InputError("corrections are by step")
    if "note" in (expect or {}):
        raise InputError("a step named 'note' cannot be corrected: write the correction into the reason")
    run = session.lookup.run(which)
    _same(run.record, of)
    said = run.feedback(verdict, note=note, **expect or {})
    return {} if said is None else said.to_json()


_QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    f.__name__: f for f in (overview, record, asked, answer, resume, export, stop, value, rows, feedback)
}


def _same(found: Record, of: Sequence[str]) -> None:
    if any(seen and seen != known for seen, known in zip(of, (found.name, found.started), strict=False)):
        raise InputError(f"run {found.run} of this machine's history is another one")


def _record(session: Session, which: str) -> Record:
    for run in session.runs:
        if run.id == which:
            return run.record
    stored = session.services.history.store.run(which)
    if stored.record is None:
        raise InputError(f"run {which} ({stored.name}): nothing of it was recorded")
    return Record.from_json(stored.record)


def _row(session: Session, run: Stored, *, here: bool) -> dict[str, Any]:
    """One row of the list; `here`: the run is in this kernel's memory."""
    row = {**{name: getattr(run, name) for name in _FIELDS}, "here": here}
    if run.status != "waiting":
        return row
    try:
        questions = pending_questions(_record(session, run.id))
    except InputError:  # of another version: the row itself is shown
        return row
    if questions:
        first = questions[0]
        row["asked"] = {
            "span": first.span,
            "question": first.question,
            "choices": first.choices,
            "shown": humanize.shown(first.value, _CUT),
        }
    return row
