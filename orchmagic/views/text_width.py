"""Estimate the width of a text of a drawn graph in an unknown font: an upper bound, so that boxes hold their words.

The widths are those of DejaVu Sans, as wide as Verdana, the widest of the common fonts, plus a margin.
"""

from __future__ import annotations

import unicodedata

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
