"""The interactive view: one Plotly figure. Left: when each step and tool ran; right: tokens and money it took.

Built as plain JSON, so that no run pays for importing plotly. State is told by pattern and words, not by colour
alone; text is mid-grey and the ground transparent, so it reads in light and dark themes.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from orchmagic import words
from orchmagic.trace import Record, Span
from orchmagic.views import View, large

_GREY, _BLUE, _GREEN, _RED, _ORANGE = "#7f7f7f", "#0072b2", "#009e73", "#d55e00", "#e69f00"
_KINDS = {"call": _BLUE, "code": _GREEN, "gate": _GREEN, "tools": _ORANGE, "tool": _ORANGE, "approve": "#cc79a7"}
_PATTERNS = {"failed": "x", "retried": "x", "cancelled": "-", "waiting": "."}
_ROWS = 60
_SOON, _LATE = 0.6, 0.4  # parts of the run: a bar that ends sooner has its words behind it, a late one before it


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the figure: a step, or one of its tools; `calls` are the attempts to draw within it."""

    span: Span
    label: str
    words: str
    hover: str
    cached: bool
    critical: bool
    calls: tuple[Span, ...] = ()

    @property
    def pattern(self) -> str:
        return "/" if self.cached else _PATTERNS.get(self.span.status, "")


def render(record: Record) -> dict[str, Any]:
    """A figure: `{"data": [...], "layout": {...}, "config": {...}}`."""
    rows = _rows(record)
    data = [_timeline(record, rows), *_calls(record, rows), _words(record, rows), *_tokens(rows), *_money(rows)]
    layout = _layout(record, rows, {bar["xaxis"] for bar in data if "xaxis" in bar})
    return {"data": data, "layout": layout, "config": {"displayModeBar": False, "responsive": True}}


def critical(steps: tuple[Span, ...]) -> set[str]:
    """The ids of the steps that the run's length hangs on: from the last end back to the start."""
    found: set[str] = set()
    at = float("inf")
    for step in sorted((s for s in steps if s.end is not None), key=lambda s: s.end or 0.0, reverse=True):
        if (step.end or 0.0) <= at + 1e-6:
            found.add(step.id)
            at = step.start
    return found


def _rows(record: Record) -> list[_Row]:
    rows: list[_Row] = []
    hangs = critical(record.steps)
    for step in record.steps[:_ROWS]:
        inside = record.inside(step)
        tries = tuple(s for ask in inside for s in record.inside(ask) if s.kind == "attempt")
        tools = tuple(s for s in inside if s.kind == "tool")
        slowest = critical(tools) if step.id in hangs else set()
        on = step.id in hangs
        label = f"{words.MARKS.get(step.status, '·')} {words.label(record, step)[:24]}"
        cached = bool(words.cache(record, step))
        rows.append(_Row(step, label, _beside(record, step), _hover(record, step, on), cached, on, tries))
        for tool in tools:
            name = f"{words.MARKS.get(tool.status, '·')} · {tool.name[:22]}"
            rows.append(_Row(tool, name, _length(record, tool), _tool(tool), cached=False, critical=tool.id in slowest))
    return rows[:_ROWS]


def _bars(record: Record, spans: list[tuple[int, Span]]) -> dict[str, Any]:
    """Horizontal bars, each at its row; one too short to see is drawn as a thin line."""
    return {
        "type": "bar",
        "orientation": "h",
        "y": [row for row, _ in spans],
        "base": [round(s.start, 4) for _, s in spans],
        "x": [round(max(_seconds(record, s), record.seconds / 400), 4) for _, s in spans],
        "width": 0.66,
        "hoverinfo": "text",
    }


def _timeline(record: Record, rows: list[_Row]) -> dict[str, Any]:
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


def _calls(record: Record, rows: list[_Row]) -> list[dict[str, Any]]:
    """Attempts, solid on the pale bar of their step: what lies between them is waiting."""
    calls = [(i, s) for i, r in enumerate(rows) for s in r.calls]
    if not calls:
        return []
    marker = {
        "color": [_RED if s.error else _BLUE for _, s in calls],
        "opacity": 0.85,
        "pattern": _hatch([_PATTERNS.get(s.status, "") for _, s in calls]),
    }
    hover = [rows[i].hover if s.status == "done" else _attempt(s) for i, s in calls]
    return [{**_bars(record, calls), "name": "attempts", "width": 0.5, "marker": marker, "hovertext": hover}]


def _hatch(shapes: list[str]) -> dict[str, Any]:
    return {"shape": shapes, "fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.45, "size": 9}


def _words(record: Record, rows: list[_Row]) -> dict[str, Any]:
    """Words beside each bar, where there is room: behind, before, or within a bar that fills its row."""
    whole = max(record.seconds, 1e-9)
    behind = [(r.span.start + _seconds(record, r.span)) / whole < _SOON for r in rows]
    before = [r.span.start / whole > _LATE for r in rows]
    least = record.seconds / 400
    ends = [max(_seconds(record, r.span), least) + r.span.start for r in rows]
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


def _tokens(rows: list[_Row]) -> list[dict[str, Any]]:
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


def _money(rows: list[_Row]) -> list[dict[str, Any]]:
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
    return {"text": [_safe(t) for t in texts], "textposition": "outside", "cliponaxis": False}


def _layout(record: Record, rows: list[_Row], panels: set[str]) -> dict[str, Any]:
    axis = {"showgrid": True, "gridcolor": "rgba(127,127,127,.2)", "zeroline": False, "fixedrange": True}
    ends = {0: (1.0, 1.0, 1.0), 1: (0.64, 1.0, 1.0), 2: (0.54, 0.78, 1.0)}[len(panels)]
    title = _note(record, rows)
    layout: dict[str, Any] = {
        "height": 60 + (24 if title else 0) + (30 if len(rows) <= _ROWS / 3 else 22) * max(2, len(rows)),
        "margin": {"l": 8, "r": 8, "t": 34 if title else 10, "b": 40},
        "barmode": "overlay",
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _GREY, "size": 12},
        "title": {"text": title, "font": {"size": 12}, "x": 0, "xref": "paper", "xanchor": "left"},
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": [_safe(r.label + (" ◆" if r.critical and _forks(rows) else "")) for r in rows],
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


def _note(record: Record, rows: list[_Row]) -> str:
    more = len(record.steps) - sum(r.span.parent is None for r in rows)
    notes = ["◆ critical path: what the run's length hangs on"] if _forks(rows) else []
    notes += [f"{more:,} more steps are not drawn"] if more > 0 else []
    return " · ".join(notes)


def _forks(rows: list[_Row]) -> bool:
    """Something ran beside something else: only then is there a path to point out."""
    return not all(r.critical for r in rows if r.span.seconds)


def _seconds(record: Record, span: Span) -> float:
    return span.seconds if span.end is not None else max(0.0, record.seconds - span.start)


def _length(record: Record, span: Span) -> str:
    said = words.seconds(_seconds(record, span))
    return said if span.status == "done" else f"{said}, {span.status}"


def _beside(record: Record, step: Span) -> str:
    said = [step.status] if step.status == "skipped" else [_length(record, step)]
    if words.cache(record, step):
        said.append("cached")
    asks = [s for s in record.inside(step) if s.kind == "ask"]
    tries = [s for ask in asks for s in record.inside(ask) if s.kind == "attempt"]
    if retried := sum(s.status == "retried" for s in tries):
        said.append(f"{retried} {'retry' if retried == 1 else 'retries'}")
    if asked := sum(s.status == "retried" for s in asks):
        said.append(f"{asked} re-ask{'' if asked == 1 else 's'}")
    if any("fell back" in w for ask in asks for w in ask.why):
        said.append("fallback")
    return _safe(", ".join(said))


def _hover(record: Record, step: Span, on_path: bool) -> str:
    lines = [f"{words.label(record, step)} ({step.kind}, {step.status})", words.models(record, step)]
    lines += [
        f"{words.seconds(_seconds(record, step))}, {step.usage.total:,} tokens, {words.money(step.cost)}",
        words.cache(record, step),
        "on the critical path" if on_path else "",
    ]
    lines += [words.one_line(w, 90) for a in (step, *record.inside(step)) for w in a.why][:6]
    if step.error:
        lines.append(words.one_line(step.error, 90))
    lines.append(f"out: {words.one_line(step.output, 90)}")
    return _lines(lines)


def _tool(tool: Span) -> str:
    result = words.one_line(tool.error or tool.output, 90)
    return _lines([f"{tool.name}({words.one_line(tool.input, 90)})", f"{words.seconds(tool.seconds)} → {result}"])


def _attempt(attempt: Span) -> str:
    said = f"{attempt.name} at {attempt.model}: {attempt.status} after {words.seconds(attempt.seconds)}"
    return _lines([said, words.one_line(attempt.error, 90)])


def _lines(lines: list[str]) -> str:
    return "<br>".join(_safe(line) for line in lines if line)


def _safe(text: str) -> str:
    """Plotly reads a little HTML in its labels, and TeX between dollars: none of it is ours."""
    return escape(words.shown(text), quote=False).replace("$", "&#36;")


plug = View("plotly", "application/vnd.plotly.v1+json", render, when=lambda record: not large(record))
