"""Format text for people: counts with nouns, shortened texts, notes of what is left out, tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal


def counted(number: int, noun: str, many: str | None = None) -> str:
    """`1 call`, `1,200 calls`; `many` is the plural if adding an s is wrong: replies, entries."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def plain(number: float, digits: int = 6) -> str:
    """Format without an exponent: 0.000001, not 1e-06."""
    return f"{Decimal(f'{number:.{digits}g}'):f}"


def shorten(text: str, limit: int) -> str:
    """Cut the text to `limit` characters, the last one an ellipsis if any are left out."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def cut_note(length: int) -> str:
    """Return the note that ends a truncated text of `length` characters."""
    return f"… cut, {length:,} characters in all"


def more(number: int, what: str) -> str:
    """Return the line that replaces `number` omitted lines: `… 12 more rows`."""
    return f"… {number:,} more {what}"


def table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Format rows of equal length as aligned columns; the columns `right` (from 0) are right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
