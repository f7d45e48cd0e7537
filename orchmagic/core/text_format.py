"""Text for people: numbers in words, shortened with an ellipsis, with a note of what is left out, and in columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal


def counted(number: int, noun: str, many: str | None = None) -> str:
    """`many` where an s is not enough: replies, entries."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def plain(number: float, digits: int = 6) -> str:
    """As people write it: 0.000001, not 1e-06."""
    return f"{Decimal(f'{number:.{digits}g}'):f}"


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters of the text; where some are left out, the last one is an ellipsis."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def cut_note(length: int) -> str:
    """Added to the beginning of a text of `length` characters whose rest is left out."""
    return f"… ({length:,} characters)"


def more(number: int, what: str) -> str:
    """The line that stands for `number` lines left out: `… 12 more rows`."""
    return f"… {number:,} more {what}"


def table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows of equal length as lines with columns; the columns `right` (from 0) are set to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
