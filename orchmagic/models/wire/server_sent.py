"""Reads server-sent events: the data of each event, from pieces of bytes as they arrive.

Events without data (a ping, `retry:`, a comment, an `id:`) are none. The last event counts without its blank line.
"""

from __future__ import annotations

import json
import re

DONE = "[DONE]"  # the data of the last event
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # the other half of a final \r may be on its way


class Events:
    """One stream."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # of a line
        self._data: list[str] = []  # of an event

    def add(self, piece: bytes) -> list[str]:
        """Add bytes; returns the data of the events that end in them."""
        self._rest.append(piece)
        if b"\n" not in piece and b"\r" not in piece:
            return []
        *lines, rest = _LINE_END.split(b"".join(self._rest))
        self._rest = [rest]
        return [data for line in lines if (data := self._line(line)).strip()]

    def end(self) -> list[str]:
        """Return the data of the event that the stream ended in, if it is whole."""
        return [data for data in self.add(b"\n\n") if data == DONE or _is_json(data)]

    def _line(self, line: bytes) -> str:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" ").decode("utf-8", "replace"))
        if line:
            return ""
        data, self._data = "\n".join(self._data), []
        return DONE if data.startswith(DONE) else data


def _is_json(data: str) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
