"""Normalizes a text for matching (Unicode forms, invisible characters, JSON escapes), and maps positions back."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchmagic.guards import Finding

_TAGS = range(0xE0020, 0xE007F)  # an invisible copy of ASCII
_ESCAPE = re.compile(r'\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u[\da-fA-F]{4}|["\\/bfnrt])')
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_DEEPEST = 3  # levels of JSON in JSON: tool arguments that contain the result of another tool


@dataclass(frozen=True, slots=True)
class NormalizedText:
    """A normalized text with the original position of each character.

    Character i of `text` is `starts[i]` to `ends[i]` of the original. None: at the same place, one character long.
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def to_original(self, findings: Iterable[Finding]) -> list[Finding]:
        """Convert findings in this text to findings in the original."""
        if self.starts is None:
            return list(findings)
        starts, ends = self.starts, self.ends
        return [
            Finding(starts[f.start], ends[f.end - 1] if ends else starts[f.end - 1] + 1, f.what)
            for f in findings
            if f.end > f.start
        ]

    def substitute(self, pattern: re.Pattern[str], replacement: Callable[[str], str]) -> NormalizedText:
        """Replace each match; every character of a replacement maps to the whole match."""
        starts = self.starts or range(len(self.text))
        ends = self.ends or [n + 1 for n in starts]
        parts: list[str] = []
        new_starts: list[int] = []
        new_ends: list[int] = []
        done = 0
        for match in pattern.finditer(self.text):
            start, end = match.span()
            new = replacement(match[0])
            parts += [self.text[done:start], new]
            new_starts += [*starts[done:start], *[starts[start]] * len(new)]
            new_ends += [*ends[done:start], *[ends[end - 1]] * len(new)]
            done = end
        text = "".join([*parts, self.text[done:]])
        return NormalizedText(text, [*new_starts, *starts[done:]], [*new_ends, *ends[done:]])


def plain(text: str) -> NormalizedText:
    """Normalize full-width letters and ligatures (NFKC), remove zero-width marks, decode tag characters to ASCII."""
    if text.isascii() or all(_plain(char) == char for char in set(text)):
        return NormalizedText(text)
    parts: list[str] = []
    starts: list[int] = []
    for position, char in enumerate(text):
        new = char if char < "\x80" else _plain(char)
        parts.append(new)
        starts.append(position) if len(new) == 1 else starts.extend([position] * len(new))
    return NormalizedText("".join(parts), starts)


@functools.lru_cache(maxsize=4096)
def _plain(char: str) -> str:
    if char.isascii():
        return char
    if ord(char) in _TAGS:
        return chr(ord(char) - 0xE0000)
    if unicodedata.category(char) in {"Cf", "Mn"}:
        return ""
    return unicodedata.normalize("NFKC", char)


def unescaped(text: str) -> Iterator[NormalizedText]:
    """Yield the text with its JSON escapes decoded, then decoded again, up to three times; nothing without escapes.

    In JSON a line break before a key is a backslash and an n; the n would otherwise count as part of the key.
    """
    form = NormalizedText(text, range(len(text)), range(1, len(text) + 1))
    for _ in range(_DEEPEST):
        if "\\" not in form.text or not _ESCAPE.search(form.text):
            return
        form = form.substitute(_ESCAPE, _unescape)
        yield form


def _unescape(escape: str) -> str:
    if escape[1] != "u":
        return _SHORT.get(escape[1], escape[1])
    code = int(escape[2:6], 16)
    if len(escape) == 12:  # noqa: PLR2004 - two halves of one character
        code = 0x10000 + ((code - 0xD800) << 10) + (int(escape[8:], 16) - 0xDC00)
    return chr(code)
