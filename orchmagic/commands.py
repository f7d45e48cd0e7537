"""`%orch`: what a person asks about models, runs, cache and set-up. Each command is also a function here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError, OrchError, SettingsError, nearest
from orchmagic.options import usage
from orchmagic.patterns import Pattern

if TYPE_CHECKING:
    from orchmagic.models import Deployment
    from orchmagic.run import Run
    from orchmagic.session import Session


def models(session: Session) -> str:
    """models: the aliases, what is behind them, prices, and whether their key is set"""
    from orchmagic.models.aliases import table  # noqa: PLC0415 - only this command needs it

    rows = [("alias", "provider", "model", "endpoint", "$/M in", "$/M out", "key")]
    for d in table(session.settings, session.environ):
        key = "-" if d.key_env is None else "set" if session.environ.get(d.key_env) else f"set {d.key_env}"
        endpoint = d.base_url or ("in this kernel" if d.provider == "local" else "-")
        rows.append((d.alias, d.provider, d.model, endpoint, _price(d, d.input_price), _price(d, d.output_price), key))
    return _table(rows)


def runs(session: Session) -> str:
    """runs: the runs of this session, newest last"""
    if not session.runs:
        return "No run yet: run a cell such as %%chain."
    rows = [("run", "name", "pattern", "status", "seconds", "tokens", "cost", "calls", "cached")]
    for run in session.runs:
        r = run.record
        cost = f"${r.cost:.4f}" + ("+?" if r.unpriced else "")
        rows.append(
            (
                r.run,
                r.name,
                r.pattern,
                r.status,
                f"{r.seconds:.2f}",
                str(r.usage.total),
                cost,
                str(r.calls),
                str(r.cached),
            )
        )
    return _table(rows)


def show(session: Session, which: str = "") -> Run:
    """Show [RUN | NAME]: a run of this session again (the last one without a name)"""
    if not session.runs:
        raise InputError("there is no run yet: run a cell such as %%chain")
    found = [r for r in session.runs if which in {"", r.id, r.name}]
    if not found:
        known = [n for r in session.runs for n in (r.id, r.name)]
        raise InputError(f"no run {which!r} (known: {', '.join(dict.fromkeys(known))}){nearest(which, known)}")
    return found[-1]


def export(session: Session, name: str, file: str, force: str = "") -> str:
    """Export NAME FILE [--force]: write a graph as a Python module that runs without orchmagic"""
    if force not in {"", "--force"}:
        raise InputError(f"unknown option {force}: write %orch export NAME FILE --force")
    path = session.find(name).export(Path(file), overwrite=bool(force))
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
    """Resume RUN ANSWER: answer the question that a waiting run asks, and go on"""
    if not words:
        raise InputError(f"an answer is missing: write %orch resume {which} and what you answer")
    waiting = [r for r in session.runs if r.status == "waiting" and which in {r.id, r.name}]
    return (waiting[-1] if waiting else show(session, which)).resume(" ".join(words))


def doctor(session: Session) -> str:
    """doctor: check the set-up, and say what to write where something is missing"""
    from orchmagic.doctor import checks  # noqa: PLC0415 - only this command needs it

    return "\n".join(f"{'ok ' if c.fine else '!! '} {c.what}: {c.found}" for c in checks(session))


COMMANDS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (models, runs, show, resume, export, cache, doctor)}


class Text(str):
    """Text that a cell shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def run(session: Session, line: str) -> Any:
    """Carry out a `%orch` line.

    Raises:
        OrchError: unknown command, or wrong arguments; says what to write.
    """
    try:
        # a person's answer is taken as it was typed, apostrophes and all
        words = line.split(maxsplit=2) if line.split()[:1] == ["resume"] else shlex.split(line)
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


def _price(deployment: Deployment, price: float | None) -> str:
    if price is None:
        return "0" if deployment.provider in {"local", "scripted"} else "?"
    return f"{price:g}"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
