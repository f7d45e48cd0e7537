"""Labels are fitted by an upper bound of their width, and panels keep the space that their figures take."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchmagic.views.bar_labels import side
from orchmagic.views.text_width import fit, pack, text_width
from orchmagic.views.timeline.axes import panel_ends

DEJAVU = {"n": 0.634, "m": 0.974, "W": 0.989, "0": 0.636, "i": 0.278, " ": 0.318, "@": 1.0}  # em, of the widest font


@pytest.mark.parametrize(("character", "em"), DEJAVU.items())
def test_the_bound_is_a_seventh_above_the_widest_common_font(character, em):
    assert em * 1.145 <= text_width(character, 1) <= em * 1.7


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40), st.floats(20, 300))
def test_a_fitted_text_takes_at_most_the_width_and_as_much_of_it_as_it_can(text, width):
    short = fit(text, width)
    assert text_width(short) <= width
    assert short == text or text_width(text) > width
    assert short == text or text_width(f"{text[: len(short)]}…") > width


@pytest.mark.parametrize("character", ["x", "i", " ", "漢", "\x1b"])
def test_a_text_of_a_million_characters_is_fitted_in_milliseconds(character):
    start = time.perf_counter()
    short = fit(f"a{character * 1_000_000}", 300)
    assert time.perf_counter() - start < 0.2  # to try each length of it would take hours
    assert short.startswith("a")
    assert text_width(short) <= 300


@given(st.lists(st.sampled_from(["one", "three words here", "12,345"]), max_size=9), st.floats(120, 400))
def test_packed_lines_have_all_parts_in_their_order_and_none_is_too_wide(parts, width):
    lines = list(pack(parts, width))
    assert [part for line in lines for part in line.split(" · ")] == parts
    assert all(text_width(line) <= width or " · " not in line for line in lines)
    assert all(text_width(f"{a} · {b.split(' · ')[0]}") > width for a, b in pairwise(lines))


@given(st.floats(30, 90), st.floats(30, 120))
def test_the_figures_of_a_panel_have_their_space_before_the_next_one(tokens, dollars):
    time, left, right, start, end = panel_ends(400, [tokens, dollars])
    assert 0 < time < left < right < start < end == 1
    assert (start - right) * 400 >= tokens


def test_words_stand_only_in_bars_that_are_solid():
    assert side(0.0, 1.0, 0.5, solid=True) == "within"
    assert side(0.0, 1.0, 0.5, solid=False) == ""
