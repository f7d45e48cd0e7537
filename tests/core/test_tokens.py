"""Tokens that nobody counted: what a text probably takes, and what it cannot exceed."""

from __future__ import annotations

import pytest

from orchmagic.core import tokens


@pytest.mark.parametrize(
    ("text", "count"), [("", 1), ("abcd", 1), ("abcde", 2), ("ééé", 2), ("\ud800", 1), ("日本", 2)]
)
def test_an_estimate_is_a_token_for_four_bytes_and_at_least_one(text, count):
    assert tokens.estimated(text) == count


@pytest.mark.parametrize(("text", "images", "count"), [("", 0, 0), ("abcde", 0, 5), ("é", 0, 2), ("ab", 2, 6_002)])
def test_no_text_has_more_tokens_than_bytes_and_no_image_more_than_the_largest(text, images, count):
    assert tokens.at_most(text, images) == count
