"""What a notebook saves of a run has a limit: long values are cut, and of very many spans some are left out.

A value that stands in a step is not repeated in its question, and an only attempt that went well is its question.
Of very many items the failures, the slowest and the first stay; what is left out is summed up in one span, so that
steps still add up to the run, and items to their step.
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

_LONG, _SHORT, _WHOLE = 2_000, 40, 1_500  # bytes kept: of one value at most and at least, of all steps
_INSIDE, _WHY = 300, 300  # bytes of a value of what stands inside a step, and of a reason
_NODES = 200  # of a graph: a larger one shows nothing
_ENTRIES, _DEEP = 50, 12  # of a list or dict; levels of nesting
MOST, _KEPT, _FIRST = 1_000, 600, 500  # spans from which some are left out; how many stay; those from the start


def bound(record: Record) -> Record:
    """The record with long values cut, and at most a thousand spans."""
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
    """Of a large record only some items of each step: the failures, the slowest and the first."""
    if len(record.spans) <= MOST:
        return record
    return replace(record, spans=tuple(_thin(record, record.steps)))


def _thin(record: Record, spans: Sequence[Span]) -> Iterator[Span]:
    for span in few(spans):
        yield span
        yield from _thin(record, record.inside(span))


def _kept(record: Record) -> tuple[Span, ...]:
    tries = Counter(s.parent for s in record.spans if s.kind == "attempt")
    spans = [s for s in record.spans if not (s.kind == "attempt" and s.status == "done" and tries[s.parent] == 1)]
    if len(record.spans) <= MOST:
        return tuple(spans)
    steps = record.steps
    if len(steps) > _KEPT:
        last = len(steps) - (_KEPT - _FIRST)
        steps = (*steps[:_FIRST], summed(steps[_FIRST:last]), *steps[last:])
    return (*steps, *_telling(spans, {s.id for s in steps}, MOST - len(steps)))


def _telling(spans: Sequence[Span], shown: set[str], most: int) -> Iterator[Span]:
    """Of what is inside the steps only what tells a story; nothing whose parent is left out."""
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
    """JSON whose texts are at most `limit` bytes, whose lists and dicts are short, and whose whole is bounded."""
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
    # too deep, or no JSON, such as an infinite number: a notebook that holds it cannot be saved
    return "…" if isinstance(value, list | tuple | dict) else _cut_text(str(value), limit)


def _more(value: list[Any] | tuple[Any, ...] | dict[Any, Any]) -> Iterable[str]:
    return [f"… ({len(value):,} entries)"] if len(value) > _ENTRIES else []


def _cut_text(text: str, limit: int) -> str:
    """The first `limit` bytes and how long it was; halves of characters, which no file can hold, are replaced."""
    whole = text.encode("utf-8", "replace")
    if len(whole) <= limit:
        return whole.decode()
    return f"{whole[:limit].decode(errors='ignore')}{cut_note(len(text))}"
