"""A Plotly figure of horizontal bars, each row with its own words. For VS Code, Colab and others that show Plotly.

All words are tick labels of the y axis, and Plotly measures them (`automargin`). So no text can lie on another one or
be cut off, in any font and at any width. The y axis counts pixels. Plain JSON, to avoid importing plotly; always one
trace, so that a live widget can update it. Text is mid-grey on a transparent background, for light and dark pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate
from textwrap import wrap
from typing import Any
from unicodedata import east_asian_width

from orchmagic.trace import humanize
from orchmagic.views.palette import FIGURE_FAILED, FIGURE_TEXT, GREY, PAPER

_LINE, _SPACE = 16, 8  # pixels of a line of text, and between rows
_HIGH, _LOW = 16, 10  # pixels of a bar, and of one that lies on another
_CHARACTERS, _LINES = 34, 5  # of a line; lines of a row below its heading
_THIN = 200  # the shortest bar that is drawn: this part of the axis
_STEPS = (1, 2, 3, 4, 6, 8, 10)  # where an axis may end, times a power of ten
CONFIG = {"displayModeBar": False, "responsive": True}
_LABEL = {"bgcolor": "#f7f7f7", "bordercolor": GREY, "font": {"color": "#111111", "size": 12}, "align": "left"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from `start` over `length` of the x axis; `inner`: it lies on another one and is thinner."""

    start: float
    length: float
    color: str
    hover: str = ""
    pattern: str = ""
    opacity: float = 1.0
    inner: bool = False


@dataclass(frozen=True, slots=True)
class BarRow:
    """A row: its heading, a text below it in small letters, and its bars. `bad`: it failed;
    `title`: it is the title of the rows below it.
    """

    heading: str
    text: str = ""
    bars: tuple[Bar, ...] = ()
    bad: bool = False
    title: bool = False


def bar_figure(rows: Sequence[BarRow], end: float, written: Callable[[float], str] | None = None) -> dict[str, Any]:
    """Return `{"data", "layout", "config"}`: an x axis from 0 to `end`, with three ticks if they are `written`."""
    labels = [list(_label(row)) for row in rows]
    highs = [_LINE * len(lines) + _SPACE for lines in labels]
    tops = list(accumulate(highs, initial=0))
    ys = [top + high / 2 for top, high in zip(tops, highs, strict=False)]
    bars = [(y, bar) for y, row in zip(ys, rows, strict=True) for bar in row.bars]
    hover = max((_LINE * (bar.hover.count("\n") + 3) for _, bar in bars), default=0)
    under = 26 if written else 4
    high = max(tops[-1] + under, hover)  # Plotly hides a label that is higher than the figure
    still = {"zeroline": False, "fixedrange": True}
    ticks = [0, end / 2, end] if written else []
    said = [written(t) for t in ticks] if written else []
    return {
        "data": [_trace(bars, end)],
        "layout": {
            "height": high,
            "margin": {"l": 8, "r": 24, "t": 4, "b": high - tops[-1]},
            "showlegend": False,
            "barmode": "overlay",
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": FIGURE_TEXT, "size": 12},
            "hoverlabel": _LABEL,
            "xaxis": {
                **still, "range": [0, end], "tickvals": ticks, "ticktext": said,
                "tickangle": 0, "gridcolor": "rgba(127,127,127,.25)",
            },
            "yaxis": {
                **still, "automargin": True, "range": [tops[-1], 0], "showgrid": False, "tickvals": ys,
                "ticktext": ["<br>".join(lines) for lines in labels],
            },
        },
        "config": CONFIG,
    }  # fmt: skip


def _trace(bars: Sequence[tuple[float, Bar]], end: float) -> dict[str, Any]:
    drawn = [bar for _, bar in bars]
    return {
        "type": "bar",
        "orientation": "h",
        "y": [y for y, _ in bars],
        "base": [round(bar.start, 4) for bar in drawn],
        "x": [round(max(bar.length, end / _THIN), 4) for bar in drawn],
        "width": [_LOW if bar.inner else _HIGH for bar in drawn],
        "marker": {
            "color": [bar.color for bar in drawn],
            "opacity": [bar.opacity for bar in drawn],
            "pattern": {
                "shape": [bar.pattern for bar in drawn], "fillmode": "overlay", "fgcolor": PAPER, "fgopacity": 0.45,
                "size": 8,
            },
        },
        "hoverinfo": "text",
        "hovertext": ["<br>".join(map(plain, bar.hover.split("\n"))) for bar in drawn],
    }  # fmt: skip


def _label(row: BarRow) -> Iterator[str]:
    """Yield the lines of a row's tick label."""
    heading = plain(humanize.one_line(row.heading, _room(row.heading)))
    heading = f"<b>{heading}</b>" if row.title else heading
    yield f'<span style="color:{FIGURE_FAILED}">{heading}</span>' if row.bad else heading
    lines = wrap(humanize.one_line(row.text, 400), _room(row.text), max_lines=_LINES, placeholder=" …")
    yield from (f'<span style="font-size:10px">{plain(line)}</span>' for line in lines)


def _room(text: str) -> int:
    """Return the characters of a line: half as many of a script whose letters are twice as wide."""
    return _CHARACTERS // 2 if any(east_asian_width(letter) in "WF" for letter in text[:400]) else _CHARACTERS


def end_of(most: float) -> float:
    """Return where an axis ends: a round number of at least `most`."""
    power = 10.0 ** len(str(int(most))) / 10 if most >= 1 else 0.001
    while power * _STEPS[-1] < most:
        power *= 10
    return next(step * power for step in _STEPS if step * power >= most)


def seconds(value: float) -> str:
    """Return a time at a tick: `0`, `50 ms`, `1.5 s`, `2 min`."""
    if value >= 60:  # noqa: PLR2004 - seconds of a minute
        return f"{value / 60:.3g} min"
    return f"{value:.3g} s" if value >= 1 or not value else f"{value * 1000:.3g} ms"


def plain(text: str) -> str:
    """Escape text for Plotly, which interprets some HTML, and TeX between dollar signs."""
    return escape(humanize.shown(text), quote=False).replace("$", "&#36;")
