"""Two answers agree when their data is equal and their prose says the same."""

import pytest

from orchmagic.models.semantic.agreement import agree
from orchmagic.models.types import ModelResponse


@pytest.mark.parametrize(
    ("one", "other", "alike", "same"),
    [
        ("billing", "Billing.", 0.0, True),
        ("billing", "technical", 1.0, False),
        ('{"label": "ok", "score": 3}', '{"score": 3, "label": "ok"}', 0.0, True),
        ('{"label": "ok", "score": 3}', '{"label": "ok", "score": 4}', 1.0, False),
        ('{"label": "ok"}', '{"label": "ok", "why": "so"}', 1.0, False),
        ("[1, 2]", "[1, 2, 3]", 1.0, False),
        ("[1]", "[true]", 1.0, False),
        ('{"why": "It is in the settings."}', '{"why": "You find it in settings."}', 0.9, True),
        ("It is in the settings.", "You find it in settings.", 0.9, True),
        ("It is in the settings.", "Ask the support team.", 0.4, False),
        ("It takes 3 days to arrive.", "It takes 5 days to arrive.", 0.99, False),
        ("It is safe to take.", "It is not safe to take.", 0.99, False),
    ],
)
def test_answers_that_say_the_same_agree(one, other, alike, same):
    assert agree(ModelResponse(one), ModelResponse(other), lambda *_: alike) is same
