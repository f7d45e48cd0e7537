"""The interactive view: one Plotly figure. Left: when each step and its parts ran; right: tokens and money it took.

Built as plain JSON, so that no run pays for importing plotly. State is told by pattern and words, not by colour
alone; text is mid-grey and the ground transparent, so it reads in light and dark themes.
"""

from __future__ import annotations

from typing import Any

from orchmagic import words
from orchmagic.layout import breadth
from orchmagic.trace import Record, Span
from orchmagic.views import View, large
from orchmagic.views._rows import PATTERNS, ROWS, Row, attempt_hover, forks, length, plain, rows_of

_GREY, _BLUE, _GREEN, _RED, _ORANGE = "#7f7f7f", "#0072b2", "#009e73", "#d55e00", "#e69f00"
_KINDS = {"call": _BLUE, "code": _GREEN, "gate": _GREEN, "tools": _ORANGE, "tool": _ORANGE, "approve": "#cc79a7"}
_KINDS |= {"item": _BLUE, "vote": _BLUE, "sub": _GREY, "more": _GREY}
_SECOND = 1.0
_PLACE = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "y", "showarrow": False, "align": "left"}
_INDENT = 14  # pixels that a part stands further in than what it is part of
_SOON, _LATE = 0.6, 0.4  # parts of the run: a bar that ends sooner has its words behind it, a late one before it


def render(record: Record) -> dict[str, Any]:
    """A figure: `{"data": [...], "layout": {...}, "config": {...}}`."""
    rows, more = rows_of(record)
    data = [_timeline(record, rows), *_calls(record, rows), _words(record, rows), *_tokens(rows), *_money(rows)]
    layout = _layout(record, rows, more, {bar["xaxis"] for bar in data if "xaxis" in bar})
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
            "color": [_RED if r.span.status == "failed" else _KINDS.get(r.span.kind, _BLUE) for r in rows],
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
        "color": [_RED if s.error else _BLUE for _, s in calls],
        "opacity": 0.85,
        "pattern": _hatch([PATTERNS.get(s.status, "") for _, s in calls]),
    }
    hover = [rows[i].hover if s.status == "done" else attempt_hover(s) for i, s in calls]
    return [{**_bars(record, calls), "name": "attempts", "width": 0.5, "marker": marker, "hovertext": hover}]


def _hatch(shapes: list[str]) -> dict[str, Any]:
    return {"shape": shapes, "fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.45, "size": 9}


def _words(record: Record, rows: list[Row]) -> dict[str, Any]:
    """Words beside each bar, where there is room: behind, before, or within a bar that fills its row."""
    whole = max(record.seconds, 1e-9)
    behind = [(r.span.start + length(record, r.span)) / whole < _SOON for r in rows]
    before = [r.span.start / whole > _LATE for r in rows]
    least = record.seconds / 400
    ends = [max(length(record, r.span), least) + r.span.start for r in rows]
    return {
        "type": "scatter",
        "mode": "text",
        "name": "words",
        "y": list(range(len(rows))),
        "x": [_at(record, end if b else r.span.start) for r, end, b in zip(rows, ends, behind, strict=True)],
        "text": [f" {r.words} " for r in rows],
        "textposition": [
            "middle left" if late and not soon else "middle right" for soon, late in zip(behind, before, strict=True)
        ],
        "textfont": {
            "color": [_GREY if a or b else _within(r.span) for a, b, r in zip(behind, before, rows, strict=True)]
        },
        "cliponaxis": False,
        "hoverinfo": "skip",
    }


def _within(span: Span) -> str:
    """The colour of words that stand in a bar: dark on the light ones."""
    return "#222222" if span.status != "failed" and span.kind in {"tools", "tool", "approve"} else "#ffffff"


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
    if not any(c is None or c for c in costs):
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
    return [bar | _labels(["unknown" if c is None else words.money(c) if c else "" for c in costs])]


def _labels(texts: list[str]) -> dict[str, Any]:
    return {"text": [plain(t) for t in texts], "textposition": "outside", "cliponaxis": False}


def _names(rows: list[Row]) -> tuple[list[dict[str, Any]], int]:
    """Labels of the rows, each further in than what it is part of, and the room that they take in pixels.

    Plotly sets the labels of an axis against the axis: that would hide what is inside what.
    """
    texts = [r.label + (" ◆" if r.critical and forks(rows) else "") for r in rows]
    wide = round(max((breadth(t) + _INDENT * r.depth for t, r in zip(texts, rows, strict=True)), default=0)) + 18
    names = [
        {"y": i, "text": plain(text), "xshift": _INDENT * r.depth - wide + 4}
        for i, (text, r) in enumerate(zip(texts, rows, strict=True))
    ]
    return names, wide


def _layout(record: Record, rows: list[Row], more: int, panels: set[str]) -> dict[str, Any]:
    axis = {"showgrid": True, "gridcolor": "rgba(127,127,127,.2)", "zeroline": False, "fixedrange": True}
    ends = {0: (1.0, 1.0, 1.0), 1: (0.64, 1.0, 1.0), 2: (0.54, 0.78, 1.0)}[len(panels)]
    title = _note(rows, more)
    names, wide = _names(rows)
    layout: dict[str, Any] = {
        "height": 60 + (24 if title else 0) + (30 if len(rows) <= ROWS / 3 else 22) * max(2, len(rows)),
        "annotations": names,
        "template": {"layout": {"annotationdefaults": _PLACE}},
        "margin": {"l": wide, "r": 8, "t": 34 if title else 10, "b": 40},
        "barmode": "overlay",
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _GREY, "size": 12},
        "title": {"text": title, "font": {"size": 12}, "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 4}},
        "yaxis": {
            "showticklabels": False,
            "range": [max(len(rows), 2) - 0.5, -0.5],
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
        },
        "xaxis": {
            **axis,
            "domain": [0, ends[0]],
            "title": {"text": "seconds" if _scale(record) == 1 else "milliseconds"},
            "range": [0, _at(record, max(record.seconds, 1e-3) * 1.02)],
        },
    }
    if "x2" in panels:
        most = max(r.span.usage.total for r in rows)
        domain = {"domain": [ends[0] + 0.06, ends[1]], "range": [0, most * 1.7]}
        layout["xaxis2"] = {**axis, **domain, "title": {"text": "tokens in, out"}, "nticks": 3, "tickformat": "~s"}
    if "x3" in panels:
        top = max(r.span.cost or 0.0 for r in rows) or 1.0
        domain = {"domain": [ends[1] + 0.06, 1], "range": [0, top * 2.6]}
        layout["xaxis3"] = {**axis, **domain, "title": {"text": "US dollars"}, "nticks": 2, "tickformat": ".6~f"}
    return layout


def _note(rows: list[Row], more: int) -> str:
    notes = ["◆ critical path: what the run's length hangs on"] if forks(rows) else []
    notes += [f"{more:,} more rows are not drawn"] if more else []
    return " · ".join(notes)


plug = View("plotly", "application/vnd.plotly.v1+json", render, when=lambda record: not large(record))
