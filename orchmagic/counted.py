"""A number and what it counts: `1 call`, `2 calls`, `1,126 tokens`."""

from __future__ import annotations


def counted(number: int, noun: str, many: str | None = None) -> str:
    """`many` where an s is not enough: replies, entries."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
