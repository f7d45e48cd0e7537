"""The interactive view: one Plotly figure. Left: the time of each step and its parts; right: their tokens and cost.

It is built as plain JSON, to avoid importing plotly. Status is shown by pattern and text, not by colour alone;
text is mid-grey on a transparent background, for light and dark themes.
"""

from __future__ import annotations

from typing import Any

from orchmagic.trace import humanize
from orchmagic.trace.record import Record, Span
from orchmagic.views import View, large
from orchmagic.views.palette import BLUE, GREEN, GREY, RED, span_color
from orchmagic.views.text_width import pack, text_width
from orchmagic.views.timeline import axes
from orchmagic.views.timeline.bar_marks import meaning, names, path, rounds, spoken
from orchmagic.views.timeline.places import NARROW, OPACITY, Grid, grid, look, names_width
from orchmagic.views.timeline.rows import PATTERNS, Row, attempt_hover, length, plain, rows_of

_LINE = 16  # pixels of a line of a label
_PLACE = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "y", "showarrow": False, "align": "left"}
_LABEL = {"bgcolor": "#f7f7f7", "bordercolor": GREY, "font": {"color": "#111111", "size": 12}, "align": "left"}


def render(record: Record) -> dict[str, Any]:
    """Return the figure: `{"data": [...], "layout": {...}, "config": {...}}`."""
    rows, more = rows_of(record)
    panels = [panel for panel in (_tokens(rows), _money(rows)) if panel]
    beside = [max(text_width(text) for text in panel[-1]["text"]) + axes.AIR for panel in panels]
    right = round(beside[-1]) if beside else axes.AIR
    ends = axes.panel_ends(NARROW - names_width(rows) - right, beside)
    room = grid(record, rows, right, ends[0])
    within = lambda part: _at(record, part * max(record.seconds, 1e-9))  # noqa: E731 - the axis of this run
    data = [
        _timeline(record, rows),
        *_calls(record, rows),
        *path(record, rows, room, lambda t: _at(record, t)),
        spoken(rows, room, within),
        *(bar for panel in panels for bar in panel),
    ]
    for bar in data:
        if bar["type"] == "bar":
            bar["y"] = [room.ys[i] for i in bar["y"]]
            if "text" in bar:
                bar["text"] = [plain(text) for text in bar["text"]]
    shown = [panel[-1]["xaxis"] for panel in panels]
    layout = _layout(record, rows, more, room, shown) | _axes(record, rows, room, shown, ends)
    return {"data": data, "layout": layout, "config": axes.CONFIG}


def _at(record: Record, seconds: float) -> float:
    return round(seconds * axes.scale(record.seconds), 4)


def _bars(record: Record, spans: list[tuple[int, Span]]) -> dict[str, Any]:
    """Return horizontal bars, one per (row, span), each with a visible minimum length."""
    return {
        "type": "bar",
        "orientation": "h",
        "y": [row for row, _ in spans],
        "base": [_at(record, s.start) for _, s in spans],
        "x": [_at(record, max(length(record, s), record.seconds / 400)) for _, s in spans],
        "width": 0.66,
        "hoverinfo": "text",
    }


def _timeline(record: Record, rows: list[Row]) -> dict[str, Any]:
    return {
        **_bars(record, [(i, r.span) for i, r in enumerate(rows)]),
        "name": "steps",
        "marker": {
            "color": [span_color(r.span.kind, r.span.status) for r in rows],
            "opacity": [OPACITY[look(rows, i)] for i in range(len(rows))],
            "pattern": axes.hatch([r.pattern for r in rows], 9),
        },
        "hovertext": [r.hover for r in rows],
    }


def _calls(record: Record, rows: list[Row]) -> list[dict[str, Any]]:
    """Return the attempts as solid bars on the pale bar of their step: the gaps are waiting time."""
    calls = [(i, s) for i, r in enumerate(rows) for s in r.calls]
    if not calls:
        return []
    marker = {
        "color": [RED if s.error else BLUE for _, s in calls],
        "pattern": axes.hatch([PATTERNS.get(s.status, "") for _, s in calls], 9),
    }
    hover = [rows[i].hover if s.status == "done" else attempt_hover(s) for i, s in calls]
    return [{**_bars(record, calls), "name": "attempts", "width": 0.5, "marker": marker, "hovertext": hover}]


def _tokens(rows: list[Row]) -> list[dict[str, Any]]:
    spent = [r.span.usage for r in rows]
    if not any(u.total for u in spent):
        return []
    common = {"type": "bar", "orientation": "h", "y": list(range(len(rows))), "xaxis": "x2", "width": 0.66}
    sides: tuple[tuple[str, dict[str, Any]], ...] = (
        ("in", {"x": [u.input for u in spent], "marker": {"color": BLUE, "opacity": 0.45}}),
        (
            "out",
            {
                "x": [u.output for u in spent],
                "base": [u.input for u in spent],
                "marker": {"color": BLUE, "opacity": 1},
                **_labels([f"{u.total:,}" if u.total else "" for u in spent]),
            },
        ),
    )
    return [
        {**common, **side, "name": f"tokens {name}", "hovertemplate": f"%{{x:,}} tokens {name}<extra></extra>"}
        for name, side in sides
    ]


def _money(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the bars of cost per step; none if all steps are free."""
    costs = [r.span.cost for r in rows]
    if not any(c is None or c or r.span.unpriced for c, r in zip(costs, rows, strict=True)):
        return []
    bar = {
        "type": "bar",
        "orientation": "h",
        "name": "cost",
        "y": list(range(len(rows))),
        "x": [c or 0 for c in costs],
        "xaxis": "x3",
        "width": 0.66,
        "marker": {"color": GREEN},
        "hoverinfo": "skip",
    }
    return [bar | _labels([humanize.money(r.span.cost, r.span.unpriced) for r in rows])]


def _labels(texts: list[str]) -> dict[str, Any]:
    return {"text": texts, "textposition": "outside", "cliponaxis": False}


def _layout(record: Record, rows: list[Row], more: int, room: Grid, panels: list[str]) -> dict[str, Any]:
    title = [plain(line) for line in pack(meaning(rows, more), NARROW - axes.AIR)]
    top, bottom = 10 + _LINE * len(title) + (8 if title else 0), 26 + _LINE * len(panels)
    high = round(top + bottom + room.row * room.high)
    label = max((_LINE * (r.hover.count("<br>") + 2) for r in rows), default=0)
    more_room = max(0, label - high)  # Plotly hides a label that is higher than the figure
    totals = {
        "x2": f"{humanize.tokens(record.usage)} tokens (input + output)",
        "x3": f"total {humanize.money(record.cost, record.unpriced)}",
    }
    return {
        **axes.LOOK,
        "height": high + more_room,
        "annotations": [*names(rows, room), *(_total(totals[axis], line, room) for line, axis in enumerate(panels))],
        "template": {"layout": {"annotationdefaults": _PLACE}},
        "margin": {"l": room.left, "r": room.right, "t": top, "b": bottom + more_room},
        "barmode": "overlay",
        "hoverlabel": _LABEL,
        "title": axes.title(title),
        "shapes": rounds(rows, room),
        "yaxis": axes.row_axis(room.high),
    }


def _total(text: str, line: int, room: Grid) -> dict[str, Any]:
    """Return the annotation with a panel's total: below the ticks, on its own line, right-aligned."""
    return {
        "text": plain(text), "x": 1, "xanchor": "right", "xshift": room.right - 4, "align": "right",
        "y": 0, "yref": "paper", "yanchor": "top", "yshift": -20 - _LINE * line,
    }  # fmt: skip


def _axes(record: Record, rows: list[Row], room: Grid, panels: list[str], ends: tuple[float, ...]) -> dict[str, Any]:
    """Return the x axes of the timeline and of each panel."""
    tops = {"x2": max(r.span.usage.total for r in rows), "x3": max(r.span.cost or 0 for r in rows)} if panels else {}
    others = {
        f"xaxis{panel[1:]}": axes.panel_axis(start, end, tops[panel] or 1.0)
        for panel, start, end in zip(panels, ends[1::2], ends[2::2], strict=True)
    }
    return {"xaxis": axes.time_axis(record.seconds, ends[0], NARROW - room.left - room.right), **others}


plug = View("plotly", "application/vnd.plotly.v1+json", render, when=lambda record: not large(record))
