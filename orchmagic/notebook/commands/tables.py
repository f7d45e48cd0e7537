"""How commands answer: text as it is, and tables of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

_WIDE = 60  # characters of a value in a table


class PlainText(str):
    """Text that a cell shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of equal length, the first is the head, as columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def cut(value: object) -> str:
    """A value on one line of a table."""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _WIDE else f"{shown[: _WIDE - 1]}…"
