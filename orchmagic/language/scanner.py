"""Find brackets, commas and words of a line of Python outside its quoted texts, before it is known to be Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPEN, _CLOSE, _QUOTES = "([{", ")]}", "\"'"


def plain(source: str) -> Iterator[tuple[int, str, int]]:
    """Index, character and bracket depth of what is not inside quotes; a pair of brackets has its outer depth."""
    depth = 0
    quote = ""
    escaped = False
    for index, char in enumerate(source):
        if quote:
            quote = "" if char == quote and not escaped else quote
            escaped = char == "\\" and not escaped
        elif char in _QUOTES:
            quote, escaped = char, False
        elif char in _OPEN:
            yield index, char, depth
            depth += 1
        else:
            depth -= char in _CLOSE
            yield index, char, depth


def closing(source: str) -> int:
    """Where the bracket that opens `source` closes, or -1."""
    return next((i for i, char, depth in plain(source) if i and depth == 0 and char in _CLOSE), -1)


def pieces(source: str) -> Iterator[tuple[int, str]]:
    """What stands between the outer commas, each with its offset."""
    start = 0
    for index, char, depth in plain(source):
        if char == "," and depth == 0:
            yield start, source[start:index]
            start = index + 1
    yield start, source[start:]


def outer_words(source: str, word: str) -> list[int]:
    """Where `word` stands as a whole word outside brackets and quotes."""
    outside = {index for index, _, depth in plain(source) if depth == 0}
    return [m.start() for m in re.finditer(rf"\b{word}\b", source) if m.start() in outside]


def uncommented(source: str) -> str:
    """The source without a comment at its end."""
    end = next((index for index, char, _ in plain(source) if char == "#"), len(source))
    return source[:end].rstrip()
