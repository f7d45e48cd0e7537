"""The Plotly form of a run: a bar for each step and part on a time axis, its figures and remarks beside it in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchmagic.core.text_format import more
from orchmagic.trace import humanize, marks
from orchmagic.trace.record import Record
from orchmagic.views import View, large
from orchmagic.views.bar_figure import Bar, BarRow, bar_figure, end_of, seconds
from orchmagic.views.palette import span_color
from orchmagic.views.timeline.rows import PATTERNS, Row, attempt_hover, forks, length, rows_of

_INSIDE = "\u00a0\u21b3 "  # before the heading of a part: tick labels are right-aligned, so no indentation shows
_OPACITY = {"waiting": 0.35, "frame": 0.6, "solid": 1.0}


def render(record: Record) -> dict[str, Any]:
    """Return the figure: `{"data": [...], "layout": {...}, "config": {...}}`."""
    rows, left = rows_of(record)
    drawn = [_row(record, rows, i) for i in range(len(rows))]
    return bar_figure([*drawn, _sums(record, rows, left)], end_of(max(record.seconds, 1e-3)), seconds)


def _row(record: Record, rows: list[Row], i: int) -> BarRow:
    row = rows[i]
    star = " \u25c6" if row.critical and forks(rows) else ""
    heading, bars = _INSIDE * bool(row.depth) + row.label + star, tuple(_bars(record, rows, i))
    return BarRow(heading, " · ".join(row.words), bars, row.span.status == "failed")


def _bars(record: Record, rows: list[Row], i: int) -> Iterator[Bar]:
    """Yield the bar of a row, and on it those of its attempts: the gaps between them are waiting time."""
    row, span = rows[i], rows[i].span
    color = span_color(span.kind, span.status)
    yield Bar(span.start, length(record, span), color, row.hover, row.pattern, _OPACITY[_look(rows, i)])
    for call in row.calls:
        hover = row.hover if call.status == "done" else attempt_hover(call)
        color = span_color("call", "failed" if call.error else "done")
        yield Bar(call.start, length(record, call), color, hover, PATTERNS.get(call.status, ""), inner=True)


def _look(rows: list[Row], i: int) -> str:
    """Return the look of a row's bar: waiting, frame (the next rows are inside it) or solid."""
    if rows[i].calls or rows[i].span.status == "skipped":
        return "waiting"
    return "frame" if i + 1 < len(rows) and rows[i + 1].depth > rows[i].depth else "solid"


def _sums(record: Record, rows: list[Row], left: int) -> BarRow:
    """Return the last row: the sums, and what the marks mean that occur above."""
    parts = [
        f"{humanize.tokens(record.usage)} tokens (input + output)",
        f"total {humanize.money(record.cost, record.unpriced)}",
        *_meaning(rows),
        *([more(left, "rows")] if left else []),
    ]
    return BarRow(f"{marks.of(record).sign} {marks.of(record).word}", " · ".join(parts))


def _meaning(rows: list[Row]) -> list[str]:
    spans = [s for r in rows for s in (*r.calls, *(() if r.calls else (r.span,)))]
    notes = (
        ("\u25c6 sets the total time", forks(rows)),
        ("striped: from cache", any(r.cached for r in rows)),
        ("crossed: failed attempt", any(PATTERNS.get(s.status) == "x" for s in spans)),
        ("pale: waiting between attempts", any(len(r.calls) > 1 for r in rows)),
    )
    return [text for text, holds in notes if holds]


plug = View("plotly", "application/vnd.plotly.v1+json", render, when=lambda record: not large(record))
