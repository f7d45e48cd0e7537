"""Confidence is the probability of the tokens that spell the value, and of no others."""

import math

from orchmagic.core.portable import token_confidence
from orchmagic.models.types import TokenLogprob


def tokens(*pairs):
    return [TokenLogprob(t, math.log(p)) for t, p in pairs]


def test_only_the_tokens_of_the_value_count():
    found = token_confidence(
        "label",
        "billing",
        tokens(('{"', 0.1), ("label", 0.2), ('": "', 0.3), ("bill", 0.9), ("ing", 0.5), ('"}', 0.1)),
    )
    assert found is not None
    assert math.isclose(found, 0.45)


def test_a_label_that_is_part_of_the_key_is_read_behind_the_key():
    found = token_confidence("label", "label", tokens(('{"label": "', 0.1), ("label", 0.8), ('"}', 0.1)))
    assert found is not None
    assert math.isclose(found, 0.8)


def test_without_logprobs_there_is_no_confidence():
    assert token_confidence("label", "billing", ()) is None


def test_a_value_that_is_not_in_the_reply_has_no_confidence():
    assert token_confidence("label", "billing", tokens(("billing", 0.9))) is None


def test_the_answer_counts_and_no_draft_before_it():
    thought = ("<think>", 1.0), ('{"label": "', 1.0), ("billing", 0.2), ('"}?</think>', 1.0)
    found = token_confidence("label", "billing", tokens(*thought, ('{"label": "', 0.5), ("billing", 0.7), ('"}', 0.5)))
    assert found is not None
    assert math.isclose(found, 0.7)
