"""Select the spans that a view lists: steps, and indented under them items, votes, tools and inner steps.

Of many items only failures, the slowest and the first are listed; one line sums up the rest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from orchmagic.core.text_format import counted
from orchmagic.trace import marks
from orchmagic.trace.events import Usage
from orchmagic.trace.record import Record, Span

MANY = frozenset({"item", "vote", "tool"})
"""Kinds of spans of which a step may contain many."""

BESIDE = 12  # items shown per step, at most
_HIDDEN = frozenset({"ask", "attempt"})
_TROUBLE = frozenset({"failed", "waiting", "cancelled", "rejected", "running"})


def lines(record: Record, most: int) -> tuple[list[tuple[Span, int]], int]:
    """Return the first `most` spans as (span, depth; 0 for a step), and the number of spans left out."""
    found = list(_lines(record, record.steps, 0))
    return found[:most], max(0, len(found) - most)


def _lines(record: Record, spans: Sequence[Span], depth: int) -> Iterator[tuple[Span, int]]:
    for span in few(spans, beside(record, spans)):
        if span.kind not in _HIDDEN:
            yield span, depth
            yield from _lines(record, record.inside(span), depth + 1)


def beside(record: Record, spans: Sequence[Span]) -> int:
    """Return how many items of `spans` a view lists: half as many where they have parts, such as votes."""
    inside = (part for span in spans if span.kind in MANY for part in record.inside(span))
    return BESIDE // 2 if any(part.kind in MANY for part in inside) else BESIDE


def few(spans: Sequence[Span], most: int = BESIDE) -> tuple[Span, ...]:
    """Return the spans; of many items only those of `chosen`, and the rest summed up in one span."""
    items = [s for s in spans if s.kind in MANY]
    if len(items) <= most + 1:  # one more item takes no more room than the summary line
        return tuple(spans)
    kept = chosen(items, most)
    rest = [s for s in items if s.id not in kept]
    shown = [s for s in spans if s.kind not in MANY or s.id in kept]
    return (*shown, summed(rest))


def chosen(items: Sequence[Span], most: int) -> set[str]:
    """Return the ids of at most `most` items: the first failures, the slowest, and the first of the others."""
    kept: dict[str, None] = {}
    trouble = (s.id for s in items if s.status in _TROUBLE)
    slowest = (s.id for s in sorted(items, key=lambda s: -s.seconds))
    kept.update(dict.fromkeys(islice(trouble, most // 2)))
    kept.update(dict.fromkeys(islice((i for i in slowest if i not in kept), most // 4)))
    kept.update(dict.fromkeys(islice((s.id for s in items if s.id not in kept), most - len(kept))))
    return set(kept)


def summed(spans: Sequence[Span]) -> Span:
    """Sum up spans in one, so that the parts of a step still add up to it."""
    known = [s.cost for s in spans if s.cost is not None]
    ends = [s.end for s in spans if s.end is not None]
    parent, counts = spans[0].parent, Counter(s.doubt or s.status for s in spans)
    kind = spans[0].kind if parent is not None and spans[0].kind in MANY else "step"
    word = {"item": "row", "tool": "tool call"}.get(kind, kind)
    troubles = Counter(trouble.lower() for s in spans if (trouble := marks.trouble(s)))
    said = ", ".join(f"{n:,} {trouble}" for trouble, n in troubles.items())
    return Span(
        id=f"{parent}/more" if parent else "more",
        parent=parent,
        kind="more",
        name=f"{counted(len(spans), f'more {word}')}{f' ({said})' if said else ''}",
        status="failed" if counts["failed"] else "done",
        left_out=dict(counts) if kind != "step" else {},
        start=min(s.start for s in spans),
        end=max(ends, default=None) if len(ends) == len(spans) else None,
        usage=sum((s.usage for s in spans), Usage()),
        cost=math.fsum(known) if known else None,
        unpriced=sum(s.unpriced for s in spans),
    )
