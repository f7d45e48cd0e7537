"""Truncate a record for saving in a notebook: long values are shortened, and of many spans some are left out.

Values of a step are not repeated in its parts, and an attempt that succeeded at once is left out of its model call.
Of many items the failures, the slowest and the first are kept; the others are summed up in one span, so that steps
still add up to the run, and items to their step.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from orchmagic.core.text_format import cut_note
from orchmagic.trace.baseline import pinned
from orchmagic.trace.record import Picture, Record, Span
from orchmagic.views.span_list import MANY, few, summed

_LONG, _SHORT, _WHOLE = 2_000, 40, 1_500  # bytes kept: of a value at most, at least; of all steps
_INSIDE, _WHY = 300, 300  # bytes of a value inside a step, and of a reason
_NODES = 200  # a larger graph is not saved
_ENTRIES, _DEEP = 50, 12  # entries of a list or dict, levels of nesting, at most
MOST, _KEPT, _FIRST = 1_000, 600, 500  # maximum of spans; of steps kept, if more; of those from the start


def bound(record: Record) -> Record:
    """Return the record with long values truncated and at most MOST spans."""
    kept = _kept(thinned(record))
    steps = sum(s.parent is None for s in kept)
    inner = sum(s.parent is not None and s.kind not in {"ask", "attempt", "tool"} for s in kept)
    limit = max(_SHORT, min(_LONG, _WHOLE // max(1, steps)))
    inside = max(_SHORT, min(limit, _INSIDE, 2 * _WHOLE // max(1, inner)))
    above = {s.id: s for s in kept}
    spans = tuple(_cut_span(s, above.get(s.parent or ""), inside if s.parent else limit) for s in kept)
    inputs = {k: cut(v, limit) for k, v in record.inputs.items()}
    error, reason = (None if t is None else _cut_text(t, _LONG) for t in (record.error, record.reason))
    output = cut(record.output, _LONG)
    picture = record.picture if len(record.picture.nodes) <= _NODES else Picture()
    return replace(
        record,
        seconds=round(record.seconds, 4),
        spans=spans,
        inputs=inputs,
        output=output,
        error=error,
        reason=reason,
        picture=picture,
        strongest=pinned(record),
    )


def thinned(record: Record) -> Record:
    """Reduce the items of each step to the failures, the slowest and the first, if the record is large."""
    if len(record.spans) <= MOST:
        return record
    return replace(record, spans=tuple(_thin(record, record.steps)))


def _thin(record: Record, spans: Sequence[Span]) -> Iterator[Span]:
    for span in few(spans):
        yield span
        yield from _thin(record, record.inside(span))


def without_sole_attempts(spans: Sequence[Span]) -> list[Span]:
    """Leave out each attempt that succeeded at once: its model call says the same."""
    tries = Counter(s.parent for s in spans if s.kind == "attempt")
    return [s for s in spans if not (s.kind == "attempt" and s.status == "done" and tries[s.parent] == 1)]


def _kept(record: Record) -> tuple[Span, ...]:
    spans = without_sole_attempts(record.spans)
    if len(record.spans) <= MOST:
        return tuple(spans)
    steps = record.steps
    if len(steps) > _KEPT:
        last = len(steps) - (_KEPT - _FIRST)
        steps = (*steps[:_FIRST], summed(steps[_FIRST:last]), *steps[last:])
    return (*steps, *_telling(spans, {s.id for s in steps}, MOST - len(steps)))


def _telling(spans: Sequence[Span], shown: set[str], most: int) -> Iterator[Span]:
    """Yield the inner spans with an error or a reason, and items and tools, if their parent is kept."""
    for span in spans:
        telling = span.error or span.why or span.kind in MANY or span.kind == "more"
        if most and span.parent in shown and telling:
            most -= 1
            shown.add(span.id)
            yield span


def _cut_span(span: Span, above: Span | None, limit: int) -> Span:
    known = () if above is None else (above.input, above.output)
    return replace(
        span,
        start=round(span.start, 4),
        end=None if span.end is None else round(span.end, 4),
        input=None if span.input in known else cut(span.input, limit),
        output=None if span.output in known else cut(span.output, limit),
        asked=None if span.asked is None else cut(span.asked, limit),
        error=None if span.error is None else _cut_text(span.error, limit),
        why=tuple(reason.map_texts(lambda text: _cut_text(text, _WHY)) for reason in span.why),
    )


def cut(value: Any, limit: int) -> Any:
    """Truncate a JSON value: texts to `limit` bytes, long lists and dicts, and the value as a whole."""
    short = _cut(value, limit, _DEEP)
    if isinstance(short, str):
        return short
    said = json.dumps(short, ensure_ascii=False)
    return short if len(said) <= 4 * limit + 200 else _cut_text(said, limit)


def _cut(value: Any, limit: int, deep: int) -> Any:
    match value:
        case str():
            return _cut_text(value, limit)
        case list() | tuple() if deep:
            return [*(_cut(v, limit, deep - 1) for v in value[:_ENTRIES]), *_more(value)]
        case dict() if deep:
            pairs = list(value.items())[:_ENTRIES]
            return {_cut_text(str(k), 80): _cut(v, limit, deep - 1) for k, v in pairs} | dict.fromkeys(_more(value), "")
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
    # too deep, or not JSON, such as infinity: Jupyter cannot save it
    return "…" if isinstance(value, list | tuple | dict) else _cut_text(str(value), limit)


def _more(value: list[Any] | tuple[Any, ...] | dict[Any, Any]) -> Iterable[str]:
    return [f"… ({len(value):,} entries)"] if len(value) > _ENTRIES else []


def _cut_text(text: str, limit: int) -> str:
    """Return the first `limit` bytes and the full length; lone surrogates, which UTF-8 cannot hold, are replaced."""
    whole = text.encode("utf-8", "replace")
    if len(whole) <= limit:
        return whole.decode()
    return f"{whole[:limit].decode(errors='ignore')}{cut_note(len(text))}"
