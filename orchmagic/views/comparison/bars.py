"""The bars of a comparison of runs: which steps are drawn, and the row of each run's bar of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchmagic.trace import humanize
from orchmagic.trace.record import Record, Span
from orchmagic.views.timeline.rows import length

_GAP = 0.7  # rows between two steps
_NAME = 24  # characters of a step's name
_SHORT = 50  # a step is short if it took less than the longest divided by this


@dataclass(frozen=True, slots=True)
class Bar:
    """One run's bar for one step; `span` is None for the whole run."""

    y: float
    run: int
    record: Record
    span: Span | None

    @property
    def start(self) -> float:
        return self.span.start if self.span else 0.0

    @property
    def seconds(self) -> float:
        return length(self.record, self.span) if self.span else self.record.seconds

    @property
    def tokens(self) -> int:
        return self.span.usage.total if self.span else self.record.usage.total

    @property
    def cost(self) -> float | None:
        return self.span.cost if self.span else self.record.cost

    @property
    def unpriced(self) -> int:
        return (self.span or self.record).unpriced


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


def placed(
    records: Sequence[Record], shown: Sequence[str], ids: Sequence[str]
) -> tuple[list[Bar], list[tuple[float, str]], float]:
    """Return the bars from top to bottom, (y, name) of each step, and the number of rows."""
    found = [{s.id: s for s in r.steps} for r in records]
    bars = [Bar(i, i, r, None) for i, r in enumerate(records)]
    names = [((len(records) - 1) / 2, "the run")]
    y = len(records) + _GAP
    for id_ in shown:
        here = [(i, r, found[i][id_]) for i, r in enumerate(records) if id_ in found[i]]
        bars += [Bar(y + place, i, r, span) for place, (i, r, span) in enumerate(here)]
        names.append((y + (len(here) - 1) / 2, humanize.one_line(label(ids, id_), _NAME)))
        y += len(here) + _GAP
    return bars, names, y - _GAP


def longest(records: Sequence[Record]) -> float:
    return max((r.seconds for r in records), default=0.0) or 1e-3
