"""A text as a reader sees it: look-alike forms made plain and invisible characters gone, so that nothing hides."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from orchmagic.guards import Finding

_TAGS = range(0xE0020, 0xE007F)  # an invisible copy of ASCII


@dataclass(frozen=True, slots=True)
class Reading:
    """`text` is the plain form; `at[i]` is where its character i stands in the original (None: the same place)."""

    text: str
    at: tuple[int, ...] | None = None

    def back(self, found: Iterable[Finding]) -> list[Finding]:
        """Findings in the plain form as findings in the original."""
        if self.at is None:
            return list(found)
        return [Finding(self.at[f.start], self.at[f.end - 1] + 1, f.what) for f in found if f.end > f.start]


def plain(text: str) -> Reading:
    """Full-width letters, ligatures, zero-width marks, tag characters: as they are meant."""
    if text.isascii():
        return Reading(text)
    kept: list[str] = []
    at: list[int] = []
    for position, char in enumerate(text):
        for one in _plain(char):
            kept.append(one)
            at.append(position)
    return Reading("".join(kept), tuple(at))


def _plain(char: str) -> str:
    if char.isascii():
        return char
    if ord(char) in _TAGS:
        return chr(ord(char) - 0xE0000)
    if unicodedata.category(char) == "Cf" or unicodedata.category(char) == "Mn":
        return ""
    return unicodedata.normalize("NFKC", char)
