"""Estimate the width of a text in an unknown font: an upper bound, so that labels do not overlap.

The widths are those of DejaVu Sans, as wide as Verdana, the widest of the common fonts, plus a margin.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from orchmagic.trace import humanize
from orchmagic.trace.record import TIMES

_MARGIN = 1.15  # factor for fonts wider than the widest common one
_WIDTHS = {" '(),-./:;I[\\]fijlt|·": 0.4, "#&+<=>CDGHNOQRU^w~" + TIMES: 0.84, "%@MWm…→◆✓✗■◔★": 1.0}
_EM = {character: em for characters, em in _WIDTHS.items() for character in characters}
_LETTER, _OTHER, _WIDE = 0.69, 0.8, 1.1  # em of other ASCII, of other scripts, of East Asian characters and emoji


def text_width(text: str, size: float = 12) -> float:
    """Return the maximum width in pixels of `text` on one line at font size `size` (pixels)."""
    return size * _MARGIN * sum(map(_em, text))


def _em(character: str) -> float:
    if character.isascii() or character in _EM:
        return _EM.get(character, _LETTER)
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else _OTHER


def fit(text: str, width: float, size: float = 12) -> str:
    """Return the text on one line, shortened to at most `width` pixels; may be empty."""
    room = 1 + int(max(0.0, width) / (size * _MARGIN * min(_WIDTHS.values())))  # no more characters can fit
    line = humanize.one_line(text[: 10 * room], room + 1)  # read only the beginning of a very long text
    for most in range(len(line), 0, -1):
        short = humanize.one_line(line, most)
        if text_width(short, size) <= width:
            return short
    return ""


def pack(parts: Iterable[str], width: float, size: float = 12, between: str = " · ") -> Iterator[str]:
    """Yield the parts joined to lines of at most `width` pixels; a wider part has a line of its own."""
    line = ""
    for part in parts:
        longer = f"{line}{between}{part}" if line else part
        if line and text_width(longer, size) > width:
            yield line
            longer = part
        line = longer
    if line:
        yield line
