"""Commands on the run history: list, show, replay, compare, dashboard, dead letters, threads, writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchmagic.core.text_format import table
from orchmagic.errors import InputError, nearest
from orchmagic.notebook.commands.lookup import pick
from orchmagic.notebook.commands.registry import PlainText, cell, command
from orchmagic.runtime.conversation import lines
from orchmagic.trace.humanize import money

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.runtime.session import Session
    from orchmagic.storage.runs import Stored
    from orchmagic.views.comparison import Comparison


_COLUMNS: dict[str, Callable[[Stored], str]] = {
    "run": lambda run: run.id,
    "name": lambda run: run.name,
    "pattern": lambda run: run.pattern,
    "status": lambda run: run.status,
    "started": lambda run: run.started[:16].replace("T", " "),
    "seconds": lambda run: f"{run.seconds:.2f}",
    "tokens": lambda run: str(run.tokens),
    "cost": lambda run: money(run.cost, run.unpriced),
    "replays": lambda run: run.parent or "",
    "called by": lambda run: run.caller or "",
}
"""The columns of `%orch runs`: heading, and function from run to text."""


@command
def runs(session: Session, which: str = "") -> str:
    """Runs [NAME]: the runs of this and earlier kernels, newest last; a lost one can be resumed"""
    latest = session.lookup.latest(name=which or None)
    if not latest:
        return f"No run{f' of {which!r}' * bool(which)} yet: run a cell such as %%chain."
    return table([tuple(_COLUMNS), *(tuple(text(run) for text in _COLUMNS.values()) for run in reversed(latest))])


@command
def show(session: Session, which: str = "") -> Run:
    """Show [RUN | NAME]: a run again (the last one without a name)"""
    return pick(session, which)


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
    """Compare [RUN RUN …]: two to six runs side by side (the latest two): timelines, cost, quality, what differs"""
    from orchmagic.views.comparison import compare as compared  # noqa: PLC0415 - only this command needs it

    names = which or [run.id for run in reversed(session.lookup.latest(2))]
    return compared([pick(session, name).record for name in names])


@command
def dash(session: Session) -> Any:
    """dash: spend, latency, cache hits and failures by pattern, model and day; live in a notebook"""
    from orchmagic.notebook import dashboard  # noqa: PLC0415 - only this command needs it
    from orchmagic.notebook.approval import widgets  # noqa: PLC0415 - as above
    from orchmagic.storage.statistics import summary  # noqa: PLC0415 - as above

    if widgets():
        return dashboard.live(session)
    return PlainText(dashboard.text(summary(session.services.history.store)))


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


@command
def writes(session: Session, action: str = "", key: str = "") -> str:
    """Writes [forget WRITE | settle WRITE]: what marked tools did; let one be done again, or not"""
    ledger = session.services.history.store.ledger
    if action in {"forget", "settle"} and key:
        if action == "forget":
            return f"{ledger.forget(key).call} may be done again."
        return f"{ledger.settle(key).call} counts as done."
    if action:
        raise InputError("write %orch writes, %orch writes forget w7 or %orch writes settle w7")
    rows = [(w.id, w.call, w.state, w.run, w.at[:16].replace("T", " ")) for w in reversed(ledger.writes())]
    return (
        table([("write", "call", "state", "run", "at"), *rows]) if rows else "No tool marked writes=True has run yet."
    )
