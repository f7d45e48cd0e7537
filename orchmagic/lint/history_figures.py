"""Figures that rules take from the records of earlier runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from orchmagic.trace.record import Record, Span

MANY = 30
"""The fewest runs, or replies, from which a share is quoted."""


def visits(record: Record, name: str) -> list[Span]:
    """Returns the visits of a step that were not skipped, in order."""
    return [s for s in record.steps if s.name == name and s.status != "skipped"]


def asks(record: Record, name: str) -> Iterator[Span]:
    """Yields the model calls of a step that have a reply, at any depth."""
    inside = (s for visit in visits(record, name) for s in record.below(visit))
    yield from (s for s in inside if s.kind == "ask" and s.status in {"done", "retried"})


def mean(values: Sequence[float]) -> float:
    """Returns the mean; 0 without values."""
    return math.fsum(values) / len(values) if values else 0.0
