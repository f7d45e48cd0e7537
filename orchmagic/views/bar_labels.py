"""Places the label of a bar on a time axis: after the bar, before it, or within it.

Positions are 0..1 of the axis. The width of the axis, in pixels, is that of a narrow cell: what fits there fits in any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchmagic.views.text_width import fit, text_width

SMALL = 11  # font size of labels in pixels
AIR = 10.0  # pixels around a label


@dataclass(frozen=True, slots=True)
class LabelPlacement:
    """The label of a bar: `side` is after, before, within or below; `at` its start (for before: its end), 0..1."""

    side: str
    at: float
    text: str


def side(start: float, end: float, need: float, *, solid: bool) -> str:
    """Return the side where a label of width `need` fits at a bar, or empty; all in 0..1 of the time axis.

    A label is placed within a bar only if it is `solid`: no text color suits a pale bar on every page.
    """
    fits = {"after": need <= 1 - end, "before": need <= start, "within": solid and need <= end - start}
    return next((name for name, holds in fits.items() if holds), "")


def beside(start: float, end: float, text: str, width: float, *, solid: bool) -> LabelPlacement | None:
    """Place a whole text at a bar; None if no side has room."""
    where = side(start, end, needed(text) / width, solid=solid)
    return LabelPlacement(where, end if where == "after" else start, text) if where else None


def squeezed(start: float, end: float, parts: Sequence[str], width: float) -> LabelPlacement:
    """Place as many of the first parts as fit beside a solid bar, else the first one, shortened, where most room is."""
    places = (beside(start, end, text, width, solid=True) for text in _beginnings(parts))
    room, where = max((1 - end, "after"), (start, "before"), (end - start, "within"))
    cut = LabelPlacement(where, end if where == "after" else start, fit(parts[0], room * width - AIR, SMALL))
    return next(filter(None, places), cut)


def fitting(parts: Sequence[str], width: float) -> str:
    """Join as many parts as fit in `width` pixels, the first ones first; at least one, shortened."""
    texts = (text for text in _beginnings(parts) if text_width(text, SMALL) <= width)
    return next(texts, None) or fit(parts[0], width, SMALL)


def needed(text: str) -> float:
    """Return the width of a label in pixels, with the air around it."""
    return text_width(text, SMALL) + AIR


def _beginnings(parts: Sequence[str]) -> Iterator[str]:
    """Yield all parts joined, then all but the last, and so on."""
    return (", ".join(parts[:count]) for count in range(len(parts), 0, -1))
