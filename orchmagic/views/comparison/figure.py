"""The Plotly figure of several runs: for every step a bar of each run, on one time axis.

A letter at each bar names its run, beside its colour. Plain JSON; text is mid-grey on a transparent background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orchmagic.trace import humanize, marks, summary
from orchmagic.trace.record import Record
from orchmagic.views.bar_labels import SMALL, LabelPlacement, squeezed
from orchmagic.views.comparison.bars import Bar, drawn, longest, placed, steps
from orchmagic.views.palette import GREY, RUNS, text_on
from orchmagic.views.text_width import pack, text_width
from orchmagic.views.timeline import axes
from orchmagic.views.timeline.places import NARROW
from orchmagic.views.timeline.rows import PATTERNS, plain

LETTERS = "ABCDEF"
STEPS = 30
_ROW = 17  # pixels of a bar's row


@dataclass(frozen=True, slots=True)
class _Panel:
    """A panel beside the time axis: `of(bar)` is the length of its bar, `says(bar)` the number beside it."""

    axis: str
    title: str
    of: Callable[[Bar], float]
    says: Callable[[Bar], str]


_TOKENS = _Panel("x2", "tokens", lambda b: b.tokens, lambda b: f"{b.tokens:,}" if b.tokens else "")
_MONEY = _Panel("x3", "US dollars", lambda b: b.cost or 0.0, lambda b: humanize.money(b.cost, b.unpriced))


def figure(records: Sequence[Record], notes: Sequence[str]) -> dict[str, Any]:
    """Return `{"data", "layout", "config"}`; `notes`: a text on the quality of each run, beside its bar."""
    ids = steps(records)
    shown = drawn(records)
    bars, names, rows = placed(records, shown[:STEPS], ids)
    panels = _panels(bars)
    beside = [max(text_width(panel.says(b), SMALL) for b in bars) + axes.AIR for panel in panels]
    left = round(max(text_width(n) for _, n in names)) + 30
    right = round(beside[-1]) if beside else axes.AIR
    ends = axes.panel_ends(NARROW - left - right, beside)
    wide = (NARROW - left - right) * ends[0]
    data = [_times(bars, records, notes), _words(bars, records, notes, wide)]
    data += [_amounts(bars, panel) for panel in panels]
    missing = [f"not drawn: {len(ids) - len(shown):,} that took hardly any time"] * (len(shown) < len(ids))
    missing += [f"not drawn: {len(shown) - STEPS:,} more"] * (len(shown) > STEPS)
    title = [plain(line) for line in pack(missing, NARROW - axes.AIR, between="; ")]
    layout: dict[str, Any] = {
        **axes.LOOK,
        "height": round(66 + 18 * len(title) + _ROW * max(rows, 3)),
        "annotations": [
            *(axes.annotation(plain(name), y=y, yref="y", xshift=4 - left) for y, name in names),
            *(axes.annotation(LETTERS[b.run], y=b.y, yref="y", xshift=-16, font={"size": SMALL}) for b in bars),
        ],
        "margin": {"l": left, "r": right, "t": 12 + 18 * len(title), "b": 44},
        "barmode": "overlay",
        "title": axes.title(title),
        "yaxis": axes.row_axis(max(rows, 3)),
        "xaxis": axes.time_axis(max(b.start + b.seconds for b in bars), ends[0], NARROW - left - right),
    }
    for panel, start, end in zip(panels, ends[1::2], ends[2::2], strict=True):
        most = max((panel.of(b) for b in bars if b.span), default=0) or 1
        layout[f"xaxis{panel.axis[1:]}"] = axes.panel_axis(start, end, most)
        under = {"y": 0, "yref": "paper", "yanchor": "top", "yshift": -22}  # on a line without ticks
        layout["annotations"].append(axes.annotation(panel.title, x=start, **under))
    return {"data": data, "layout": layout, "config": axes.CONFIG}


def _panels(bars: Sequence[Bar]) -> list[_Panel]:
    """Return the panels: none if no run used tokens; cost only if any is above zero or unknown."""
    if not any(b.tokens for b in bars):
        return []
    return [_TOKENS, _MONEY] if any(b.cost is None or b.cost or b.unpriced for b in bars) else [_TOKENS]


def _times(bars: Sequence[Bar], records: Sequence[Record], notes: Sequence[str]) -> dict[str, Any]:
    whole = longest(records)
    return {
        "type": "bar",
        "orientation": "h",
        "name": "time",
        "y": [b.y for b in bars],
        "base": [round(b.start * axes.scale(whole), 4) for b in bars],
        "x": [round(max(b.seconds, whole / 400) * axes.scale(whole), 4) for b in bars],
        "width": 0.8,
        "marker": {
            "color": [RUNS[b.run] for b in bars],
            "pattern": axes.hatch([_shape(b) for b in bars], 7),
        },
        "hoverinfo": "text",
        "hovertext": [_hover(b, notes) for b in bars],
    }


def _shape(bar: Bar) -> str:
    if bar.span is None:
        return PATTERNS.get(bar.record.status, "")
    return "/" if summary.cache(bar.record, bar.span) else PATTERNS.get(bar.span.status, "")


def _words(bars: Sequence[Bar], records: Sequence[Record], notes: Sequence[str], width: float) -> dict[str, Any]:
    """Return the label of each bar as a text trace; the time axis is `width` pixels wide in a narrow cell."""
    whole = longest(records)
    places = [_place(b, _words_of(b, notes), whole, width) for b in bars]
    return {
        "type": "scatter",
        "mode": "text",
        "name": "words",
        "y": [b.y for b in bars],
        "x": [round(p.at * whole * axes.scale(whole), 4) for p in places],
        "text": [f" {plain(p.text)} " for p in places],
        "textposition": ["middle left" if p.side == "before" else "middle right" for p in places],
        "textfont": {
            "size": SMALL,
            "color": [
                text_on(RUNS[bar.run]) if p.side == "within" else GREY for p, bar in zip(places, bars, strict=True)
            ],
        },
        "cliponaxis": False,
        "hoverinfo": "skip",
    }


def _place(bar: Bar, parts: Sequence[str], whole: float, width: float) -> LabelPlacement:
    start, end = bar.start / whole, min(1.0, (bar.start + max(bar.seconds, whole / 400)) / whole)
    return squeezed(start, end, parts, width)


def _words_of(bar: Bar, notes: Sequence[str]) -> list[str]:
    """Return the parts of a bar's label: time, status unless done, and a run's quality or a step's cache hit."""
    trouble = marks.trouble(bar.record if bar.span is None else bar.span)
    more = notes[bar.run] if bar.span is None else summary.cache(bar.record, bar.span)
    return [humanize.seconds(bar.seconds), *filter(None, (trouble, more))]


def _hover(bar: Bar, notes: Sequence[str]) -> str:
    letter = f"{LETTERS[bar.run]} · {bar.record.run}"
    if bar.span is None:
        lines = [
            f"{letter} · {summary.headline(bar.record)}",
            notes[bar.run],
            f"Output: {humanize.one_line(bar.record.output, 90)}",
        ]
    else:
        spent = f"{humanize.seconds(bar.seconds)}, {bar.tokens:,} tokens, {humanize.money(bar.cost, bar.unpriced)}"
        lines = [f"{letter} · {bar.span.name} · {marks.of(bar.span).word}", summary.models(bar.record, bar.span), spent]
        lines += [humanize.one_line(str(w), 90) for w in bar.span.why[:4]]
        made = f"{humanize.sides(bar.span.kind)[1]}: {humanize.one_line(bar.span.output, 90)}"
        lines.append(humanize.one_line(bar.span.error or made, 95))
    return "<br>".join(plain(line) for line in lines if line)


def _amounts(bars: Sequence[Bar], panel: _Panel) -> dict[str, Any]:
    """Return the bars of a panel; a whole run has its number only, as its bar would make all others small."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": panel.axis,
        "xaxis": panel.axis,
        "y": [b.y for b in bars],
        "x": [panel.of(b) if b.span else 0 for b in bars],
        "width": 0.8,
        "marker": {"color": [RUNS[b.run] for b in bars]},
        "text": [plain(panel.says(b)) for b in bars],
        "textposition": "outside",
        "textfont": {"size": SMALL, "color": GREY},
        "cliponaxis": False,
        "hoverinfo": "skip",
    }
