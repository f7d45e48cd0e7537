"""What a comparison of runs draws, bar by bar: which steps count, and in which row each run's bar of a step stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchmagic.trace import humanize
from orchmagic.trace.record import Record, Span
from orchmagic.views.timeline.rows import length

_GAP = 0.7  # rows between two steps
_NAME = 24  # characters of a step's name
_SHORT = 50  # a step that took less than this part of the longest one took hardly any time


@dataclass(frozen=True, slots=True)
class Bar:
    """What one run did in one step; `span` is None for the run as a whole."""

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
    """The ids of all steps, in the order in which any run came to them."""
    order: list[str] = []
    for record in records:
        known = {id_: place for place, id_ in enumerate(order)}
        groups: list[list[str]] = [[] for _ in range(len(order) + 1)]  # what is new, by how many known ones precede it
        at = 0
        for step in record.steps:
            if step.id in known:
                at = known[step.id] + 1
            else:
                groups[at].append(step.id)
        order = [*groups[0], *(i for place, id_ in enumerate(order, 1) for i in (id_, *groups[place]))]
    return order


def label(ids: Sequence[str], id_: str) -> str:
    """A step's name, with its visit where any run came to it twice."""
    name, _, visit = id_.partition("#")
    return f"{name} {visit}" if f"{name}#2" in ids else name


def drawn(records: Sequence[Record]) -> list[str]:
    """The steps that took time or tokens in any run, or did not go well: a quick expression tells nothing."""
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
    """Bars from top to bottom, (place, name) of each step, and how many rows there are."""
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
