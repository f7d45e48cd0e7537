"""Where the rows of the figure stand, and the words of each bar: after it, before it, within it, or below it.

The width of the cell and the font of the page are unknown when a figure is made. Places are computed for a narrow cell
and a wide font: what fits there fits everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from orchmagic.trace.record import Record
from orchmagic.views.text_width import fit, text_width
from orchmagic.views.timeline.rows import ROWS, Row, forks, length

NARROW = 600.0  # pixels of the narrowest cell that is thought of
SMALL = 11  # size of the words
INDENT = 14  # pixels that a part stands further in than what it is part of
BELOW = 0.62  # rows from the middle of a bar to the words below it
_MORE = 0.55  # rows that those take
_ROW, _TIGHT = 30, 22  # pixels of a row of few, and of many
_AIR = 10.0
_THIN = 400  # a bar is at least this part of the run
OPACITY = {"waiting": 0.35, "frame": 0.6, "solid": 1.0}
"""Of a bar by its look: time that no attempt took is pale; what frames its parts is paler than they are."""


@dataclass(frozen=True, slots=True)
class LabelPlacement:
    """Words at a bar: `side` is after, before, within or below; `at` is where they begin (before: end), 0..1."""

    side: str
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixels left and right of the columns and of a row; for each row its middle, in rows, and its words."""

    left: int
    right: int
    row: int
    ys: tuple[float, ...]
    places: tuple[LabelPlacement, ...]
    high: float


def grid(record: Record, rows: list[Row], right: int, part: float) -> Grid:
    """Where things stand when the timeline has `part` of the room between the names and the `right` margin."""
    left = names_width(rows)
    width = (NARROW - left - right) * part
    beyond = (NARROW - left - _AIR) / width  # words below a bar have all columns for themselves
    solid = [look(rows, i) == "solid" for i in range(len(rows))]
    places = tuple(_placed(record, r, width, beyond, solid=s) for r, s in zip(rows, solid, strict=True))
    heights = [1 + (_MORE if p.side == "below" else 0) for p in places]
    ys = tuple(accumulate(heights, initial=0.0))[: len(rows)]
    row = _ROW if len(rows) <= ROWS / 3 else _TIGHT
    return Grid(left, right, row, ys, places, max(2.0, sum(heights)))


def names_width(rows: list[Row]) -> int:
    """Pixels of the column of names, with the space around them."""
    return round(max((text_width(name(r, rows)) + INDENT * r.depth for r in rows), default=0)) + 18


def name(row: Row, rows: list[Row]) -> str:
    """The label of a row, marked when it is on the critical path and another is not."""
    return row.label + (" ◆" if row.critical and forks(rows) else "")


def drawn(record: Record, row: Row) -> tuple[float, float]:
    """Start and end of its bar in seconds; what is too short to see is a thin line."""
    long = max(length(record, row.span), record.seconds / _THIN)
    return row.span.start, row.span.start + long


def look(rows: list[Row], i: int) -> str:
    """Of the bar of a row: waiting, frame (what follows is inside it) or solid."""
    if rows[i].calls or rows[i].span.status == "skipped":
        return "waiting"
    return "frame" if i + 1 < len(rows) and rows[i + 1].depth > rows[i].depth else "solid"


def side(start: float, end: float, need: float, *, solid: bool) -> str:
    """Where words of width `need` fit at a bar, or nothing; all in 0..1 of the time axis.

    They stand within a bar only if it is `solid`: on a pale one no color reads well on every page.
    """
    fits = {"after": need <= 1 - end, "before": need <= start, "within": solid and need <= end - start}
    return next((name for name, holds in fits.items() if holds), "")


def _placed(record: Record, row: Row, width: float, beyond: float, *, solid: bool) -> LabelPlacement:
    whole = max(record.seconds, 1e-9)
    start, end = (min(1.0, t / whole) for t in drawn(record, row))
    text = ", ".join(row.words)
    where = side(start, end, (text_width(text, SMALL) + _AIR) / width, solid=solid)
    if where:
        return LabelPlacement(where, end if where == "after" else start, text)
    short = fitting(row.words, beyond * width - _AIR)
    at = min(start, max(0.0, beyond - (text_width(short, SMALL) + _AIR) / width))
    return LabelPlacement("below", at, short)


def fitting(parts: Sequence[str], width: float) -> str:
    """As many parts as fit, the most important first; at least one, shortened."""
    for count in range(len(parts), 0, -1):
        text = ", ".join(parts[:count])
        if text_width(text, SMALL) <= width:
            return text
    return fit(parts[0], width, SMALL)
