"""The figure of several runs: every step's bars side by side, a row for each run, on one time axis.

Which bar is whose is told by its letter, not by its colour alone. Plain JSON; text is mid-grey on a transparent ground.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from orchmagic.trace import humanize
from orchmagic.trace.record import Record
from orchmagic.views.comparison.bars import Bar, drawn, longest, placed, steps
from orchmagic.views.layout import breadth
from orchmagic.views.timeline.rows import PATTERNS, plain

LETTERS = "ABCDEF"
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c7a52")
STEPS = 30
ENDS = {0: (1.0,), 1: (0.62, 1.0), 2: (0.5, 0.74, 1.0)}
"""Where the panels end, by how many there are beside the times."""
_GREY = "#7f7f7f"
_ROW, _SIZE = 17, 11  # pixels of a bar's row; points of letters and words
_NARROW, _MARGIN = 600, 110  # pixels: of a narrow notebook, and of the names in it


def figure(records: Sequence[Record], notes: Sequence[str]) -> dict[str, Any]:
    """`{"data", "layout", "config"}`; `notes` stand beside the bars of whole runs: how well each did."""
    ids = steps(records)
    shown = drawn(records)
    bars, names, rows = placed(records, shown[:STEPS], ids)
    data = [_times(bars, records, notes)]
    panels = [("x2", "tokens", lambda b: b.tokens, lambda b: f"{b.tokens:,}" if b.tokens else "")]
    if any(b.cost is None or b.cost or b.unpriced for b in bars):
        panels += [("x3", "US dollars", lambda b: b.cost or 0.0, lambda b: humanize.bar(b.cost, b.unpriced))]
    if not any(b.tokens for b in bars):
        panels = []
    data.append(_words(bars, records, notes, len(panels)))
    for axis, _, of, said in panels:
        data.append(_amounts(bars, axis, of, said))
    left = [f"not drawn: {len(ids) - len(shown):,} that took hardly any time"] * (len(shown) < len(ids))
    left += [f"not drawn: {len(shown) - STEPS:,} more"] * (len(shown) > STEPS)
    layout = _layout(bars, names, rows, [(a, title, of) for a, title, of, _ in panels], "; ".join(left))
    return {"data": data, "layout": layout, "config": {"displayModeBar": False, "responsive": True}}


def _times(bars: Sequence[Bar], records: Sequence[Record], notes: Sequence[str]) -> dict[str, Any]:
    whole = longest(records)
    return {
        "type": "bar",
        "orientation": "h",
        "name": "time",
        "y": [b.y for b in bars],
        "base": [round(b.start * _scale(whole), 4) for b in bars],
        "x": [round(max(b.seconds, whole / 400) * _scale(whole), 4) for b in bars],
        "width": 0.8,
        "marker": {
            "color": [COLORS[b.run] for b in bars],
            "opacity": [0.9 if b.span is None else 0.75 for b in bars],
            "pattern": _hatch(bars),
        },
        "hoverinfo": "text",
        "hovertext": [_hover(b, notes) for b in bars],
    }


def _hatch(bars: Sequence[Bar]) -> dict[str, Any]:
    shapes = [_shape(b) for b in bars]
    return {"shape": shapes, "fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.45, "size": 7}


def _shape(bar: Bar) -> str:
    if bar.span is None:
        return PATTERNS.get(bar.record.status, "")
    return "/" if humanize.cache(bar.record, bar.span) else PATTERNS.get(bar.span.status, "")


def _words(bars: Sequence[Bar], records: Sequence[Record], notes: Sequence[str], panels: int) -> dict[str, Any]:
    whole = longest(records)
    said = [f" {_said(b, notes)} " for b in bars]
    room = ENDS[panels][0] * (_NARROW - _MARGIN)
    sides = [_side(b, breadth(text, _SIZE) / room * whole, whole) for b, text in zip(bars, said, strict=True)]
    ends = [
        b.start + (max(b.seconds, whole / 400) if side == "behind" else 0) for b, side in zip(bars, sides, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "text",
        "name": "words",
        "y": [b.y for b in bars],
        "x": [round(end * _scale(whole), 4) for end in ends],
        "text": [plain(text) for text in said],
        "textposition": ["middle left" if side == "before" else "middle right" for side in sides],
        "textfont": {
            "size": _SIZE,
            "color": [_within(bar) if side == "within" else _GREY for side, bar in zip(sides, bars, strict=True)],
        },
        "cliponaxis": False,
        "hoverinfo": "skip",
    }


def _side(bar: Bar, wide: float, whole: float) -> str:
    """Where there is room for words that are `wide` seconds wide in a narrow notebook."""
    if bar.start + bar.seconds + wide <= whole:
        return "behind"
    if wide <= bar.seconds:
        return "within"
    return "before" if wide <= bar.start else "behind"


def _within(bar: Bar) -> str:
    """The colour of words that stand in a bar: dark on the light ones."""
    return "#ffffff" if COLORS[bar.run] in {"#0072b2", "#009e73", "#8c7a52"} else "#1a1a1a"


def _said(bar: Bar, notes: Sequence[str]) -> str:
    took = humanize.seconds(bar.seconds)
    if bar.span is None:
        state = "" if bar.record.status == "done" else bar.record.status
        return ", ".join(filter(None, (took, state, notes[bar.run])))
    ended = "" if bar.span.status == "done" else bar.span.status
    return ", ".join(filter(None, (took, ended, humanize.cache(bar.record, bar.span).partition(" (")[0])))


def _hover(bar: Bar, notes: Sequence[str]) -> str:
    letter = f"{LETTERS[bar.run]} · {bar.record.run}"
    if bar.span is None:
        lines = [
            f"{letter} · {humanize.headline(bar.record)}",
            notes[bar.run],
            f"out: {humanize.one_line(bar.record.output, 90)}",
        ]
    else:
        spent = f"{humanize.seconds(bar.seconds)}, {bar.tokens:,} tokens, {humanize.money(bar.cost, bar.unpriced)}"
        lines = [f"{letter} · {bar.span.name} ({bar.span.status})", humanize.models(bar.record, bar.span), spent]
        lines += [humanize.one_line(w, 90) for w in bar.span.why[:4]]
        lines += [
            humanize.one_line(bar.span.error, 90)
            if bar.span.error
            else f"out: {humanize.one_line(bar.span.output, 90)}"
        ]
    return "<br>".join(plain(line) for line in lines if line)


def _amounts(bars: Sequence[Bar], axis: str, of: Callable[[Bar], float], said: Callable[[Bar], str]) -> dict[str, Any]:
    """Bars of steps; of a whole run the sum in words alone, which would make all others small."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": axis,
        "xaxis": axis,
        "y": [b.y for b in bars],
        "x": [of(b) if b.span else 0 for b in bars],
        "width": 0.8,
        "marker": {"color": [COLORS[b.run] for b in bars], "opacity": 0.75},
        "text": [plain(said(b) + (" in all" if b.span is None and said(b) else "")) for b in bars],
        "textposition": "outside",
        "textfont": {"size": _SIZE, "color": _GREY},
        "cliponaxis": False,
        "hoverinfo": "skip",
    }


def _layout(
    bars: Sequence[Bar],
    names: Sequence[tuple[float, str]],
    rows: float,
    panels: Sequence[tuple[str, str, Callable[[Bar], float]]],
    left: str,
) -> dict[str, Any]:
    whole = max((b.start + b.seconds for b in bars), default=0.0)
    wide = round(max(breadth(n) for _, n in names)) + 30
    ends = ENDS[len(panels)]
    axis = {"showgrid": True, "gridcolor": "rgba(127,127,127,.2)", "zeroline": False, "fixedrange": True}
    layout: dict[str, Any] = {
        "height": round(54 + (22 if left else 0) + _ROW * max(rows, 3)),
        "annotations": [*_names(names, wide), *_letters(bars)],
        "margin": {"l": wide, "r": 8, "t": 30 if left else 8, "b": 40},
        "barmode": "overlay",
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _GREY, "size": 12},
        "title": {"text": left, "font": {"size": 12}, "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 4}},
        "yaxis": {
            "showticklabels": False,
            "range": [max(rows, 3) - 0.4, -0.6],
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
        },
        "xaxis": {
            **axis,
            "domain": [0, ends[0]],
            "title": {"text": "seconds" if _scale(whole) == 1 else "milliseconds"},
            "range": [0, round(max(whole, 1e-3) * _scale(whole) * 1.02, 4)],
            "nticks": 6,
        },
    }
    for (name, said, of), start, end in zip(panels, ends[:-1], ends[1:], strict=True):
        most = max((of(b) for b in bars if b.span), default=0) or 1
        layout[f"xaxis{name[1:]}"] = {
            **axis,
            "domain": [start + 0.05, end],
            "range": [0, most * 2.1],
            "title": {"text": said},
            "nticks": 3,
            "tickangle": 0,
            "tickformat": "~s" if name == "x2" else ".6~f",
        }
    return layout


def _names(names: Sequence[tuple[float, str]], wide: int) -> Iterator[dict[str, Any]]:
    for y, name in names:
        yield _note(plain(name), y, 4 - wide)


def _letters(bars: Sequence[Bar]) -> Iterator[dict[str, Any]]:
    for bar in bars:
        yield _note(LETTERS[bar.run], bar.y, -16) | {"font": {"size": _SIZE}}


def _note(text: str, y: float, shift: int) -> dict[str, Any]:
    return {
        "text": text, "y": y, "yref": "y", "x": 0, "xref": "paper", "xanchor": "left", "xshift": shift,
        "showarrow": False, "align": "left",
    }  # fmt: skip


def _scale(whole: float) -> int:
    """Units of the time axis in a second: milliseconds where seconds would be small fractions."""
    return 1 if whole >= 1 else 1_000
