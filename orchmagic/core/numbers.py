"""Numbers in words of one kind: `1 call`, `2 calls`, `1,126 tokens`; 0.000001 without an exponent."""

from __future__ import annotations

from decimal import Decimal


def counted(number: int, noun: str, many: str | None = None) -> str:
    """`many` where an s is not enough: replies, entries."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def plain(number: float, digits: int = 6) -> str:
    """As people write it: 0.000001, not 1e-06."""
    return f"{Decimal(f'{number:.{digits}g}'):f}"
