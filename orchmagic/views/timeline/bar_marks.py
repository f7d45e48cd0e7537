"""Texts and marks around the bars of the timeline: names, labels, critical path, rounds, legend."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from orchmagic.trace.record import Record, Span
from orchmagic.views.bar_labels import SMALL, LabelPlacement
from orchmagic.views.palette import GREY, RED, span_color, text_on
from orchmagic.views.timeline.places import BELOW, INDENT, Grid, drawn, name
from orchmagic.views.timeline.rows import PATTERNS, Row, forks, plain


def spoken(rows: list[Row], grid: Grid, at: Callable[[float], float]) -> dict[str, Any]:
    """Return the label of each bar as a text trace; `at` converts 0..1 of the run to units of the axis."""
    return {
        "type": "scatter",
        "mode": "text",
        "name": "words",
        "y": [y + (BELOW if p.side == "below" else 0) for y, p in zip(grid.ys, grid.places, strict=True)],
        "x": [at(p.at) for p in grid.places],
        "text": [f" {plain(p.text)} " for p in grid.places],
        "textposition": ["middle left" if p.side == "before" else "middle right" for p in grid.places],
        "textfont": {"size": SMALL, "color": [_color(r, p) for r, p in zip(rows, grid.places, strict=True)]},
        "cliponaxis": False,
        "hoverinfo": "skip",
    }


def _color(row: Row, place: LabelPlacement) -> str:
    if place.side != "within":
        return RED if row.span.status == "failed" else GREY
    return text_on(span_color(row.span.kind, row.span.status))


def names(rows: list[Row], grid: Grid) -> list[dict[str, Any]]:
    """Return the names of the rows as annotations, indented by depth.

    Axis labels cannot be used: Plotly right-aligns them, which would hide the nesting.
    """
    labels = []
    for y, row in zip(grid.ys, rows, strict=True):
        label: dict[str, Any] = {"y": y, "text": plain(name(row, rows)), "xshift": INDENT * row.depth - grid.left + 4}
        labels.append(label | ({"font": {"color": RED}} if row.span.status == "failed" else {}))
    return labels


def path(record: Record, rows: list[Row], grid: Grid, at: Callable[[float], float]) -> list[dict[str, Any]]:
    """Return a line below the steps of the critical path, from each to the next; none if all steps are on it."""
    steps = [(y, r) for y, r in zip(grid.ys, rows, strict=True) if not r.depth]
    if not forks([r for _, r in steps]):
        return []
    ends = sorted((*drawn(record, r), y) for y, r in steps if r.critical)
    place = {
        "x": [at(t) for start, end, _ in ends for t in (start, end)],
        "y": [y + 0.42 for *_, y in ends for _ in "ab"],
    }
    line = {"color": GREY, "width": 2}
    return [{"type": "scatter", "mode": "lines", "name": "critical path", "line": line, "hoverinfo": "skip", **place}]


def rounds(rows: list[Row], grid: Grid) -> list[dict[str, Any]]:
    """Return a faint line before each new round of a loop."""
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"color": GREY, "width": 0.5, "dash": "dot"}}
    steps = [(y, r.round) for y, r in zip(grid.ys, rows, strict=True) if r.round]
    return [{**line, "y0": y - 0.5, "y1": y - 0.5} for (_, last), (y, now) in pairwise(steps) if now > last]


def meaning(rows: list[Row], more: int) -> list[str]:
    """Return the legend of the marks that occur."""
    tries = [s for r in rows for s in r.calls]
    notes = (
        ("◆ sets the total time", forks(rows)),
        ("striped: from cache", any(r.cached for r in rows)),
        ("crossed: failed attempt", _crossed([*tries, *(r.span for r in rows if not r.calls)])),
        ("pale: waiting between attempts", any(len(r.calls) > 1 for r in rows)),
        (f"{more:,} more rows are not drawn", more),
    )
    return [text for text, holds in notes if holds]


def _crossed(spans: list[Span]) -> bool:
    return any(PATTERNS.get(s.status) == "x" for s in spans)
