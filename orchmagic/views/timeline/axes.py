"""Axes and layout shared by the figures of one and of several runs: time axis, panels beside it, style."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchmagic.views.palette import GREY, PAPER
from orchmagic.views.text_width import text_width

AIR = 12  # pixels around the number beside a bar
_GAP, _BARS = 0.05, 0.14  # share of the width: gap before a panel, its longest bar
_SECOND = 1.0

AXIS: dict[str, Any] = {"zeroline": False, "fixedrange": True}
CONFIG = {"displayModeBar": False, "responsive": True}
LOOK: dict[str, Any] = {
    "showlegend": False,
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": GREY, "size": 12},
}
"""Layout of every figure: mid-grey text on a transparent background, for light and dark pages."""


def scale(seconds: float) -> int:
    """Return the units of the time axis per second: 1 (seconds), or 1,000 for runs below a second."""
    return 1 if seconds >= _SECOND else 1_000


def time_axis(seconds: float, end: float, width: float) -> dict[str, Any]:
    """Return the time axis of a run of `seconds`, which ends at `end` (0..1) of `width` pixels."""
    most = round(max(seconds, 1e-3) * scale(seconds) * 1.02, 4)
    unit = " s" if scale(seconds) == 1 else " ms"
    return {
        **AXIS,
        "showgrid": True,
        "gridcolor": "rgba(127,127,127,.2)",
        "domain": [0, end],
        "range": [0, most],
        "nticks": max(2, int(width * end / (text_width(f"{most:.0f}.0{unit}") + AIR))),
        "tickangle": 0,
        "ticksuffix": unit,
    }


def row_axis(rows: float) -> dict[str, Any]:
    """Return the y axis of `rows` rows from top to bottom; names are annotations."""
    return {**AXIS, "showticklabels": False, "range": [rows - 0.5, -0.5], "showgrid": False}


def panel_axis(start: float, end: float, most: float) -> dict[str, Any]:
    """Return the x axis of a panel, without ticks: each bar has its number beside it."""
    return {**AXIS, "showgrid": False, "showticklabels": False, "domain": [start, end], "range": [0, most * 1.02]}


def panel_ends(width: float, beside: Sequence[float]) -> tuple[float, ...]:
    """Return the end of the time axis, then start and end of each panel, 0..1 of `width` pixels.

    `beside`: pixels of the widest number beside each panel's bars; the last panel's numbers are in the margin.
    """
    ends: list[float] = []
    at = 1.0
    for place, pixels in reversed(list(enumerate(beside))):
        at -= pixels / width if place < len(beside) - 1 else 0
        ends = [at - _BARS, at, *ends]
        at -= _BARS + _GAP
    return (at, *ends)


def hatch(shapes: Sequence[str], size: int) -> dict[str, Any]:
    """Return white patterns over the bars, `size` pixels wide."""
    return {"shape": list(shapes), "fillmode": "overlay", "fgcolor": PAPER, "fgopacity": 0.45, "size": size}


def annotation(text: str, **place: Any) -> dict[str, Any]:
    """Return a left-aligned annotation at `place`; x is 0..1 of the width unless `xref` is given."""
    return {"text": text, "x": 0, "xref": "paper", "xanchor": "left", "showarrow": False, "align": "left"} | place


def title(lines: Sequence[str]) -> dict[str, Any]:
    """Return a title of HTML lines, above the figure and left-aligned."""
    return {
        "text": "<br>".join(lines), "font": {"size": 12}, "x": 0, "xref": "container", "xanchor": "left",
        "y": 1, "yref": "container", "yanchor": "top", "pad": {"l": 4, "t": 6},
    }  # fmt: skip
