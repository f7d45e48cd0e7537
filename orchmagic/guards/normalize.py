"""A text as a reader sees it: look-alike forms plain, invisible characters gone, escapes of JSON as they are meant."""

from __future__ import annotations

import functools
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchmagic.guards import Finding

_TAGS = range(0xE0020, 0xE007F)  # an invisible copy of ASCII
_ESCAPE = re.compile(r'\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u[\da-fA-F]{4}|["\\/bfnrt])')
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_DEEPEST = 3  # JSON in JSON in JSON: the arguments of a tool that hold what another tool returned


@dataclass(frozen=True, slots=True)
class NormalizedText:
    """`text` is the plain form; its character i stands at `at[i]` to `ends[i]` in the original.

    None: at the same place, and one character long.
    """

    text: str
    at: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def back(self, found: Iterable[Finding]) -> list[Finding]:
        """Findings in the plain form as findings in the original."""
        if self.at is None:
            return list(found)
        at, ends = self.at, self.ends
        return [
            Finding(at[f.start], ends[f.end - 1] if ends else at[f.end - 1] + 1, f.what)
            for f in found
            if f.end > f.start
        ]


def plain(text: str) -> NormalizedText:
    """Full-width letters, ligatures, zero-width marks, tag characters: as they are meant."""
    if text.isascii() or all(_plain(char) == char for char in set(text)):
        return NormalizedText(text)
    kept: list[str] = []
    at: list[int] = []
    for position, char in enumerate(text):
        one = char if char < "\x80" else _plain(char)
        kept.append(one)
        at.append(position) if len(one) == 1 else at.extend([position] * len(one))
    return NormalizedText("".join(kept), at)


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
    """The text with the escapes of JSON as they are meant, and once more while there are some; nothing without any.

    Models answer in JSON, where a line break before a key is a backslash and a letter that seems to belong to it.
    """
    whole = NormalizedText(text, range(len(text)), range(1, len(text) + 1))
    for _ in range(_DEEPEST):
        if "\\" not in whole.text or not _ESCAPE.search(whole.text):
            return
        whole = rewritten(whole, _ESCAPE, _meant)
        yield whole


def rewritten(reading: NormalizedText, seek: re.Pattern[str], meant: Callable[[str], str]) -> NormalizedText:
    """The reading with what each match means in its place; every character of that stands for the whole match."""
    text, at, ends = reading.text, reading.at or range(len(reading.text)), reading.ends
    ends = ends or [n + 1 for n in at]
    kept: list[str] = []
    starts: list[int] = []
    stops: list[int] = []
    done = 0
    for match in seek.finditer(text):
        start, end = match.span()
        put = meant(match[0])
        kept += [text[done:start], put]
        starts += [*at[done:start], *[at[start]] * len(put)]
        stops += [*ends[done:start], *[ends[end - 1]] * len(put)]
        done = end
    return NormalizedText("".join([*kept, text[done:]]), [*starts, *at[done:]], [*stops, *ends[done:]])


def _meant(escape: str) -> str:
    if escape[1] != "u":
        return _SHORT.get(escape[1], escape[1])
    code = int(escape[2:6], 16)
    if len(escape) == 12:  # noqa: PLR2004 - two halves of one character
        code = 0x10000 + ((code - 0xD800) << 10) + (int(escape[8:], 16) - 0xDC00)
    return chr(code)


def apart(found: Iterable[Finding]) -> list[Finding]:
    """Of findings that overlap the first one given, in the order of the text."""
    kept: list[Finding] = []  # sorted, none over another: the neighbours of a place are all that can overlap it
    for one in found:
        place = bisect_right(kept, one)
        before = place > 0 and kept[place - 1].end > one.start
        if not before and not (place < len(kept) and kept[place].start < one.end):
            kept.insert(place, one)
    return kept
