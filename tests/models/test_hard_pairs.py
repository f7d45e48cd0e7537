"""What changes the answer by a sign, a letter or a small word is never taken for the same question."""

import pytest
from hard_pairs import HELD_OUT, NEGATIVES, negatives, positives

from orchmagic.models.semantic.differences import difference
from orchmagic.models.semantic.semantic_cache import comparable


def taken(one, other):
    return comparable(one) and comparable(other) and not difference(one, other)


def test_there_are_400_hard_negatives():
    assert len(set(negatives())) == 400
    assert len(set(positives())) == 150


@pytest.mark.parametrize("kind", NEGATIVES)
def test_no_hard_negative_is_taken_for_the_same(kind):
    wrong = [pair for name, *pair in negatives() if name == kind and (taken(*pair) or taken(*reversed(pair)))]
    assert wrong == []


def test_rewordings_are_taken_for_the_same():
    assert [pair for pair in positives() if not taken(*pair)] == []


def test_of_the_pairs_drawn_later_no_more_are_taken_than_documented():
    assert len(negatives(HELD_OUT)) == 100
    assert sum(taken(one, other) for _, one, other in negatives(HELD_OUT)) <= 10
