"""Output of commands: plain text, and values shortened for a table."""

from __future__ import annotations

import json

from orchmagic.core.text_format import shorten

_WIDE = 60  # characters of a value in a table


class PlainText(str):
    """Text that a notebook cell displays without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def cell(value: object) -> str:
    """Formats a value on one line of a table."""
    return shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _WIDE)
