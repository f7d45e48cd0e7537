"""Confidence is the probability of the tokens that spell the value, and of no others."""

import math

from orchmagic.models import TokenLogprob
from orchmagic.models.logprobs import of_field


def tokens(*pairs):
    return [TokenLogprob(t, math.log(p)) for t, p in pairs]


REPLY = '{"label": "billing"}'


def test_only_the_tokens_of_the_value_count():
    found = of_field(
        REPLY,
        "label",
        "billing",
        tokens(('{"', 0.1), ("label", 0.2), ('": "', 0.3), ("bill", 0.9), ("ing", 0.5), ('"}', 0.1)),
    )
    assert found is not None
    assert math.isclose(found, 0.45)


def test_a_label_that_is_part_of_the_key_is_read_behind_the_key():
    found = of_field('{"label": "label"}', "label", "label", tokens(('{"label": "', 0.1), ("label", 0.8), ('"}', 0.1)))
    assert found is not None
    assert math.isclose(found, 0.8)


def test_without_logprobs_there_is_no_confidence():
    assert of_field(REPLY, "label", "billing", None) is None


def test_a_value_that_is_not_in_the_reply_has_no_confidence():
    assert of_field("billing", "label", "billing", tokens(("billing", 0.9))) is None
