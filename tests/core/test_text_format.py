"""Texts are shortened, noted and set in columns by one rule each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchmagic.core.text_format import cut_note, more, shorten, table


@given(st.text(max_size=30), st.integers(1, 20))
def test_a_shortened_text_is_never_longer_than_its_limit_and_shows_that_it_was_cut(text, limit):
    short = shorten(text, limit)
    assert len(short) == min(len(text), limit)
    assert short == text if len(text) <= limit else short == text[: limit - 1] + "…"


def test_a_note_says_how_long_the_whole_was():
    assert cut_note(12_345) == "… cut, 12,345 characters in all"


def test_lines_left_out_are_counted():
    assert more(1_234, "rows") == "… 1,234 more rows"


@pytest.mark.parametrize(("right", "lines"), [((), ["a    bb", "ccc  d"]), ((0,), ["  a  bb", "ccc  d"])])
def test_a_table_has_columns_of_equal_width_and_no_blanks_at_the_end(right, lines):
    assert table([("a", "bb"), ("ccc", "d")], right).split("\n") == lines


def test_a_table_without_rows_is_empty():
    assert table([]) == ""


def test_rows_of_other_lengths_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        table([("a", "b"), ("c",)])
