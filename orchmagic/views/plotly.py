"""The interactive view: one Plotly figure. Left: when each step and tool ran; right: tokens and money it took.

Built as plain JSON, so that no run pays for importing plotly. State is told by pattern and words, not by colour
alone; text is mid-grey and the ground transparent, so it reads in light and dark themes.
"""

from __future__ import annotations

from typing import Any

from orchmagic import words
from orchmagic.trace import Record, Span
from orchmagic.views import View, large
from orchmagic.views._rows import PATTERNS, ROWS, Row, attempt_hover, forks, length, plain, rows_of

_GREY, _BLUE, _GREEN, _RED, _ORANGE = "#7f7f7f", "#0072b2", "#009e73", "#d55e00", "#e69f00"
_KINDS = {"call": _BLUE, "code": _GREEN, "gate": _GREEN, "tools": _ORANGE, "tool": _ORANGE, "approve": "#cc79a7"}
_SOON, _LATE = 0.6, 0.4  # parts of the run: a bar that ends sooner has its words behind it, a late one before it


def render(record: Record) -> dict[str, Any]:
    """A figure: `{"data": [...], "layout": {...}, "config": {...}}`."""
    rows = rows_of(record)
    data = [_timeline(record, rows), *_calls(record, rows), _words(record, rows), *_tokens(rows), *_money(rows)]
    layout = _layout(record, rows, {bar["xaxis"] for bar in data if "xaxis" in bar})
    return {"data": data, "layout": layout, "config": {"displayModeBar": False, "responsive": True}}


def _bars(record: Record, spans: list[tuple[int, Span]]) -> dict[str, Any]:
    """Horizontal bars, each at its row; one too short to see is drawn as a thin line."""
    return {
        "type": "bar",
        "orientation": "h",
        "y": [row for row, _ in spans],
        "base": [round(s.start, 4) for _, s in spans],
        "x": [round(max(length(record, s), record.seconds / 400), 4) for _, s in spans],
        "width": 0.66,
        "hoverinfo": "text",
    }


def _timeline(record: Record, rows: list[Row]) -> dict[str, Any]:
    return {
        **_bars(record, [(i, r.span) for i, r in enumerate(rows)]),
        "name": "steps",
        "marker": {
            "color": [_RED if r.span.status == "failed" else _KINDS.get(r.span.kind, _BLUE) for r in rows],
            # the time of a step that no attempt took is waiting: pale
            "opacity": [0.35 if r.calls or r.span.status == "skipped" else 0.85 for r in rows],
            "pattern": _hatch([r.pattern for r in rows]),
        },
        "hovertext": [r.hover for r in rows],
    }


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
        "x": [round(end if b else r.span.start, 4) for r, end, b in zip(rows, ends, behind, strict=True)],
        "text": [f" {r.words} " for r in rows],
        "textposition": [
            "middle left" if late and not soon else "middle right" for soon, late in zip(behind, before, strict=True)
        ],
        "textfont": {"color": [_GREY if a or b else "#ffffff" for a, b in zip(behind, before, strict=True)]},
        "cliponaxis": False,
        "hoverinfo": "skip",
    }


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


def _layout(record: Record, rows: list[Row], panels: set[str]) -> dict[str, Any]:
    axis = {"showgrid": True, "gridcolor": "rgba(127,127,127,.2)", "zeroline": False, "fixedrange": True}
    ends = {0: (1.0, 1.0, 1.0), 1: (0.64, 1.0, 1.0), 2: (0.54, 0.78, 1.0)}[len(panels)]
    title = _note(record, rows)
    layout: dict[str, Any] = {
        "height": 60 + (24 if title else 0) + (30 if len(rows) <= ROWS / 3 else 22) * max(2, len(rows)),
        "margin": {"l": 8, "r": 8, "t": 34 if title else 10, "b": 40},
        "barmode": "overlay",
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _GREY, "size": 12},
        "title": {"text": title, "font": {"size": 12}, "x": 0, "xref": "paper", "xanchor": "left"},
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": [plain(r.label + (" ◆" if r.critical and forks(rows) else "")) for r in rows],
            "ticks": "outside",
            "ticklen": 6,
            "tickcolor": "rgba(0,0,0,0)",
            "range": [max(len(rows), 2) - 0.5, -0.5],
            "automargin": True,
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
        },
        "xaxis": {
            **axis,
            "domain": [0, ends[0]],
            "title": {"text": "seconds"},
            "range": [0, max(record.seconds, 1e-3) * 1.02],
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


def _note(record: Record, rows: list[Row]) -> str:
    more = len(record.steps) - sum(r.span.parent is None for r in rows)
    notes = ["◆ critical path: what the run's length hangs on"] if forks(rows) else []
    notes += [f"{more:,} more steps are not drawn"] if more > 0 else []
    return " · ".join(notes)


plug = View("plotly", "application/vnd.plotly.v1+json", render, when=lambda record: not large(record))
