"""Which spans a view shows, from top to bottom: steps, and indented under them items, votes, tools and inner steps.

Of very many items those that tell most are shown, the rest is one line.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from orchmagic.trace.events import Usage
from orchmagic.trace.record import Record, Span

MANY = frozenset({"item", "vote", "tool"})
"""Kinds of which a step can have very many."""

BESIDE = 12  # items of a step that are shown
_HIDDEN = frozenset({"ask", "attempt"})
_TROUBLE = frozenset({"failed", "waiting", "cancelled", "running"})


def lines(record: Record, most: int) -> tuple[list[tuple[Span, int]], int]:
    """The first `most` spans to show, each with its depth (0: a step), and how many more there are."""
    found = list(_lines(record, record.steps, 0))
    return found[:most], max(0, len(found) - most)


def _lines(record: Record, spans: Sequence[Span], depth: int) -> Iterator[tuple[Span, int]]:
    for span in few(spans):
        if span.kind not in _HIDDEN:
            yield span, depth
            yield from _lines(record, record.inside(span), depth + 1)


def few(spans: Sequence[Span], most: int = BESIDE) -> tuple[Span, ...]:
    """All, or of very many items the telling ones and the rest in one."""
    items = [s for s in spans if s.kind in MANY]
    if len(items) <= most + 1:  # one more takes no more room than saying so
        return tuple(spans)
    kept = chosen(items, most)
    rest = [s for s in items if s.id not in kept]
    shown = [s for s in spans if s.kind not in MANY or s.id in kept]
    return (*shown, summed(rest))


def chosen(items: Sequence[Span], most: int) -> set[str]:
    """The ids of the first failures, of the slowest, and of the first ones."""
    kept: dict[str, None] = {}
    trouble = (s.id for s in items if s.status in _TROUBLE)
    slowest = (s.id for s in sorted(items, key=lambda s: -s.seconds))
    kept.update(dict.fromkeys(islice(trouble, most // 2)))
    kept.update(dict.fromkeys(islice((i for i in slowest if i not in kept), most // 4)))
    kept.update(dict.fromkeys(islice((s.id for s in items if s.id not in kept), most - len(kept))))
    return set(kept)


def summed(spans: Sequence[Span]) -> Span:
    """Many in one, so that what is inside a step still adds up to it."""
    known = [s.cost for s in spans if s.cost is not None]
    ends = [s.end for s in spans if s.end is not None]
    parent, counts = spans[0].parent, Counter(s.status for s in spans)
    said = ", ".join(f"{n:,} {status}" for status, n in counts.items()) if counts.keys() != {"done"} else ""
    word = "step" if parent is None else spans[0].kind if spans[0].kind in MANY else "step"
    return Span(
        id=f"{parent}/more" if parent else "more",
        parent=parent,
        kind="more",
        name=f"{len(spans):,} more {word}s{f' ({said})' if said else ''}",
        status="failed" if counts["failed"] else "done",
        left_out=dict(counts) if word != "step" else {},
        start=min(s.start for s in spans),
        end=max(ends, default=None) if len(ends) == len(spans) else None,
        usage=sum((s.usage for s in spans), Usage()),
        cost=math.fsum(known) if known else None,
        unpriced=sum(s.unpriced for s in spans),
    )
