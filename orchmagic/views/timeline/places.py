"""Where the rows of the figure stand, and the words of each bar: behind it, before it, within it, or below it.

A figure is as wide as its cell, which nobody knows when it is made. So places are found for a narrow cell: what has
room there has room everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from orchmagic.trace import humanize
from orchmagic.trace.record import Record
from orchmagic.views.layout import breadth
from orchmagic.views.timeline.rows import ROWS, Row, forks, length

NARROW = 600.0  # pixels of the narrowest cell that is thought of
SMALL = 11  # size of the words
INDENT = 14  # pixels that a part stands further in than what it is part of
BELOW = 0.62  # rows from the middle of a bar to the words below it
_MORE = 0.55  # rows that those take
_ROW, _TIGHT = 30, 22  # pixels of a row of few, and of many
_AIR = 10.0
_THIN = 400  # a bar is at least this part of the run


@dataclass(frozen=True, slots=True)
class LabelPlacement:
    """Words at a bar: `side` is behind, before, within or below; `at` is where they begin (before: end), 0..1."""

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
    wide = max((breadth(name(r, rows)) + INDENT * r.depth for r in rows), default=0)
    left = round(wide) + 18
    width = (NARROW - left - right) * part
    beyond = (NARROW - left - _AIR) / width  # words below a bar have all columns for themselves
    places = tuple(_placed(record, r, width, beyond) for r in rows)
    heights = [1 + (_MORE if p.side == "below" else 0) for p in places]
    ys = tuple(accumulate(heights, initial=0.0))[: len(rows)]
    row = _ROW if len(rows) <= ROWS / 3 else _TIGHT
    return Grid(left, right, row, ys, places, max(2.0, sum(heights)))


def name(row: Row, rows: list[Row]) -> str:
    """The label of a row, marked when it is on the critical path and another is not."""
    return row.label + (" ◆" if row.critical and forks(rows) else "")


def drawn(record: Record, row: Row) -> tuple[float, float]:
    """Start and end of its bar in seconds; what is too short to see is a thin line."""
    long = max(length(record, row.span), record.seconds / _THIN)
    return row.span.start, row.span.start + long


def _placed(record: Record, row: Row, width: float, beyond: float) -> LabelPlacement:
    whole = max(record.seconds, 1e-9)
    start, end = (min(1.0, t / whole) for t in drawn(record, row))
    text = ", ".join(row.words)
    need = breadth(text, SMALL) + _AIR
    if need <= (1 - end) * width:
        return LabelPlacement("behind", end, text)
    if need <= start * width:
        return LabelPlacement("before", start, text)
    if need <= (end - start) * width and not row.calls:
        return LabelPlacement("within", start, text)
    kept = _fitting(row.words, beyond * width)
    at = min(start, max(0.0, beyond - (breadth(kept, SMALL) + _AIR) / width))
    return LabelPlacement("below", at, kept)


def _fitting(parts: Sequence[str], width: float) -> str:
    """As many parts as have room, the most telling first; at least one, cut."""
    most = round((width - _AIR) / breadth("n", SMALL))
    for count in range(len(parts), 0, -1):
        text = ", ".join(parts[:count])
        if len(text) <= most:
            return text
    return humanize.one_line(parts[0], most)
