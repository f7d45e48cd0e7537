"""What there is to say of a step under way, in a few words: items done, votes given, what is inside, retries, cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchmagic.trace import humanize, summary
from orchmagic.trace.record import Record, Span

_ENDED = frozenset({"done", "failed"})
_PARTS = frozenset({"item", "vote"})
_INSIDE = frozenset({"ask", "attempt", *_PARTS})  # spans that are no step
_SIDE = 3  # parts under way that are named
_LINE = 90  # characters


def note(record: Record, step: Span) -> str:
    """One line; empty when the line of the step says it all."""
    return humanize.one_line(" · ".join(filter(None, _notes(record, step))), _LINE)


def _notes(record: Record, step: Span) -> Iterator[str]:
    if step.status == "failed":
        yield humanize.one_line(step.error, _LINE)
    if step.status == "skipped":
        yield humanize.one_line(" ".join(map(str, step.why)), _LINE)
    yield summary.waits(step)
    yield progress(record, step)
    if step.status == "running":
        yield _inner(record, step)
        yield _trouble(record, step)
    yield summary.cache(record, step)
    yield summary.scores(step)


def progress(record: Record, step: Span) -> str:
    """`37 of 100 items, 2 failed`, `3 of 5 votes`, or nothing."""
    parts = [s for s in record.inside(step) if s.kind in _PARTS]
    total = max(len(parts), _total(record, step))
    if not total:
        return ""
    word = "vote" if _votes(record, step) else "item"
    ended = sum(s.status in _ENDED for s in parts)
    failed = sum(s.status == "failed" for s in parts)
    many = word if total == 1 else f"{word}s"
    return f"{ended:,} of {total:,} {many}{f', {failed:,} failed' if failed else ''}"


def _total(record: Record, step: Span) -> int:
    """How many items the step was given, or votes it will ask; 0 for a plain step."""
    told: Any = step.input
    if isinstance(told, dict) and told.keys() == {"over", "items"} and isinstance(told["items"], int):
        return told["items"]
    return _votes(record, step)


def _votes(record: Record, step: Span) -> int:
    said = dict(record.picture.notes).get(step.name, "") if step.parent is None else ""
    number = next((w[1:-6] for w in said.split(" · ") if w.endswith(" votes")), "")
    return int(number) if number.isdigit() else 0


def _inner(record: Record, step: Span) -> str:
    """The innermost steps and tools that run now: `in write`, `find_order, refund`."""
    running = [s for s in record.below(step) if s.status == "running" and s.kind not in _INSIDE]
    outer = {s.parent for s in running}
    leaves = [s for s in running if s.id not in outer]
    word = "in " if any(s.kind != "tool" for s in leaves) else ""
    if any(s.kind == "item" for s in record.inside(step)):  # the same step of many items: once
        named = list(dict.fromkeys(s.name for s in leaves))
    else:
        named = [f"{s.name} ({said})" if (said := progress(record, s)) else s.name for s in leaves]
    more = f" and {len(named) - _SIDE} more" if len(named) > _SIDE else ""
    return f"{word}{', '.join(named[:_SIDE])}{more}" if named else ""


def _trouble(record: Record, step: Span) -> str:
    """A retry, or another model than the first: why it takes longer."""
    asks = [s for s in record.inside(step) if s.kind == "ask" and s.status == "running" and s.why]
    return humanize.one_line(str(asks[-1].why[-1]), _LINE) if asks else ""
