"""Decides whether two answers agree, for audits: data must be equal, prose is compared by text features and cosine.

A model words its answers differently each time, so for prose this is an estimate, and rather too strict.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from orchmagic.models.semantic.text_features import read
from orchmagic.models.types import ModelResponse

Similarity = Callable[[str, str], float]

_PROSE = 0.85  # least cosine of two answers that agree


def agree(one: ModelResponse, other: ModelResponse, similarity: Similarity) -> bool:
    """Whether data is equal, and prose has equal numbers and negations and a high `similarity` (a cosine)."""
    return _same(_read(one.text), _read(other.text), similarity)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _same(one: Any, other: Any, similarity: Similarity) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k], similarity) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b, similarity) for a, b in zip(one, other, strict=True))
    if isinstance(one, str) and isinstance(other, str):
        return _same_prose(one, other, similarity)
    return bool(one == other) and type(one) is type(other)


def _same_prose(one: str, other: str, similarity: Similarity) -> bool:
    if one.split() == other.split():
        return True
    if len(one.split()) <= 2 or len(other.split()) <= 2:  # noqa: PLR2004 - a label, a name: equal or not
        return one.strip(" .\n").casefold() == other.strip(" .\n").casefold()
    a, b = read(one), read(other)
    return a.numbers == b.numbers and bool(a.negations) == bool(b.negations) and similarity(one, other) >= _PROSE
