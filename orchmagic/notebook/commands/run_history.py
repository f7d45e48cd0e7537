"""Commands on the run history: list, show, replay, compare, dashboard, dead letters, threads, writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchmagic.core.text_format import counted, table
from orchmagic.errors import InputError, nearest
from orchmagic.notebook.commands.lookup import pick
from orchmagic.notebook.commands.registry import Listing, PlainText, answering_command, cell, command, typed_value
from orchmagic.runtime.conversation import lines
from orchmagic.runtime.tools import check_result
from orchmagic.trace import marks
from orchmagic.trace.humanize import BLOCK, money, safe
from orchmagic.views.html_table import html_table

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.runtime.session import Session
    from orchmagic.storage.row_store import PastEvaluation
    from orchmagic.storage.runs import Stored
    from orchmagic.views.comparison import Comparison


_COLUMNS: dict[str, Callable[[Stored], str]] = {
    "run": lambda run: run.id,
    "name": lambda run: run.name,
    "pattern": lambda run: run.pattern,
    "status": lambda run: "{0.sign} {0.word}".format(marks.by_name(run.doubt or run.status)),
    "started": lambda run: run.started[:16].replace("T", " "),
    "seconds": lambda run: f"{run.seconds:.2f}",
    "tokens": lambda run: str(run.tokens),
    "cost": lambda run: money(run.cost, run.unpriced),
    "replays": lambda run: run.parent or "",
    "called by": lambda run: run.caller or "",
    "": lambda run: "pinned" * run.pinned,
}
"""The columns of `%orch runs`: heading, and function from run to text."""
_EVALUATIONS = 5  # that are listed below the runs
_FIGURES = (5, 6, 7)  # indices of the numeric ones
_ALWAYS = 8  # columns that are shown; those after them only if a run has something there


@command
def runs(session: Session, which: str = "") -> str:
    """Runs [NAME]: the runs of this and earlier kernels, newest last; an interrupted one can be resumed"""
    latest = session.lookup.latest(name=which or None)
    tried = session.services.history.rows.evaluations(which or None, _EVALUATIONS)[::-1]
    if not latest and not tried:
        return f"No run{f' of {which!r}' * bool(which)} yet: run a cell such as %%chain."
    listed = [[text(run) for text in _COLUMNS.values()] for run in reversed(latest)]
    used = [i for i in range(len(_COLUMNS)) if i < _ALWAYS or any(row[i] for row in listed)]
    rows = [[row[i] for i in used] for row in ([*_COLUMNS], *listed)]
    below = [_evaluation(one) for one in tried]
    html = "".join(f"<div>{safe(line)}</div>" for line in below)
    return Listing(
        "\n".join([table(rows), *below]), f"<div {BLOCK}>{html_table(rows, right=_FIGURES, wrap=False)}{html}</div>"
    )


def _evaluation(one: PastEvaluation) -> str:
    """`Evaluation of triage, 2026-03-01 14:20, 120 rows: target triage@small not shown, triage@large meets`."""
    about = f"Evaluation of {one.name}, {one.at[:16].replace('T', ' ')}, {counted(one.figures['count'], 'row')}"
    said = [f"{name} {verdict}" for name, verdict, *_ in one.figures.get("variants", ()) if verdict]
    return f"{about}: target {', '.join(said)}" if said else about


@command
def show(session: Session, which: str = "") -> Run:
    """Show [RUN | NAME]: a run again (the last one without a name)"""
    return pick(session, which)


@command
def pin(session: Session, which: str) -> str:
    """Pin RUN: keep a run for ever; others are deleted with time (unpin RUN: no longer)"""
    session.services.history.store.pin(pick(session, which).id)
    return f"{which} is kept until %orch unpin {which}."


@command
def unpin(session: Session, which: str) -> str:
    """Unpin RUN: let a run be deleted in its time"""
    session.services.history.store.pin(pick(session, which).id, pinned=False)
    return f"{which} is no longer pinned."


@command
def replay(session: Session, which: str, *words: str) -> Run:
    """Replay RUN [from=STEP] [model=MODEL]: a run again from its record; or a fork of it"""
    given = dict(word.partition("=")[::2] for word in words)
    if unknown := [w for w in given if w not in {"from", "model"}]:
        raise InputError(f"unknown option {unknown[0]!r}: write %orch replay {which} from=STEP model=MODEL")
    return pick(session, which).replay(from_step=given.get("from"), model=given.get("model"))


@command
def diff(session: Session, first: str, second: str) -> PlainText:
    """Diff RUN RUN: what two runs of a pattern asked and answered differently, step by step"""
    from orchmagic.views.comparison.diff import lines  # noqa: PLC0415 - only this command needs it

    return PlainText("\n".join(map(str, lines(pick(session, first).record, pick(session, second).record))))


@command
def compare(session: Session, *which: str) -> Comparison:
    """Compare [RUN RUN …]: two to six runs (the latest two): timelines, cost, quality, differences"""
    from orchmagic.views.comparison import compare as compared  # noqa: PLC0415 - only this command needs it

    names = which or [run.id for run in reversed(session.lookup.latest(2))]
    return compared([pick(session, name).record for name in names])


@command
def dash(session: Session, *words: str) -> Any:
    """Dash [--live]: spend, run times, cache hits and failures by pattern, model, day; or a live figure"""
    from orchmagic.notebook import dashboard  # noqa: PLC0415 - only this command needs it
    from orchmagic.notebook.approval import widgets  # noqa: PLC0415 - as above
    from orchmagic.storage.statistics import summary  # noqa: PLC0415 - as above

    if words not in {(), ("--live",)}:
        raise InputError(f"%orch dash {' '.join(words)}: write %orch dash or %orch dash --live")
    if words and widgets():
        return dashboard.live(session)
    totals = summary(session.services.history.store)
    return Listing(dashboard.text(totals), dashboard.html(totals))


@command
def dead(session: Session, which: str = "") -> str:
    """Dead [RUN]: the items that failed for good; run.retry() runs only them again"""
    run = pick(session, which)
    letters = run.dead_letters
    if not letters:
        return f"No item of run {run.id} failed."
    rows = [("step", "item", "attempts", "input", "error")]
    rows += [(d["step"], str(d["item"]), str(d["attempts"]), cell(d["input"]), cell(d["error"])) for d in letters]
    return table(rows)


@command
def thread(session: Session, action: str = "", name: str = "") -> str:
    """Thread [show NAME | clear NAME]: the conversations of --thread, one of them, or forget it"""
    store = session.services.history.store
    if not action:
        known = store.threads()
        return table([("thread", "messages"), *((n, str(c)) for n, c in known.items())]) if known else "No thread yet."
    if action not in {"show", "clear"} or not name:
        raise InputError("write %orch thread, %orch thread show NAME or %orch thread clear NAME")
    if name not in store.threads():
        raise InputError(f"no thread {name!r}{nearest(name, store.threads())}")
    if action == "clear":
        return f"Forgot {store.clear_thread(name)} messages of {name!r}."
    return lines(store.thread(name))


@answering_command
def writes(session: Session, action: str = "", which: str = "") -> str:
    """Writes [settle WRITE RESULT | forget WRITE]: what marked tools did; one was done, or was not"""
    ledger = session.services.history.store.ledger
    key, _, result = which.strip().partition(" ")
    if action == "forget" and key and not result:
        return f"{ledger.forget(key).call} may be done again."
    if action == "settle" and key:
        return _settled(session, key, result.strip())
    if action:
        raise InputError("write %orch writes, %orch writes settle w7 RESULT or %orch writes forget w7")
    rows = [(w.id, w.call, w.state, w.run, w.at[:16].replace("T", " ")) for w in reversed(ledger.writes())]
    return (
        table([("write", "call", "state", "run", "at"), *rows]) if rows else "No tool marked writes=True has run yet."
    )


def _settled(session: Session, key: str, result: str) -> str:
    """Records what a person found out about a write; the resumed step goes on with `result` (JSON or text)."""
    ledger = session.services.history.store.ledger
    write = ledger.find(key)
    if write is not None and not result:
        raise InputError(
            f"say what {write.tool} would have returned, since the resumed step goes on with it: "
            f"%orch writes settle {key} RESULT (JSON or text; null for nothing). If it was not done: "
            f"%orch writes forget {key}"
        )
    value = typed_value(result)
    if write is not None:
        check_result(session.services.namespace.get(write.tool), value)
    return f"{ledger.settle(key, value).call} counts as done; steps that call it get {cell(value)}."
