"""A box of a drawn graph holds its words: their width is bounded from above."""

from __future__ import annotations

import pytest

from orchmagic.views.text_width import text_width

DEJAVU = {"n": 0.634, "m": 0.974, "W": 0.989, "0": 0.636, "i": 0.278, " ": 0.318, "@": 1.0}  # em, of the widest font


@pytest.mark.parametrize(("character", "em"), DEJAVU.items())
def test_the_bound_is_a_seventh_above_the_widest_common_font(character, em):
    assert em * 1.145 <= text_width(character, 1) <= em * 1.7
