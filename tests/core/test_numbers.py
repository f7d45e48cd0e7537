"""One of something is no plural, in all that people read."""

import pytest

from orchmagic.core.text_format import counted


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [(0, "call", "0 calls"), (1, "call", "1 call"), (2, "call", "2 calls"), (1_126, "token", "1,126 tokens")],
)
def test_a_number_and_its_noun(number, noun, said):
    assert counted(number, noun) == said


def test_what_takes_more_than_an_s_is_said():
    assert [counted(n, "retry", "retries") for n in (1, 2)] == ["1 retry", "2 retries"]
