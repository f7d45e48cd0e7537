"""Ranks the deployments of a pool by its policy, with reasons. Pure functions of their statistics.

"uptime" and "price" use published weights of LLM Gateway. Lower scores are better; 0 is the best in every figure.

    "uptime"   uptime .5, throughput .2, price .2, latency .1    as in the article (S5); each figure's distance from
                                                                 the best, as a share of the whole range
    "price"    price .6, uptime .5, throughput .05, latency      as the gateway does it now; each figure's ratio to the
               .025 while streaming, prompt cache .2             best, less one; the cache counts from 5,000 tokens on

    "latency"  the wait alone: until the first token       its ratio to the best, less one; a deployment without
               while streaming, else for the whole answer       figures is tried first, by one request at a time

Weights that do not apply to a request are distributed over the others. Below 95 % uptime all policies add a penalty
that grows with the square of the shortfall.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from orchmagic.models.types import Deployment, Pool
from orchmagic.trace.reasons import Reason

EXPLORE = 0.01  # share of requests sent to a random deployment, so that a slow one is measured again
UPTIME = MappingProxyType({"uptime": 0.5, "throughput": 0.2, "price": 0.2, "latency": 0.1})
PRICE = MappingProxyType({"price": 0.6, "uptime": 0.5, "throughput": 0.05, "latency": 0.025, "cache": 0.2})
SCORED = frozenset({"uptime", "price", "latency"})  # the policies that use statistics
_STEADY = 0.95  # uptime below which the penalty begins
_LONG = 5_000  # tokens of a prompt from which on the prompt cache counts


@dataclass(frozen=True, slots=True)
class Stats:
    """The statistics of a deployment. `uptime` 0 to 1, `throughput` in tokens per second, `latency` in seconds.

    The defaults are for a deployment without calls, if no other has any. `price`: mean of input and output, US dollars
    per million tokens, None = unknown; `cache`: cached input costs less. `first`: seconds to the first token of a
    streamed answer, None = it never streamed. `measured`: it has answered before; `circuit_open`: it is skipped now;
    `under_way`: calls of this kernel that have not ended.
    """

    uptime: float = 1.0
    throughput: float = 50.0
    latency: float = 1.0
    price: float | None = None
    cache: bool = False
    measured: bool = True
    circuit_open: bool = False
    first: float | None = None
    under_way: int = 0

    def wait(self, *, streaming: bool) -> float | None:
        """Seconds to the first token if `streaming`, else to the whole answer; None = never measured."""
        return self.first if streaming else self.latency if self.measured else None


@dataclass(frozen=True, slots=True)
class Choice:
    """A deployment and the reason for its rank."""

    deployment: Deployment
    reason: Reason


def penalty(uptime: float) -> float:
    """The penalty of a score below 95 % uptime: 0.07 at 90 %, 1.7 at 70 %, 5.6 at 50 %."""
    return 0.0 if uptime >= _STEADY else (5 * (_STEADY - uptime) / _STEADY) ** 2


def scores(table: Sequence[Stats], policy: str, *, streaming: bool = False, tokens: int = 0) -> list[float]:
    """A score for each row, lower is better; `tokens` are those of the prompt."""
    match policy:
        case "uptime":
            return _ranged(table)
        case "latency":
            return _waits(table, streaming=streaming)
        case _:
            return _ratios(table, streaming=streaming, tokens=tokens)


def _waits(table: Sequence[Stats], *, streaming: bool) -> list[float]:
    """Scores by wait. Without figures: -1 if no call is under way, else after all others, the fewest calls first."""
    waits = [s.wait(streaming=streaming) for s in table]
    soonest = min((w for w in waits if w is not None), default=0.0)
    known = [
        None if wait is None else _more(wait, soonest) + penalty(s.uptime) for s, wait in zip(table, waits, strict=True)
    ]
    last = max((k for k in known if k is not None), default=0.0)
    untried = [last + s.under_way if s.under_way else -1.0 for s in table]
    return [u if k is None else k for k, u in zip(known, untried, strict=True)]


def _ranged(table: Sequence[Stats]) -> list[float]:
    costs = {
        "uptime": [-s.uptime for s in table],
        "throughput": [-s.throughput for s in table],
        "price": _prices(table),
        "latency": [s.latency for s in table],
    }
    parts = {name: [_share(v, values) for v in values] for name, values in costs.items()}
    return [
        sum(weight * parts[name][i] for name, weight in UPTIME.items()) + penalty(s.uptime) for i, s in enumerate(table)
    ]


def _share(value: float, values: Sequence[float]) -> float:
    """The position of `value` between the least (0) and the greatest (1) of `values`."""
    low, high = min(values), max(values)
    return (value - low) / (high - low) if high > low else 0.0


def _ratios(table: Sequence[Stats], *, streaming: bool, tokens: int) -> list[float]:
    counted = {
        name: weight
        for name, weight in PRICE.items()
        if (name != "latency" or streaming) and (name != "cache" or tokens >= _LONG)
    }
    prices, best = _prices(table), max(table, key=lambda s: s.uptime).uptime
    fastest, soonest = max(s.throughput for s in table), min(s.latency for s in table)
    marks = []
    for stats, price in zip(table, prices, strict=True):
        parts = {
            "price": _more(price, min(prices)),
            "uptime": _more(best, stats.uptime) if stats.uptime else 1.0,
            "throughput": _more(fastest, stats.throughput) if stats.throughput else 1.0,
            "latency": _more(stats.latency, soonest),
            "cache": 0.0 if stats.cache else 1.0,
        }
        mean = sum(weight * parts[name] for name, weight in counted.items()) / sum(counted.values())
        marks.append(mean + penalty(stats.uptime))
    return marks


def _more(value: float, than: float) -> float:
    """The relative excess of `value` over `than`; 0 if `than` is 0."""
    return value / than - 1 if than > 0 else 0.0


def _prices(table: Sequence[Stats]) -> list[float]:
    """The prices of the table; an unknown one counts as the highest known."""
    highest = max((s.price for s in table if s.price is not None), default=0.0)
    return [highest if s.price is None else s.price for s in table]


def candidates(
    pool: Pool,
    stats: Mapping[str, Stats],
    chance: Callable[[], float],
    skip: Collection[str] = (),
    *,
    streaming: bool = False,
    tokens: int = 0,
) -> Iterator[Choice]:
    """Yield the members in the order in which to call them, without those to `skip`; `stats` by alias.

    `chance` draws from 0 to 1. Members with an open circuit come last. Each choice is scored among the remaining
    members only: a very fast member that was skipped would make all others look slow. At most the first choice of a
    request is random.
    """
    if pool.policy not in SCORED:
        order = _drawn(pool.members, chance) if pool.policy == "weighted" else _in_order(pool.members)
        yield from (c for c in order if c.deployment.alias not in skip)
        return
    known = {m.alias: stats.get(m.alias, Stats()) for m in pool.members}
    for circuit_open in (False, True):
        members = [m for m in pool.members if m.alias not in skip and known[m.alias].circuit_open == circuit_open]
        while members:
            table = _as_good_as_the_best([known[m.alias] for m in members])
            choice = _best(members, table, pool.policy, chance, streaming=streaming, tokens=tokens)
            yield choice if len(members) > 1 else Choice(choice.deployment, Reason("deployment", cause="only"))
            members.remove(choice.deployment)
            chance = _never


def _as_good_as_the_best(table: Sequence[Stats]) -> Sequence[Stats]:
    """Give members without figures the best throughput and latency of the others, so that they get calls."""
    measured = [s for s in table if s.measured]
    if not measured:
        return table
    fast, soon = max(s.throughput for s in measured), min(s.latency for s in measured)
    return [s if s.measured else replace(s, throughput=fast, latency=soon) for s in table]


def _never() -> float:
    return 1.0


def _best(
    members: Sequence[Deployment],
    table: Sequence[Stats],
    policy: str,
    chance: Callable[[], float],
    *,
    streaming: bool,
    tokens: int,
) -> Choice:
    """The member with the lowest score, or with probability EXPLORE a random one."""
    marks = scores(table, policy, streaming=streaming, tokens=tokens)
    order = sorted(range(len(table)), key=marks.__getitem__)
    explored = EXPLORE if chance() < EXPLORE else None
    place = 0 if explored is None else int(chance() * len(order))
    best = order[place]
    reason = _reason(table[best], marks[best], policy, streaming=streaming)
    return Choice(members[best], replace(reason, place=place + 1, among=len(order), explored=explored))


def _reason(stats: Stats, mark: float, policy: str, *, streaming: bool) -> Reason:
    figures = {
        "uptime": stats.uptime,
        "throughput": stats.throughput,
        "first_token": stats.first,
        "latency": stats.latency,
        "price": stats.price,
    }
    if policy != "latency" or stats.wait(streaming=streaming) is not None:
        return Reason("deployment", cause="score", score=mark, figures=figures)
    return Reason("deployment", cause="untried", used=stats.under_way, figures=figures)


def _in_order(members: Sequence[Deployment]) -> list[Choice]:
    reasons = (Reason("deployment", cause="order", place=n, among=len(members)) for n in range(1, len(members) + 1))
    return [Choice(*pair) for pair in zip(members, reasons, strict=True)]


def _drawn(members: Sequence[Deployment], chance: Callable[[], float]) -> list[Choice]:
    remaining, choices = list(members), []
    while remaining:
        total = sum(m.weight for m in remaining)
        point = chance() * total
        for member in remaining:
            point -= member.weight
            if point < 0:
                break
        choices.append(Choice(member, Reason("deployment", cause="weight", weight=member.weight, limit=total)))
        remaining.remove(member)
    return choices
