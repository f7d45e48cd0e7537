"""How sure a model was of one field of its JSON reply, read from the log-probabilities of the field's tokens."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from orchmagic.models.types import TokenLogprob


def of_field(reply: str, field: str, value: object, logprobs: Sequence[TokenLogprob] | None) -> float | None:
    """Probability 0..1 of the tokens that spell `value`; None when it cannot be read.

    Tokens are laid over the reply's text in order; a token that overlaps the value counts whole.
    """
    span = _span(reply, field, value)
    if span is None or not logprobs:
        return None
    start, end = span
    total, at, seen = 0.0, 0, False
    for token in logprobs:
        left, at = at, at + len(token.token)
        if left < end and at > start:
            total, seen = total + token.logprob, True
    return min(1.0, math.exp(total)) if seen else None


def _span(reply: str, field: str, value: object) -> tuple[int, int] | None:
    """Where the value stands behind its key, without the quotes."""
    key = reply.find(json.dumps(field))
    bare = str(value)
    start = reply.find(bare, key + len(field) + 2) if key >= 0 else -1
    return (start, start + len(bare)) if start >= 0 else None
