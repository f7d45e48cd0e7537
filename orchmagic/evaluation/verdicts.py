"""What the scores say: ranges, verdicts on the target, the choice, and what more rows would decide."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from orchmagic.core.text_format import counted
from orchmagic.evaluation import ranges
from orchmagic.evaluation.metrics import Scores
from orchmagic.evaluation.ranges import Difference, Interval
from orchmagic.evaluation.targets import Condition, Target, Verdict


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of one variant: its value (None if no row has one), its 95 % range, and the rows that it counts as."""

    value: float | None
    range: Interval
    rows: float
    yes_no: bool
    missing: int = 0
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """How one condition of the target is met. `bound` is the end of the range that decides it."""

    condition: Condition
    verdict: Verdict
    bound: float
    yes_no: bool
    more_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """One variant: its metrics, costs and times, and its verdict (None without a target).

    `cost` is US dollars for a run, None if a price is unknown; `p50` and `p95` are seconds, None if all answers came
    from the cache; `runs` have an outcome, of which `failed` ended without a right answer and `unanswered` without any.
    """

    variant: str
    metrics: Mapping[str, Figure]
    held: tuple[Held, ...]
    verdict: Verdict | None
    cost: float | None
    p50: float | None
    p95: float | None
    runs: int
    failed: int
    unanswered: int


def range_of(scores: Scores, values: Sequence[float], groups: Sequence[Hashable] | None, z: float) -> Interval:
    """The range of the mean of some scores."""
    if not values:
        return Interval(scores.least, scores.most)
    if scores.yes_no:
        return ranges.share(values, groups, z)
    return ranges.mean(values, min(scores.least, *values), max(scores.most, *values), groups, z)


def figure(scores: Scores, groups: Sequence[Hashable] | None) -> Figure:
    """The figure of a metric, with a range of its own."""
    places, values = scores.known()
    inside = _at(groups, places)
    value = math.fsum(values) / len(values) if values else None
    rows = ranges.effective_rows(values, inside) if values and scores.yes_no else len(values)
    found = range_of(scores, values, inside, ranges.quantile())
    return Figure(value, found, rows, scores.yes_no, len(scores.missing), scores.changed)


def held(condition: Condition, scores: Scores, groups: Sequence[Hashable] | None, candidates: int) -> Held:
    """Whether the scores meet a condition, wherever the rows without an answer would fall.

    Its bound is one-sided, and the error is shared over the candidates.
    """
    z = ranges.quantile(sides=1, share=candidates)
    low = _bound(scores, groups, z, scores.least if scores.yes_no or condition.floor else None).low
    high = _bound(scores, groups, z, scores.most if scores.yes_no or condition.floor else None).high
    floor, limit = condition.floor, condition.limit
    if (low >= limit) if floor else (high <= limit):
        return Held(condition, "meets", low if floor else high, scores.yes_no)
    if (high < limit) if floor else (low > limit):
        return Held(condition, "misses", high if floor else low, scores.yes_no)
    return Held(condition, "not shown", low if floor else high, scores.yes_no, _more_rows(condition, scores, groups, z))


def _bound(scores: Scores, groups: Sequence[Hashable] | None, z: float, worst: float | None) -> Interval:
    places, values = scores.known(worst=worst)
    return range_of(scores, values, _at(groups, places), z)


def _more_rows(condition: Condition, scores: Scores, groups: Sequence[Hashable] | None, z: float) -> int | None:
    places, values = scores.known()
    if not values or not scores.yes_no or scores.missing:
        return None
    p = math.fsum(values) / len(values)
    p, limit = (p, condition.limit) if condition.floor else (1 - p, 1 - condition.limit)
    if not 0 < limit < 1:
        return None
    needed = ranges.rows_to_decide(p, limit, z)
    if needed is None:
        return None
    each = len(values) / ranges.effective_rows(values, _at(groups, places))
    return max(1, math.ceil(needed * each) - len(values))


def verdict(found: Sequence[Held]) -> Verdict | None:
    """The verdict on the whole target."""
    verdicts = {h.verdict for h in found}
    if not verdicts:
        return None
    return "misses" if "misses" in verdicts else "not shown" if "not shown" in verdicts else "meets"


def compare(one: Scores, other: Scores, groups: Sequence[Hashable] | None, comparisons: int = 1) -> Difference | None:
    """The difference of a metric between two variants, on the rows that both have; None without such rows."""
    a, b = (dict(zip(*scores.known(), strict=True)) for scores in (one, other))
    places = [place for place in a if place in b]
    if not places:
        return None
    width = max(one.most, other.most) - min(one.least, other.least)
    z = ranges.quantile(share=comparisons)
    return ranges.difference([a[p] for p in places], [b[p] for p in places], width, _at(groups, places), z)


def cheapest(summaries: Sequence[Summary]) -> list[Summary]:
    """The variants by cost, or by time if a price is unknown; the first named first where they are equal."""
    if all(s.cost is not None for s in summaries):
        return sorted(summaries, key=lambda s: s.cost or 0.0)
    return sorted(summaries, key=lambda s: math.inf if s.p50 is None else s.p50)


def chosen(summaries: Sequence[Summary]) -> Summary | None:
    """The cheapest variant that is shown to meet the target; None if there is none."""
    return next((s for s in cheapest(summaries) if s.verdict == "meets"), None)


def choice(summaries: Sequence[Summary], target: Target | None, metrics: Sequence[str]) -> str:
    """Which variant to choose, and what would decide the rest: a few sentences."""
    if target is None:
        first = next(iter(metrics), "right")
        return f"No target, so none is chosen: write target {first} >= 0.85, with the limit that you need."
    best = chosen(summaries)
    order = cheapest(summaries)
    unanswered = sum(s.unanswered for s in summaries)
    retry = f" {counted(unanswered, 'run')} had no answer: result.retry() asks these {unanswered}." * bool(unanswered)
    if best is None:
        open_ones = [s for s in order if s.verdict == "not shown"]
        said = f"No variant is shown to meet {target}."
        return said + "".join(f" {s.variant} may: {_needs(s)}." for s in open_ones[:2]) + retry
    priced = all(s.cost is not None for s in summaries)
    why = "it is shown to meet" if len(summaries) == 1 else f"the {'cheapest' if priced else 'fastest'} shown to meet"
    before = [s for s in order[: order.index(best)] if s.verdict == "not shown"]
    may = "".join(f" {s.variant} may do {_at_cost(s, best)}: {_needs(s)}." for s in before)
    return f"Choose {best.variant}: {why} {target}.{may}{retry}"


def _at_cost(one: Summary, other: Summary) -> str:
    if one.cost is None or not other.cost:
        return "in less time"
    return f"at {one.cost / other.cost:.0%} of the cost" if one.cost else "for nothing"


def _needs(summary: Summary) -> str:
    open_ones = [h for h in summary.held if h.verdict == "not shown"]
    more = [h.more_rows for h in open_ones]
    if summary.unanswered:
        return "its missing answers would decide"
    if not more or any(m is None for m in more):
        return "more rows would decide"
    most = max(m for m in more if m is not None)
    return f"about {_rounded(most):,} more rows would decide"


def _rounded(rows: int) -> int:
    step = 1 if rows < 20 else 10 if rows < 1000 else 100  # noqa: PLR2004 - two digits
    return math.ceil(rows / step) * step


def percentile(values: Sequence[float], part: float) -> float | None:
    """The value that `part` of the values do not exceed; None without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)] if ordered else None


def _at(groups: Sequence[Hashable] | None, places: Sequence[int]) -> list[Hashable] | None:
    return None if groups is None else [groups[place] for place in places]
