"""The steps of several runs: all of them in one order, and those worth a bar."""

from __future__ import annotations

from collections.abc import Sequence

from orchmagic.trace.record import Record

LETTERS = "ABCDEF"  # of the runs
STEPS = 30  # shown, at most
_SHORT = 50  # a step is short if it took less than the longest divided by this


def steps(records: Sequence[Record]) -> list[str]:
    """Return the ids of all steps of all runs, in an order that keeps that of each run."""
    order: list[str] = []
    for record in records:
        known = {id_: place for place, id_ in enumerate(order)}
        groups: list[list[str]] = [[] for _ in range(len(order) + 1)]  # new steps, by number of known ones before
        at = 0
        for step in record.steps:
            if step.id in known:
                at = known[step.id] + 1
            else:
                groups[at].append(step.id)
        order = [*groups[0], *(i for place, id_ in enumerate(order, 1) for i in (id_, *groups[place]))]
    return order


def label(ids: Sequence[str], id_: str) -> str:
    """Return a step's name, with its visit number if any run visited it twice."""
    name, _, visit = id_.partition("#")
    return f"{name} {visit}" if f"{name}#2" in ids else name


def drawn(records: Sequence[Record]) -> list[str]:
    """Return the ids of the steps that, in any run, used tokens, were not short, or did not succeed."""
    least = max((s.seconds for r in records for s in r.steps), default=0.0) / _SHORT
    found = {
        s.id
        for r in records
        for s in r.steps
        if s.usage.total or s.seconds > least or s.status not in {"done", "skipped"}
    }
    return [id_ for id_ in steps(records) if id_ in found]
