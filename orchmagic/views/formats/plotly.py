"""The interactive view: one Plotly figure. Left: when each step and its parts ran; right: tokens and money it took.

Built as plain JSON, so that no run pays for importing plotly. State is told by pattern and words, not by colour
alone; text is mid-grey and the ground transparent, so it reads in light and dark themes.
"""

from __future__ import annotations

from typing import Any

from orchmagic.trace import humanize
from orchmagic.trace.record import Record, Span
from orchmagic.views import View, large
from orchmagic.views.layout import breadth
from orchmagic.views.timeline.marks import GREY, RED, meaning, names, path, rounds, spoken
from orchmagic.views.timeline.places import Grid, grid
from orchmagic.views.timeline.rows import PATTERNS, Row, attempt_hover, length, plain, rows_of

_BLUE, _GREEN, _ORANGE = "#0072b2", "#009e73", "#e69f00"
_KINDS = {"call": _BLUE, "code": _GREEN, "gate": _GREEN, "tools": _ORANGE, "tool": _ORANGE, "approve": "#cc79a7"}
_KINDS |= {"item": _BLUE, "vote": _BLUE, "sub": GREY, "more": GREY}
_SECOND = 1.0
_LINE = 16  # pixels of a line of a label
_PLACE = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "y", "showarrow": False, "align": "left"}
_LABEL = {"bgcolor": "#f7f7f7", "bordercolor": GREY, "font": {"color": "#111111", "size": 12}, "align": "left"}
_DOMAINS = {0: (1.0,), 1: (0.76, 0.82, 1.0), 2: (0.52, 0.57, 0.73, 0.86, 1.0)}  # ends of time, then of each panel


def render(record: Record) -> dict[str, Any]:
    """A figure: `{"data": [...], "layout": {...}, "config": {...}}`."""
    rows, more = rows_of(record)
    tokens, money = _tokens(rows), _money(rows)
    told = [bar for bar in (*tokens, *money) if "text" in bar]
    right = max((breadth(text) for text in told[-1]["text"]), default=0) if told else 0
    room = grid(record, rows, round(right) + 12, _DOMAINS[len(told)][0])
    within = lambda part: _at(record, part * max(record.seconds, 1e-9))  # noqa: E731 - the axis of this run
    data = [
        _timeline(record, rows),
        *_calls(record, rows),
        *path(record, rows, room, lambda t: _at(record, t)),
        spoken(rows, room, within),
        *tokens,
        *money,
    ]
    for bar in data:
        if bar["type"] == "bar":
            bar["y"] = [room.ys[i] for i in bar["y"]]
    layout = _layout(rows, more, room) | _panels(record, rows, [bar["xaxis"] for bar in told])
    return {"data": data, "layout": layout, "config": {"displayModeBar": False, "responsive": True}}


def _scale(record: Record) -> int:
    """Units of the time axis in a second: milliseconds where seconds would be small fractions."""
    return 1 if record.seconds >= _SECOND else 1_000


def _at(record: Record, seconds: float) -> float:
    return round(seconds * _scale(record), 4)


def _bars(record: Record, spans: list[tuple[int, Span]]) -> dict[str, Any]:
    """Horizontal bars, each at its row; one too short to see is drawn as a thin line."""
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
            "color": [RED if r.span.status == "failed" else _KINDS.get(r.span.kind, _BLUE) for r in rows],
            "opacity": [_opacity(rows, i) for i in range(len(rows))],
            "pattern": _hatch([r.pattern for r in rows]),
        },
        "hovertext": [r.hover for r in rows],
    }


def _opacity(rows: list[Row], i: int) -> float:
    """The time of a step that no attempt took is waiting: pale. What frames its parts is paler than they are."""
    if rows[i].calls or rows[i].span.status == "skipped":
        return 0.35
    return 0.6 if _holds(rows, i) else 0.85


def _holds(rows: list[Row], i: int) -> bool:
    """The row after it is inside it."""
    return i + 1 < len(rows) and rows[i + 1].depth > rows[i].depth


def _calls(record: Record, rows: list[Row]) -> list[dict[str, Any]]:
    """Attempts, solid on the pale bar of their step: what lies between them is waiting."""
    calls = [(i, s) for i, r in enumerate(rows) for s in r.calls]
    if not calls:
        return []
    marker = {
        "color": [RED if s.error else _BLUE for _, s in calls],
        "opacity": 0.85,
        "pattern": _hatch([PATTERNS.get(s.status, "") for _, s in calls]),
    }
    hover = [rows[i].hover if s.status == "done" else attempt_hover(s) for i, s in calls]
    return [{**_bars(record, calls), "name": "attempts", "width": 0.5, "marker": marker, "hovertext": hover}]


def _hatch(shapes: list[str]) -> dict[str, Any]:
    return {"shape": shapes, "fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.45, "size": 9}


def _tokens(rows: list[Row]) -> list[dict[str, Any]]:
    spent = [r.span.usage for r in rows]
    if not any(u.total for u in spent):
        return []
    common = {"type": "bar", "orientation": "h", "y": list(range(len(rows))), "xaxis": "x2", "width": 0.66}
    sides: tuple[tuple[str, dict[str, Any]], ...] = (
        ("in", {"x": [u.input for u in spent], "marker": {"color": _BLUE, "opacity": 0.45}}),
        (
            "out",
            {
                "x": [u.output for u in spent],
                "base": [u.input for u in spent],
                "marker": {"color": _BLUE, "opacity": 0.9},
                **_labels([f"{u.total:,}" if u.total else "" for u in spent]),
            },
        ),
    )
    return [
        {**common, **side, "name": f"tokens {name}", "hovertemplate": f"%{{x:,}} tokens {name}<extra></extra>"}
        for name, side in sides
    ]


def _money(rows: list[Row]) -> list[dict[str, Any]]:
    """What each step cost; left out when all was free."""
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
        "marker": {"color": _GREEN, "opacity": 0.85},
        "hoverinfo": "skip",
    }
    return [bar | _labels([humanize.bar(r.span.cost, r.span.unpriced) for r in rows])]


def _labels(texts: list[str]) -> dict[str, Any]:
    return {"text": [plain(t) for t in texts], "textposition": "outside", "cliponaxis": False}


def _layout(rows: list[Row], more: int, room: Grid) -> dict[str, Any]:
    title = meaning(rows, more)
    high = round(60 + (24 if title else 0) + room.row * room.high)
    label = max((_LINE * (r.hover.count("<br>") + 2) for r in rows), default=0)
    more_room = max(0, label - high)  # Plotly shows no label that is higher than the figure
    return {
        "height": high + more_room,
        "annotations": names(rows, room),
        "template": {"layout": {"annotationdefaults": _PLACE}},
        "margin": {"l": room.left, "r": room.right, "t": 34 if title else 10, "b": 40 + more_room},
        "barmode": "overlay",
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": GREY, "size": 12},
        "hoverlabel": _LABEL,
        "title": {"text": title, "font": {"size": 12}, "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 4}},
        "shapes": rounds(rows, room),
        "yaxis": {
            "showticklabels": False,
            "range": [room.high - 0.5, -0.5],
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
        },
    }


def _panels(record: Record, rows: list[Row], panels: list[str]) -> dict[str, Any]:
    """The axes: time, and under each of the others what it adds up to."""
    ends = _DOMAINS[len(panels)]
    axis = {"zeroline": False, "fixedrange": True}
    time = {
        **axis,
        "showgrid": True,
        "gridcolor": "rgba(127,127,127,.2)",
        "domain": [0, ends[0]],
        "title": _title("seconds" if _scale(record) == 1 else "milliseconds", 6),
        "range": [0, _at(record, max(record.seconds, 1e-3) * 1.02)],
    }
    said = {
        "x2": f"{record.usage.total:,} tokens in, out",
        "x3": f"{humanize.money(record.cost, record.unpriced)} in all",
    }
    tops = {"x2": max(r.span.usage.total for r in rows), "x3": max(r.span.cost or 0 for r in rows)} if panels else {}
    others = {
        f"xaxis{panel[1:]}": {
            **axis,
            "showgrid": False,
            "showticklabels": False,
            "domain": [start, end],
            "range": [0, (tops[panel] or 1.0) * 1.02],
            "title": _title(said[panel], 22),
        }
        for panel, start, end in zip(panels, ends[1::2], ends[2::2], strict=True)
    }
    return {"xaxis": time, **others}


def _title(text: str, off: int) -> dict[str, Any]:
    return {"text": plain(text), "font": {"size": 12}, "standoff": off}


plug = View("plotly", "application/vnd.plotly.v1+json", render, when=lambda record: not large(record))
