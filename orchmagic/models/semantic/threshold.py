"""Learns the similarity threshold: the lowest cosine at which, by all labels so far, few enough hits are wrong.

A label is a pair with its score, and whether its two answers agreed. The bound on the share of wrong hits holds with
95 % confidence: candidates are tested from the top down, each by the exact (Clopper-Pearson) limit of its error rate,
and the first that fails ends the search (fixed-sequence testing, so testing many does not lower the confidence).
All pairs below the threshold are labelled, but only some hits, so pairs near the threshold have a larger share of
the labels than of the hits, which errs on the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

CONFIDENCE = 0.95
STEP = 0.005


def learned(labels: Iterable[tuple[float, bool]], bound: float, floor: float) -> float | None:
    """The threshold, or None if the labels do not show yet that one keeps the bound. `labels`: (score, right)."""
    best_first = sorted(labels, reverse=True)
    threshold = None
    seen = wrong = 0
    for step in range(round((1 - floor) / STEP) + 1):
        candidate = 1 - step * STEP
        while seen < len(best_first) and best_first[seen][0] >= candidate - 1e-9:
            wrong += not best_first[seen][1]
            seen += 1
        if seen < least(bound):
            continue  # too few labels: this is not counted as a test
        if wrong > bound * seen or _at_most(wrong, seen, bound) > 1 - CONFIDENCE:  # the limit is above the bound
            break
        threshold = candidate
    return threshold


def least(bound: float) -> int:
    """The number of labels, all right, that are needed before anything is served: 149 for a bound of 2 %."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - bound))


def most_wrong(wrong: int, of: int) -> float:
    """The upper 95 % limit of the error rate with `wrong` errors in `of` labels (Clopper-Pearson, one-sided)."""
    if of == 0 or wrong >= of:
        return 1.0
    low, high = wrong / of, 1.0
    for _ in range(40):  # halving an interval of 1: exact to twelve digits
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(wrong, of, middle) > 1 - CONFIDENCE else (low, middle)
    return high


def _at_most(wrong: int, of: int, rate: float) -> float:
    """The probability of at most `wrong` errors in `of` trials at error rate `rate` (binomial)."""
    logs = (
        math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
        + k * math.log(rate) + (of - k) * math.log1p(-rate)
        for k in range(wrong + 1)
    )  # fmt: skip  # one line each
    return math.fsum(map(math.exp, logs))
