"""Runs that were: a list of them, one again, two side by side, and what they left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchmagic.core.text_format import table
from orchmagic.errors import InputError, nearest
from orchmagic.notebook.commands.lookup import pick
from orchmagic.notebook.commands.plain_text import PlainText, cell
from orchmagic.trace.humanize import money

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.runtime.session import Session
    from orchmagic.views.comparison import Comparison


def runs(session: Session, which: str = "") -> str:
    """Runs [NAME]: the runs of this and earlier kernels, newest last; a lost one can be resumed"""
    found = session.services.history.store.runs(name=which or None)
    if not found:
        return f"No run{f' of {which!r}' * bool(which)} yet: run a cell such as %%chain."
    under_way = {r.id: r for r in session.runs}
    rows = [("run", "name", "pattern", "status", "started", "seconds", "tokens", "cost", "replays")]
    for run in reversed(found):
        record = under_way[run.id].record if run.id in under_way else None
        tokens = record.usage.total if record else run.tokens
        spent = money(*(record.cost, record.unpriced) if record else (run.cost, run.unpriced))
        status, seconds = (record.status, record.seconds) if record else (run.status, run.seconds)
        told = (run.id, run.name, run.pattern, status, run.started[:16].replace("T", " "))
        rows.append((*told, f"{seconds:.2f}", str(tokens), spent, run.parent or ""))
    return table(rows)


def show(session: Session, which: str = "") -> Run:
    """Show [RUN | NAME]: a run again (the last one without a name)"""
    return pick(session, which)


def replay(session: Session, which: str, *words: str) -> Run:
    """Replay RUN [from=STEP] [model=MODEL]: a run again from its record; or a fork of it"""
    given = dict(word.partition("=")[::2] for word in words)
    if unknown := [w for w in given if w not in {"from", "model"}]:
        raise InputError(f"unknown option {unknown[0]!r}: write %orch replay {which} from=STEP model=MODEL")
    return pick(session, which).replay(from_step=given.get("from"), model=given.get("model"))


def diff(session: Session, first: str, second: str) -> PlainText:
    """Diff RUN RUN: what two runs of a pattern asked and answered differently, step by step"""
    from orchmagic.views.comparison.diff import lines  # noqa: PLC0415 - only this command needs it

    return PlainText("\n".join(map(str, lines(pick(session, first).record, pick(session, second).record))))


def compare(session: Session, *which: str) -> Comparison:
    """Compare RUN RUN …: two to six runs side by side: timelines, cost, quality, what differs"""
    from orchmagic.views.comparison import compare as compared  # noqa: PLC0415 - only this command needs it

    return compared([pick(session, name).record for name in which])


def dash(session: Session) -> Any:
    """dash: spend, latency, cache hits and failures by pattern, model and day; live in a notebook"""
    from orchmagic.notebook import dashboard  # noqa: PLC0415 - only this command needs it
    from orchmagic.notebook.approval import widgets  # noqa: PLC0415 - as above

    if widgets():
        return dashboard.live(session)
    return PlainText(dashboard.text(dashboard.summary(session.services.history.store)))


def dead(session: Session, which: str = "") -> str:
    """Dead [RUN]: the items that failed for good; run.retry() runs only them again"""
    run = pick(session, which)
    letters = run.dead_letters
    if not letters:
        return f"No item of run {run.id} failed."
    rows = [("step", "item", "attempts", "input", "error")]
    rows += [(d["step"], str(d["item"]), str(d["attempts"]), cell(d["input"]), cell(d["error"])) for d in letters]
    return table(rows)


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
    return "\n".join(f"{m.get('role')}: {m.get('content')}" for m in store.thread(name))


def writes(session: Session, action: str = "", key: str = "") -> str:
    """Writes [forget WRITE | settle WRITE]: what marked tools did; let one be done again, or not"""
    ledger = session.services.history.store.ledger
    if action in {"forget", "settle"} and key:
        found = ledger.forget(key) if action == "forget" else ledger.settle(key)
        return f"{found.call} may be done again." if action == "forget" else f"{found.call} counts as done."
    if action:
        raise InputError("write %orch writes, %orch writes forget w7 or %orch writes settle w7")
    rows = [(w.id, w.call, w.state, w.run, w.at[:16].replace("T", " ")) for w in reversed(ledger.writes())]
    return (
        table([("write", "call", "state", "run", "at"), *rows]) if rows else "No tool marked writes=True has run yet."
    )
