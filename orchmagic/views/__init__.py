"""The socket for views: each renders a Record as one MIME type; a display carries them all.

What a model wrote is hostile: every view escapes it, and cuts it, so that a saved notebook stays small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from orchmagic.registry import Registry
from orchmagic.trace import Record, Span

_LONG, _SHORT, _WHOLE = 2_000, 40, 4_500  # characters kept: of one value at most and at least, of all steps
_MANY = 1_000  # spans from which a figure is too slow


@dataclass(frozen=True, slots=True)
class View:
    """`render(record)` is the data under `mime`; `when` says whether this record gets it."""

    name: str
    mime: str
    render: Callable[[Record], Any]
    when: Callable[[Record], bool] = lambda _: True


VIEWS: Registry[View] = Registry("orchmagic.views", "plug", View)


def bundle(record: Record) -> dict[str, Any]:
    """The MIME bundle of a run: Plotly, our trace, static HTML and text."""
    bounded = bound(record)
    return {view.mime: view.render(bounded) for view in VIEWS if view.when(bounded)}


def large(record: Record) -> bool:
    """Too many spans for a figure."""
    return len(record.spans) > _MANY


def bound(record: Record) -> Record:
    """The record with long values cut, so that what a notebook saves has a limit."""
    limit = max(_SHORT, min(_LONG, _WHOLE // max(1, len(record.steps))))
    spans = tuple(_cut_span(s, limit) for s in record.spans[: 10 * _MANY])
    inputs = {k: cut(v, limit) for k, v in record.inputs.items()}
    return replace(record, spans=spans, inputs=inputs, output=cut(record.output, 2 * _LONG))


def _cut_span(span: Span, limit: int) -> Span:
    # an ask's words stand in its step already: kept short, they tell attempts and re-asks apart
    limit = limit if span.parent is None else min(limit, 300)
    return replace(
        span,
        start=round(span.start, 4),
        end=None if span.end is None else round(span.end, 4),
        input=cut(span.input, limit),
        output=cut(span.output, limit),
        error=None if span.error is None else cut(span.error, limit),
        why=tuple(cut(w, 300) for w in span.why),
    )


def cut(value: Any, limit: int) -> Any:
    """JSON whose texts are at most `limit` characters, whose lists and dicts at most 50 entries."""
    if isinstance(value, str):
        return value if len(value) <= limit else f"{value[:limit]}… ({len(value):,} characters)"
    if isinstance(value, list | tuple):
        kept = [cut(v, limit) for v in value[:50]]
        return kept if len(value) <= 50 else [*kept, f"… ({len(value):,} entries)"]  # noqa: PLR2004 - as said above
    if isinstance(value, dict):
        return {cut(str(k), 80): cut(v, limit) for k, v in list(value.items())[:50]}
    return value
