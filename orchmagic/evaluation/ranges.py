"""Ranges for shares, means and differences that hold for 20 to 500 rows.

All are closed forms; only `judged` draws at random, with a fixed seed.

`z` is a quantile of the normal distribution (`quantile`), also where Student's t is used: the t quantile of the same
level is taken then. `groups` names the group of each row (rows of one document belong together), None: all rows are
independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from random import Random
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

LEVEL = 0.95
POWER = 0.8

Groups: TypeAlias = "Sequence[Hashable] | None"


class Interval(NamedTuple):
    """The ends of a range."""

    low: float
    high: float


class Difference(NamedTuple):
    """A difference with its range; `better` and `worse` count the rows on which the two differ."""

    value: float
    low: float
    high: float
    better: int
    worse: int

    @property
    def shown(self) -> bool:
        """Whether the range does not contain 0."""
        return self.low > 0 or self.high < 0


def quantile(sides: int = 2, share: int = 1, level: float = LEVEL) -> float:
    """The normal quantile of a range of `level`. `share` ranges share the error (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - level) / sides / max(share, 1))


def wilson(hits: float, rows: float, z: float) -> Interval:
    """Wilson's range of a share; `hits` and `rows` need not be whole numbers."""
    p, scale = hits / rows, 1 + z * z / rows
    middle = (p + z * z / (2 * rows)) / scale
    half = z * math.sqrt(max(0.0, p * (1 - p) / rows + z * z / (4 * rows * rows))) / scale
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def share(hits: Sequence[float], groups: Groups, z: float) -> Interval:
    """The range of a share. With groups it is Wilson's for the effective number of rows, with t instead of z."""
    rows, p = len(hits), math.fsum(hits) / len(hits)
    if groups is None:
        return wilson(p * rows, rows, z)
    sums = _sums(hits, groups)
    effective = rows / _design_effect(sums, rows, p)
    return wilson(p * effective, effective, t_like(z, len(sums) - 1))


def effective_rows(hits: Sequence[float], groups: Groups) -> float:
    """The number of independent rows that say as much as these."""
    if groups is None:
        return len(hits)
    return len(hits) / _design_effect(_sums(hits, groups), len(hits), math.fsum(hits) / len(hits))


def mean(values: Sequence[float], least: float, most: float, groups: Groups, z: float) -> Interval:
    """The range of a mean of scores in least..most: Student's t on the rows and one pseudo row at each end.

    Without the pseudo rows, scores that are nearly all equal give a range that is far too short.
    """
    sums = _sums(values, groups)
    both = [*sums, (least, 1), (most, 1)]
    rows, count = sum(size for _, size in both), len(both)
    middle = math.fsum(total for total, _ in both) / rows
    squares = math.fsum((total - size * middle) ** 2 for total, size in both)
    error = math.sqrt(squares * count / (count - 1)) / rows
    half = t_like(z, len(sums) - 1 if groups is not None else len(values) + 1) * error
    return Interval(max(least, middle - half), min(most, middle + half))


def difference(one: Sequence[float], other: Sequence[float], width: float, groups: Groups, z: float) -> Difference:
    """`one` minus `other`, on the same rows. `width` is the length of the scale of the scores.

    Yes/no answers without groups: Bonett and Price 2012. Otherwise the mean of the differences, with pseudo rows.
    """
    found = [a - b for a, b in zip(one, other, strict=True)]
    better, worse = sum(d > 0 for d in found), sum(d < 0 for d in found)
    value = math.fsum(found) / len(found)
    if groups is not None or any(d not in (-1, 0, 1) for d in found):
        return Difference(value, *mean(found, -width, width, groups, z), better, worse)
    rows = len(found) + 2
    p, q = (better + 1) / rows, (worse + 1) / rows
    half = z * math.sqrt((p + q - (p - q) ** 2) / rows)
    return Difference(value, max(-1.0, p - q - half), min(1.0, p - q + half), better, worse)


def mcnemar(better: int, worse: int) -> float:
    """The exact two-sided p of McNemar's test."""
    both = better + worse
    tail: float = sum(math.comb(both, i) for i in range(min(better, worse) + 1)) / 2**both
    return min(1.0, 2 * tail)


def detectable(rows: float, disagreement: float, z: float | None = None) -> float:
    """The smallest difference of two shares that `rows` show with a power of 80 %.

    `disagreement`: the share of rows on which two equal variants differ.
    """
    z = quantile() if z is None else z
    power = NormalDist().inv_cdf(POWER)
    low, high = 0.0, 1 - disagreement
    for _ in range(60):
        d = (low + high) / 2
        psi = disagreement + d
        enough = d >= (z * math.sqrt(psi) + power * math.sqrt(max(psi - d * d, 0.0))) / math.sqrt(rows)
        low, high = (low, d) if enough else (d, high)
    return high


def rows_to_decide(p: float, target: float, z: float) -> int | None:
    """How many rows show whether a share meets `target`, if it stays `p`; None if none would (p equals the target)."""
    if abs(p - target) < 1e-3:  # noqa: PLR2004 - more than a million rows
        return None
    decided: Callable[[int], bool] = (
        (lambda n: wilson(p * n, n, z).low >= target) if p > target else (lambda n: wilson(p * n, n, z).high < target)
    )
    low, high = 1, 2
    while not decided(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high


def fewest_all_right(target: float, z: float) -> int:
    """How many rows, all of them right, show that a share meets `target` (below 1)."""
    return math.ceil(z * z * target / (1 - target) - 1e-9)


class Judged(NamedTuple):
    """The share that a person would call good, with its range."""

    value: float
    low: float
    high: float


def judged(
    yes: float, rows: int, labels: Sequence[tuple[bool, bool]], level: float = LEVEL, draws: int = 4000
) -> Judged:
    """The share that a person would call good, from a judge's verdicts on all rows and `labels` on some of them.

    `labels` are (judge, person) pairs. Post-stratified by verdict, Jeffreys priors, seeded: the same each time.
    """
    yy, yn, ny, nn = (sum(pair == case for pair in labels) for case in _CASES)
    beta = Random(0).betavariate  # noqa: S311 - a simulation
    found = []
    for _ in range(draws):
        q = beta(yes + 0.5, rows - yes + 0.5)
        found.append(q * beta(yy + 0.5, yn + 0.5) + (1 - q) * beta(ny + 0.5, nn + 0.5))
    found.sort()
    q, cut = yes / rows, int(draws * (1 - level) / 2)
    value = q * (yy + 0.5) / (yy + yn + 1) + (1 - q) * (ny + 0.5) / (ny + nn + 1)
    return Judged(value, found[cut], found[-cut - 1])


@lru_cache(maxsize=4096)
def t_like(z: float, freedom: int) -> float:
    """Student's quantile of the same level as the normal quantile `z`; infinite without a degree of freedom."""
    if freedom < 1:
        return math.inf
    tail = NormalDist().cdf(-abs(z))
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_tail(middle, freedom) > tail else (low, middle)
    return math.copysign((low + high) / 2, z)


def _t_tail(t: float, freedom: int) -> float:
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz's method)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)) / a
    c, d, product = 1.0, 0.0, 1.0
    for i in range(1000):
        step = _fraction_step(a, b, x, i)
        d = 1 / (1 + step * d)
        c = 1 + step / c
        product *= c * d
        if abs(1 - c * d) < 1e-15:  # noqa: PLR2004 - exact
            break
    return front * (product - 1)


def _fraction_step(a: float, b: float, x: float, i: int) -> float:
    m = i // 2
    if i == 0:
        return 1.0
    if i % 2 == 0:
        return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))


def _sums(values: Sequence[float], groups: Groups) -> list[tuple[float, int]]:
    """(sum, rows) of each group."""
    if groups is None:
        return [(value, 1) for value in values]
    found: dict[Hashable, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        found.setdefault(group, []).append(value)
    return [(math.fsum(rows), len(rows)) for rows in found.values()]


def _design_effect(sums: Sequence[tuple[float, int]], rows: int, p: float) -> float:
    """How many rows count as one: 1 if the rows of a group are independent, the size of a group if they are equal."""
    count = len(sums)
    largest = rows / count
    if not 0 < p < 1 or count < 2:  # noqa: PLR2004 - no variance can be estimated
        return largest
    variance = math.fsum((total - size * p) ** 2 for total, size in sums) * count / (count - 1) / rows**2
    return min(largest, max(1.0, variance / (p * (1 - p) / rows)))


_CASES = ((True, True), (True, False), (False, True), (False, False))
