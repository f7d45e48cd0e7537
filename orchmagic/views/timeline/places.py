"""Compute the positions of the rows and of each bar's label: after the bar, before, within, or below it.

The width of the cell and the font of the page are unknown. Positions are computed for a narrow cell and a wide font,
so that labels fit in any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from orchmagic.trace.record import Record
from orchmagic.views.bar_labels import AIR, LabelPlacement, beside, fitting, needed
from orchmagic.views.text_width import text_width
from orchmagic.views.timeline.rows import ROWS, Row, forks, length

NARROW = 600.0  # pixels of the narrowest supported cell
INDENT = 14  # pixels per level of depth
BELOW = 0.62  # rows from the middle of a bar to a label below it
_MORE = 0.55  # rows that such a label takes
_ROW, _TIGHT = 30, 22  # pixels of a row if there are few, and if there are many
_THIN = 400  # a bar's minimum length is the run's divided by this
OPACITY = {"waiting": 0.35, "frame": 0.6, "solid": 1.0}
"""Opacity of a bar by its look: waiting (time outside attempts), frame (contains other bars), solid."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Margins `left` and `right` and height of a `row`, in pixels; for each row its middle, in rows, and its label."""

    left: int
    right: int
    row: int
    ys: tuple[float, ...]
    places: tuple[LabelPlacement, ...]
    high: float


def grid(record: Record, rows: list[Row], right: int, part: float) -> Grid:
    """Compute positions; the timeline has `part` (0..1) of the width between the names and the `right` margin."""
    left = names_width(rows)
    width = (NARROW - left - right) * part
    beyond = (NARROW - left - AIR) / width  # a label below a bar may span all columns
    solid = [look(rows, i) == "solid" for i in range(len(rows))]
    places = tuple(_placed(record, r, width, beyond, solid=s) for r, s in zip(rows, solid, strict=True))
    heights = [1 + (_MORE if p.side == "below" else 0) for p in places]
    ys = tuple(accumulate(heights, initial=0.0))[: len(rows)]
    row = _ROW if len(rows) <= ROWS / 3 else _TIGHT
    return Grid(left, right, row, ys, places, max(2.0, sum(heights)))


def names_width(rows: list[Row]) -> int:
    """Return the width in pixels of the column of names, with padding."""
    return round(max((text_width(name(r, rows)) + INDENT * r.depth for r in rows), default=0)) + 18


def name(row: Row, rows: list[Row]) -> str:
    """Return a row's name, marked if it is on the critical path and not all rows are."""
    return row.label + (" ◆" if row.critical and forks(rows) else "")


def drawn(record: Record, row: Row) -> tuple[float, float]:
    """Return start and end of a row's bar in seconds, with a visible minimum length."""
    long = max(length(record, row.span), record.seconds / _THIN)
    return row.span.start, row.span.start + long


def look(rows: list[Row], i: int) -> str:
    """Return the look of a row's bar: waiting, frame (the next rows are inside it) or solid."""
    if rows[i].calls or rows[i].span.status == "skipped":
        return "waiting"
    return "frame" if i + 1 < len(rows) and rows[i + 1].depth > rows[i].depth else "solid"


def _placed(record: Record, row: Row, width: float, beyond: float, *, solid: bool) -> LabelPlacement:
    whole = max(record.seconds, 1e-9)
    start, end = (min(1.0, t / whole) for t in drawn(record, row))
    found = beside(start, end, ", ".join(row.words), width, solid=solid)
    if found:
        return found
    short = fitting(row.words, beyond * width - AIR)
    return LabelPlacement("below", min(start, max(0.0, beyond - needed(short) / width)), short)
