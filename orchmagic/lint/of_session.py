"""Collects what the rules read from a session: settings, models, the notebook's code and the history."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchmagic.errors import InputError
from orchmagic.graph.estimate import Models
from orchmagic.lint.linter import Report, fixed, lint, project_ignores
from orchmagic.lint.subject import LintSubject
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.session import Session
from orchmagic.trace.record import Record, RecordError

_RUNS = 200  # the latest runs of a name that are read
_ENDED = frozenset({"done", "capped", "failed", "rejected"})


def subject(session: Session, made: Orchestration, *, history: bool = True, code: str | None = None) -> LintSubject:
    """Returns the subject of an orchestration; without `history` no earlier run is read."""
    services = session.services
    models = Models(services.models.resolve, services.models.pool, session.settings, services.environ)
    return LintSubject(
        graph=made.definition,
        namespace=services.namespace,
        defaults=services.call_defaults(made.options).within(made.definition),
        models=models,
        estimated=made.estimate,
        records=records(session, made) if history else (),
        code=_code(services.namespace) if code is None else code,
        evaluations=services.history.rows.evaluations(made.definition.name) if history else (),
    )


def records(session: Session, made: Orchestration) -> Sequence[Record]:
    """Returns the ended runs of this text of a cell, the latest first, without replays."""
    graph, store = made.definition, session.services.history.store
    here = {run.id: run for run in session.runs}
    found: list[Record] = []
    for stored in store.runs(limit=_RUNS, name=graph.name):
        if stored.status not in _ENDED or stored.parent:
            continue
        if stored.id in here:
            run = here[stored.id]
            found += [run.record] if run.graph.source == graph.source else []
            continue
        full = store.run(stored.id)
        found += _read(full.record) if full.source == graph.source and full.record is not None else []
    return found


def _read(record: object) -> list[Record]:
    try:
        return [Record.from_json(record)]  # type: ignore[arg-type]  # JSON
    except RecordError:  # of another version
        return []


def _code(namespace: object) -> str:
    """Returns the text of the cells that ran, without cells of orchestrations."""
    cells = namespace.get("In", ()) if hasattr(namespace, "get") else ()
    return "\n".join(cell for cell in cells if isinstance(cell, str) and not cell.startswith("%%"))


def text(session: Session, name: str = "") -> str:
    """Returns the report on the orchestration `name`, or on all of the kernel.

    Raises:
        SettingsError: there is none of this name, or what ignores rules is wrong.
    """
    chosen = [session.find(name)] if name else [*session.defined.values()]
    if not chosen:
        return "No orchestration yet: run a cell with a name, such as %%chain triage."
    ignored = project_ignores(Path.cwd())
    report, fixable = Report(), list[str]()
    for made in chosen:
        one = lint(subject(session, made), ignored)
        report += one
        fixable += [made.definition.name] if any(f.fix for f in one.findings) else []
    offers = [f"%orch lint {name} fix writes a cell with what can be mended by itself." for name in fixable]
    return "\n".join([report.text(), *offers])


def fixed_cell(session: Session, name: str) -> str:
    """Returns the text of a cell with all mechanical fixes.

    Raises:
        InputError: no finding can be mended mechanically.
        SettingsError: as `text`.
    """
    one = subject(session, session.find(name))
    found = fixed(one, lint(one, project_ignores(Path.cwd())))
    if found is None:
        raise InputError(f"no finding of {name} can be mended by itself: %orch lint {name} says what to write")
    return found
