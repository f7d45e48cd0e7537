"""`%orch`: what a person asks about models, runs, cache and set-up. Each command is also a function here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError, OrchError, SettingsError, nearest
from orchmagic.options import usage
from orchmagic.patterns import Pattern

if TYPE_CHECKING:
    from orchmagic.compare import Comparison
    from orchmagic.run import Run
    from orchmagic.session import Session


_TYPED = frozenset({"resume", "edit", "reject"})  # the words behind the run are a person's own
_WIDE = 60  # characters of a value in a table


class Text(str):
    """Text that a cell shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def models(session: Session, action: str = "", *words: str) -> str:
    """Models [add NAME DEPLOYMENT … policy=…]: the aliases, what is reachable, prices, latency; or another alias"""
    from orchmagic.entries import added  # noqa: PLC0415 - only this command needs it
    from orchmagic.models import reach  # noqa: PLC0415 - as above

    if action == "add":
        session.add_models(added(words))
    elif action:
        raise InputError(f"unknown command {action!r}: write %orch models or %orch models add NAME DEPLOYMENT")
    return _table(session.bridge.run(reach.rows(session.settings, session.environ, session.health)))


def runs(session: Session, which: str = "") -> str:
    """Runs [NAME]: the runs of this and earlier kernels, newest last; a lost one can be resumed"""
    found = session.history.store.runs(name=which or None)
    if not found:
        return f"No run{f' of {which!r}' * bool(which)} yet: run a cell such as %%chain."
    under_way = {r.id: r for r in session.runs}
    rows = [("run", "name", "pattern", "status", "started", "seconds", "tokens", "cost", "replays")]
    for run in reversed(found):
        record = under_way[run.id].record if run.id in under_way else None
        tokens, cost = (record.usage.total, record.cost) if record else (run.tokens, run.cost)
        spent = f"${cost:.4f}" + ("+?" if record and record.unpriced else "")
        status, seconds = (record.status, record.seconds) if record else (run.status, run.seconds)
        told = (run.id, run.name, run.pattern, status, run.started[:16].replace("T", " "))
        rows.append((*told, f"{seconds:.2f}", str(tokens), spent, run.parent or ""))
    return _table(rows)


def show(session: Session, which: str = "") -> Run:
    """Show [RUN | NAME]: a run again (the last one without a name)"""
    return _run(session, which)


def export(session: Session, name: str, file: str, *options: str) -> str:
    """Export NAME FILE [--force] [--langgraph-json]: write a graph as a Python module that runs without orchmagic"""
    if unknown := [o for o in options if o not in {"--force", "--langgraph-json"}]:
        raise InputError(f"unknown option {unknown[0]}: write %orch export NAME FILE --force --langgraph-json")
    how = {"overwrite": "--force" in options, "langgraph_json": "--langgraph-json" in options}
    path = session.find(name).export(Path(file), **how)
    needs = " It asks OPENAI_BASE_URL with OPENAI_API_KEY: for the local model, orchmagic.endpoint().env() has both."
    inputs = " ".join(f"--{n.replace('_', '-')} …" for n in session.find(name).definition.inputs)
    return f"Wrote {path}. Run it with: python {path} {inputs}".rstrip() + f".{needs}"


def cache(session: Session, action: str = "") -> str:
    """Cache [clear]: how many answers are stored, where; or forget them"""
    store = session.cache
    if store is None:
        return "The cache is off (%config OrchMagic.cache)."
    if action == "clear":
        return f"Removed {store.clear()} stored answers."
    if action:
        raise InputError(f"unknown cache command {action!r}: write %orch cache or %orch cache clear")
    s = store.stats()
    return f"{s['entries']} answers, {int(s['bytes']) / 1024:.0f} kB in {s['path']}"


def resume(session: Session, which: str, *words: str) -> Run:
    """Resume RUN [ANSWER]: answer what a run asks, or go on where it broke off; nothing is paid twice"""
    run = _run(session, which)
    return run.resume(" ".join(words) or None)


def approve(session: Session, which: str = "") -> Run:
    """Approve [RUN]: let what a waiting run asks about pass"""
    return _run(session, which, waiting=True).approve()


def edit(session: Session, which: str, *words: str) -> Run:
    """Edit RUN VALUE: let it pass with this value (JSON or text) in its place"""
    run = _run(session, which, waiting=True)
    if not words:
        raise InputError(f"an edit needs a value: write %orch edit {which} VALUE")
    return run.edit(_value(" ".join(words)))


def reject(session: Session, which: str = "", *words: str) -> Run:
    """Reject [RUN [WHY]]: do not let it pass"""
    return _run(session, which, waiting=True).reject(" ".join(words))


def replay(session: Session, which: str, *words: str) -> Run:
    """Replay RUN [from=STEP] [model=MODEL]: a run again from its record, without a call; or a fork of it"""
    given = dict(word.partition("=")[::2] for word in words)
    if unknown := [w for w in given if w not in {"from", "model"}]:
        raise InputError(f"unknown option {unknown[0]!r}: write %orch replay {which} from=STEP model=MODEL")
    return _run(session, which).replay(from_step=given.get("from"), model=given.get("model"))


def diff(session: Session, first: str, second: str) -> Text:
    """Diff RUN RUN: what two runs of a pattern asked and answered differently, step by step"""
    from orchmagic.diff import lines  # noqa: PLC0415 - only this command needs it

    return Text("\n".join(lines(_run(session, first).record, _run(session, second).record)))


def compare(session: Session, *which: str) -> Comparison:
    """Compare RUN RUN …: two to six runs side by side: timelines on one axis, cost, quality, what differs"""
    from orchmagic.compare import compare as compared  # noqa: PLC0415 - only this command needs it

    return compared([_run(session, name).record for name in which])


def dash(session: Session) -> Any:
    """dash: spend, latency, cache hits and failures of all runs, by pattern, model and day; live in a notebook"""
    from orchmagic import dashboard  # noqa: PLC0415 - only this command needs it
    from orchmagic.approval import widgets  # noqa: PLC0415 - as above

    if widgets():
        return dashboard.live(session)
    return Text(dashboard.text(dashboard.summary(session.history.store)))


def thread(session: Session, action: str = "", name: str = "") -> str:
    """Thread [show NAME | clear NAME]: the conversations of --thread, one of them, or forget it"""
    store = session.history.store
    if not action:
        found = store.threads()
        return _table([("thread", "messages"), *((n, str(c)) for n, c in found.items())]) if found else "No thread yet."
    if action not in {"show", "clear"} or not name:
        raise InputError("write %orch thread, %orch thread show NAME or %orch thread clear NAME")
    if name not in store.threads():
        raise InputError(f"no thread {name!r}{nearest(name, store.threads())}")
    if action == "clear":
        return f"Forgot {store.clear_thread(name)} messages of {name!r}."
    return "\n".join(f"{m.get('role')}: {m.get('content')}" for m in store.thread(name))


def writes(session: Session, action: str = "", key: str = "") -> str:
    """Writes [forget WRITE | settle WRITE]: what tools marked writes=True did; do one again, or say it was done"""
    ledger = session.history.store.ledger
    if action in {"forget", "settle"} and key:
        found = ledger.forget(key) if action == "forget" else ledger.settle(key)
        return f"{found.call} may be done again." if action == "forget" else f"{found.call} counts as done."
    if action:
        raise InputError("write %orch writes, %orch writes forget w7 or %orch writes settle w7")
    rows = [(w.id, w.call, w.state, w.run, w.at[:16].replace("T", " ")) for w in reversed(ledger.writes())]
    return (
        _table([("write", "call", "state", "run", "at"), *rows]) if rows else "No tool marked writes=True has run yet."
    )


def dead(session: Session, which: str = "") -> str:
    """Dead [RUN]: the items that failed for good; run.retry() runs only them again"""
    run = _run(session, which)
    letters = run.dead_letters
    if not letters:
        return f"No item of run {run.id} failed."
    rows = [("step", "item", "attempts", "input", "error")]
    rows += [(d["step"], str(d["item"]), str(d["attempts"]), _cut(d["input"]), _cut(d["error"])) for d in letters]
    return _table(rows)


def doctor(session: Session) -> str:
    """doctor: check the set-up, and say what to write where something is missing"""
    from orchmagic.doctor import checks  # noqa: PLC0415 - only this command needs it

    return "\n".join(f"{'ok ' if c.fine else '!! '} {c.what}: {c.found}" for c in checks(session))


_RUNS = (runs, show, resume, approve, edit, reject, replay, diff, compare, dash, dead, thread, writes)
_ALL = (models, *_RUNS, export, cache, doctor)
COMMANDS: dict[str, Callable[..., Any]] = {f.__name__: f for f in _ALL}


def _run(session: Session, which: str, *, waiting: bool = False) -> Run:
    """A run by its id, or the latest of a name; the latest of all without one."""
    known = [n for r in session.runs for n in (r.id, r.name)]
    found = [r for r in session.runs if which in {"", r.id, r.name} and (r.status == "waiting" or not waiting)]
    if found:
        return found[-1]
    if which[:1] == "r" and which[1:].isdecimal():
        return session.revive(which)
    stored = session.history.store.runs(limit=1_000, name=which or None)
    chosen = [s for s in stored if s.status == "waiting" or not waiting]
    if chosen:
        return session.revive(chosen[0].id)
    if not which:
        raise InputError("no run waits for a person" if waiting else "there is no run yet: run a cell such as %%chain")
    raise InputError(f"no run {which!r} (known: {', '.join(dict.fromkeys(known)) or 'none'}){nearest(which, known)}")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _cut(value: object) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _WIDE else f"{shown[: _WIDE - 1]}…"


def run(session: Session, line: str) -> Any:
    """Carry out a `%orch` line.

    Raises:
        OrchError: unknown command, or wrong arguments; says what to write.
    """
    try:
        # a person's answer is taken as it was typed, apostrophes and all
        words = (
            line.split(maxsplit=2)
            if line.split(maxsplit=1)[0:1] and line.split(maxsplit=1)[0] in _TYPED
            else shlex.split(line)
        )
    except ValueError as error:
        raise InputError(f"%orch {line}: {error}") from None
    if not words or words[0] in {"help", "-h", "--help"}:
        return Text(overview())
    if words[0] not in COMMANDS:
        raise SettingsError(f"no command %orch {words[0]} (known: {', '.join(COMMANDS)}){nearest(words[0], COMMANDS)}")
    command = COMMANDS[words[0]]
    try:
        _check_count(command, words[1:])
        found = command(session, *words[1:])
    except TypeError as error:
        raise OrchError(f"%orch {words[0]}: {error}. Write %orch {_doc(command).split(':')[0]}") from error
    return Text(found) if isinstance(found, str) else found


def _check_count(command: Callable[..., Any], words: list[str]) -> None:
    import inspect  # noqa: PLC0415 - only to check a line

    try:
        inspect.signature(command).bind(None, *words)
    except TypeError:
        raise InputError(f"wrong arguments. Write %orch {_doc(command).split(':')[0]}") from None


def overview() -> str:
    """All commands, a line each."""
    return "%orch COMMAND\n" + "\n".join(f"  {_doc(c)}" for c in COMMANDS.values())


def help_text(pattern: Pattern) -> str:
    """What `%%chain?` shows: what it is for, when it breaks, options, and an example to copy."""
    low, high = pattern.dollars
    fast, slow = pattern.seconds
    return (
        f"{pattern.summary}\n\nUse it when: {pattern.when}\nBreaks when: {pattern.breaks}\n"
        f"Usual run (hosted models, Q2 2026, illustrative): ${low:g} to ${high:g}, {fast:g} to {slow:g} s\n\n"
        f"Example (copy it into a cell):\n\n{pattern.example}\n{usage(pattern.name, pattern.options)}"
    )


def _doc(command: Callable[..., Any]) -> str:
    first = (command.__doc__ or command.__name__).splitlines()[0]
    return first[0].lower() + first[1:]


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
