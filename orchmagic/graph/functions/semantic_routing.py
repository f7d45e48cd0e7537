"""Which of several kinds a text means, by an embedding model on this machine: no call, no cost.

A kind is its description and example texts. Its likeness is half the cosine to the nearest of them, half that to
their mean; the confidence is the softmax of the likenesses and of `NOTHING`, so that a text that is near to no kind has
little. Both constants are about where half of Banking77 had the least log loss, eight kinds at a time, with Quora's
questions as what belongs to none; docs/patterns/route.md says what they come to. English only, as the model is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError
from orchmagic.models.embedders import EMBEDDERS, Embedder, TooLongError

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

SHARPNESS = 0.05  # of the softmax: its temperature
NOTHING = 0.35  # the likeness of "none of them"
BASIS = "softmax of cosines"
EMBEDDER = "minilm"


def by_meaning(text: object, kinds: Mapping[str, tuple[str, Sequence[str]]]) -> dict[str, Any]:
    """The kind that `text` is nearest to; each has its description and examples.

    Returns `label` (None for an empty text), `confidence` (0..1), its `basis`, and `why` in words.

    Raises:
        InputError: an example is no text.
        SettingsError: the embedding model is not installed; says what to install.
    """
    said = str(text).strip()
    if not said:
        return {"label": None, "confidence": 0.0, "basis": BASIS, "why": "the text is empty"}
    asked = _vector(said)
    scores = {kind: _score(asked, [words, *_examples(kind, given)]) for kind, (words, given) in kinds.items()}
    first, *others = sorted(scores, key=lambda kind: -scores[kind])
    sure = _share(scores)
    second = f", next {others[0]} {scores[others[0]]:.2f}" if others else ""
    return {"label": first, "confidence": sure, "basis": BASIS, "why": f"likeness {scores[first]:.2f}{second}"}


def _examples(kind: str, given: object) -> Sequence[str]:
    if isinstance(given, (list, tuple)) and all(isinstance(t, str) and t.strip() for t in given):
        return given
    raise InputError(
        f'examples of {kind!r} are {str(given)[:60]!r}: write a list of texts, such as ["where is my refund?"]'
    )


def _score(asked: NDArray[float32], texts: Sequence[str]) -> float:
    known = [_vector(t) for t in texts]
    nearest = max(float(asked @ k) for k in known)
    middle = sum(known[1:], start=known[0])
    return (nearest + float(asked @ middle) / (float(middle @ middle) ** 0.5 or 1.0)) / 2


def _share(scores: Mapping[str, float]) -> float:
    """The softmax's part of the best."""
    best = max(scores.values())
    return round(1 / sum(math.exp((s - best) / SHARPNESS) for s in (*scores.values(), NOTHING)), 4)


@lru_cache(maxsize=1)
def _embedder() -> Embedder:
    return EMBEDDERS.get(EMBEDDER).create()


@lru_cache(maxsize=4096)
def _vector(text: str) -> NDArray[float32]:
    """Of length 1; a text that the model would cut is read in parts, and the mean of them taken."""
    try:
        return _embedder().embed(text)
    except TooLongError:
        middle = text.find(" ", len(text) // 2) + 1 or len(text) // 2
        both = _vector(text[:middle]) + _vector(text[middle:])
        found: NDArray[float32] = both / (float(both @ both) ** 0.5 or 1.0)
        return found
