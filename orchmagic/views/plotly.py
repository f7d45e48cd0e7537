"""The interactive view: one Plotly figure, a row per step. Left: when it ran; right: the tokens it took.

Built as plain JSON, so that no run pays for importing plotly. State is told by pattern and words, not by colour
alone; text is mid-grey and the ground transparent, so it reads in light and dark themes.
"""

from __future__ import annotations

from html import escape
from typing import Any

from orchmagic import words
from orchmagic.trace import Record, Span
from orchmagic.views import View, large

_GREY, _BLUE, _GREEN, _RED, _ORANGE = "#7f7f7f", "#0072b2", "#009e73", "#d55e00", "#e69f00"
_KINDS = {"call": _BLUE, "code": _GREEN, "gate": _GREEN, "tools": _ORANGE, "approve": "#cc79a7"}
_ROWS = 60


def render(record: Record) -> dict[str, Any]:
    """A figure: `{"data": [...], "layout": {...}}`."""
    steps = record.steps[:_ROWS]
    rows = list(range(len(steps)))
    data = [_timeline(record, steps, rows), *_inside(record, steps), *_tokens(steps, rows)]
    return {"data": data, "layout": _layout(record, steps), "config": {"displayModeBar": False, "responsive": True}}


def critical(steps: tuple[Span, ...]) -> set[str]:
    """The ids of the steps that the run's length hangs on: from the last end back to the start."""
    found: set[str] = set()
    at = float("inf")
    for step in sorted((s for s in steps if s.end is not None), key=lambda s: s.end or 0.0, reverse=True):
        if (step.end or 0.0) <= at + 1e-6:
            found.add(step.id)
            at = step.start
    return found


def _timeline(record: Record, steps: tuple[Span, ...], rows: list[int]) -> dict[str, Any]:
    cached = [bool(words.cache(record, s)) for s in steps]
    path = critical(steps) if len(steps) > 1 else set()
    return {
        "type": "bar",
        "orientation": "h",
        "name": "steps",
        "y": rows,
        "base": [round(s.start, 4) for s in steps],
        "x": [round(max(s.seconds, record.seconds / 400), 4) for s in steps],
        "width": 0.66,
        "marker": {
            "color": [_RED if s.status == "failed" else _KINDS.get(s.kind, _BLUE) for s in steps],
            "opacity": [0.35 if s.status == "skipped" else 0.85 for s in steps],
            "pattern": {
                "shape": ["/" if c else "x" if s.status == "failed" else "" for c, s in zip(cached, steps, strict=True)]
            },
            "line": {"color": _GREY, "width": [1.5 if s.id in path else 0 for s in steps]},
        },
        "text": [_beside(record, s) for s in steps],
        "textposition": ["inside" if s.seconds > record.seconds / 2 else "outside" for s in steps],
        "insidetextanchor": "middle",
        "insidetextfont": {"color": "#ffffff"},
        "cliponaxis": False,
        "hovertext": [_hover(record, s) for s in steps],
        "hoverinfo": "text",
    }


def _inside(record: Record, steps: tuple[Span, ...]) -> list[dict[str, Any]]:
    """Attempts that were tried again, and tools, as thin bars on their step's row."""
    thin: list[tuple[int, Span, str]] = []
    for row, step in enumerate(steps):
        for child in record.inside(step):
            spans = record.inside(child) if child.kind == "ask" else (child,)
            thin += [(row, s, _RED if s.error else _GREY) for s in spans if s.kind == "tool" or s.error]
    if not thin:
        return []
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": "inside",
            "y": [row for row, _, _ in thin],
            "base": [round(s.start, 4) for _, s, _ in thin],
            "x": [round(max(s.seconds, record.seconds / 400), 4) for _, s, _ in thin],
            "width": 0.22,
            "marker": {
                "color": [c for _, _, c in thin],
                "pattern": {"shape": ["x" if s.error else "" for _, s, _ in thin]},
            },
            "hovertext": [_safe(f"{s.name} {s.status}: {words.one_line(s.error or s.output)}") for _, s, _ in thin],
            "hoverinfo": "text",
        }
    ]


def _tokens(steps: tuple[Span, ...], rows: list[int]) -> list[dict[str, Any]]:
    sides = (("in", [s.usage.input for s in steps], 0.45), ("out", [s.usage.output for s in steps], 0.9))
    bars: list[dict[str, Any]] = [
        {
            "type": "bar",
            "orientation": "h",
            "name": f"tokens {name}",
            "y": rows,
            "base": [0 if name == "in" else s.usage.input for s in steps],
            "x": values,
            "xaxis": "x2",
            "width": 0.66,
            "marker": {"color": _BLUE, "opacity": opacity},
            "hovertemplate": f"%{{x:,}} tokens {name}<extra></extra>",
        }
        for name, values, opacity in sides
    ]
    bars[-1] |= {
        "text": [_spent(s) for s in steps],
        "textposition": "outside",
        "cliponaxis": False,
    }
    return bars


def _layout(record: Record, steps: tuple[Span, ...]) -> dict[str, Any]:
    names = [_safe(f"{words.MARKS.get(s.status, '·')} {words.label(record, s)[:24]}") for s in steps]
    most = max([s.usage.total for s in steps] or [0])
    axis = {"showgrid": True, "gridcolor": "rgba(127,127,127,.2)", "zeroline": False, "fixedrange": True}
    more = len(record.steps) - len(steps)
    note = f"the first {_ROWS} of {more + _ROWS:,} steps" if more > 0 else ""
    return {
        "height": 60 + (24 if more > 0 else 0) + 30 * max(2, len(steps)),
        "margin": {"l": 8, "r": 8, "t": 34 if more > 0 else 10, "b": 40},
        "barmode": "overlay",
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _GREY, "size": 12},
        "title": {"text": note, "font": {"size": 12}, "x": 0, "xref": "paper", "xanchor": "left"},
        "yaxis": {
            "tickvals": list(range(len(steps))),
            "ticktext": names,
            "autorange": "reversed",
            "automargin": True,
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
        },
        "xaxis": {
            **axis,
            "domain": [0, 0.62],
            "title": {"text": "seconds"},
            "range": [0, max(record.seconds, 1e-3) * 1.22],
        },
        "xaxis2": {
            **axis,
            "domain": [0.68, 1],
            "title": {"text": "tokens: in, out"},
            "range": [0, max(most, 1) * 1.45],
            "nticks": 4,
        },
    }


def _beside(record: Record, step: Span) -> str:
    words_ = [words.seconds(step.seconds)] if step.status in {"done", "failed"} else [step.status]
    if words.cache(record, step):
        words_.append("cached")
    tries = [s for a in record.inside(step) for s in record.inside(a) if s.kind == "attempt"]
    if retried := sum(s.status == "retried" for s in tries):
        words_.append(f"{retried} {'retry' if retried == 1 else 'retries'}")
    if any("fell back" in w for a in record.inside(step) for w in a.why):
        words_.append("fallback")
    return _safe(", ".join(words_))


def _spent(step: Span) -> str:
    if not step.usage.total:
        return ""
    return f"{step.usage.total:,}" + (f" · {words.money(step.cost)}" if step.cost else "")


def _hover(record: Record, step: Span) -> str:
    lines = [f"{words.label(record, step)} ({step.kind}, {step.status})", words.models(record, step)]
    lines += [
        f"{words.seconds(step.seconds)}, {step.usage.total:,} tokens, {words.money(step.cost)}",
        words.cache(record, step),
    ]
    lines += [words.one_line(w, 90) for a in (step, *record.inside(step)) for w in a.why][:6]
    if step.error:
        lines.append(words.one_line(step.error, 90))
    lines.append(f"out: {words.one_line(step.output, 90)}")
    return "<br>".join(_safe(line) for line in lines if line)


def _safe(text: str) -> str:
    """Plotly reads a little HTML in its labels: none of it is ours."""
    return escape(words.shown(text), quote=False)


plug = View("plotly", "application/vnd.plotly.v1+json", render, when=lambda record: not large(record))
