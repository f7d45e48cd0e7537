"""Finds brackets, commas and words outside quotes in a line that need not be valid Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPEN, _CLOSE, _QUOTES = "([{", ")]}", "\"'"


def plain(source: str) -> Iterator[tuple[int, str, int]]:
    """Yields (index, character, bracket depth) outside quotes; both brackets of a pair have the depth around them."""
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
    """Returns the index of the bracket that closes the one at the start of `source`, or -1."""
    return next((i for i, char, depth in plain(source) if i and depth == 0 and char in _CLOSE), -1)


def pieces(source: str) -> Iterator[tuple[int, str]]:
    """Splits at commas outside brackets and quotes; yields (offset, text)."""
    start = 0
    for index, char, depth in plain(source):
        if char == "," and depth == 0:
            yield start, source[start:index]
            start = index + 1
    yield start, source[start:]


def outer_words(source: str, word: str) -> list[int]:
    """Returns the indices of `word` as a whole word outside brackets and quotes."""
    outside = {index for index, _, depth in plain(source) if depth == 0}
    return [m.start() for m in re.finditer(rf"\b{word}\b", source) if m.start() in outside]


def uncommented(source: str) -> str:
    """Returns the source without a trailing comment."""
    end = next((index for index, char, _ in plain(source) if char == "#"), len(source))
    return source[:end].rstrip()
