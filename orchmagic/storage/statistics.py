"""Statistics over the run history: spend by day, pattern and model, durations, cache hits, failures, waiting runs.

They cover the latest thousand runs; figures by model cover as many of their records as fit in a byte limit.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo

from orchmagic.storage.runs import Store, Stored
from orchmagic.trace.record import Record

_RUNS = 1_000  # latest runs that are counted
_BYTES = 32_000_000  # of records read, at most
_WEEK, _DAYS = 7, 14  # number of days shown, at least and at most
_NAMES = 6  # patterns or models with a line of their own; the others share one
_ANSWERS = ("calls", "cached", "unpriced")  # fields of Spent that count answers
BROKEN = frozenset({"failed", "lost"})
"""Statuses that count as failures; "lost": the run's process is gone."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Sums over a group of runs. `cost` in US dollars, without the `unpriced` calls; `seconds` of runs done, sorted.

    `calls` and `cached` count answers of models and of the cache, in runs whose records were read.
    """

    name: str
    runs: int = 0
    failed: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: tuple[float, ...] = ()
    calls: int = 0
    cached: int = 0
    unpriced: int = 0

    @property
    def hits(self) -> float | None:
        """Share of answers from the cache, 0..1; None if there are no answers."""
        asked = self.calls + self.cached
        return self.cached / asked if asked else None

    def percentile(self, part: float) -> float | None:
        """Seconds within which `part` (0..1) of the runs were done; None if none is."""
        return self.seconds[max(0, math.ceil(part * len(self.seconds)) - 1)] if self.seconds else None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`days`: the latest days, oldest first, also those without runs, each with its number of runs by status.

    `patterns` and `models`: most expensive first. `read`: number of runs, out of `all.runs`, whose records were read.
    `waiting`: (run, name, since) of runs that wait for a person. `unknown`: number of answers of unknown price.
    """

    all: Spent
    days: tuple[tuple[Spent, Mapping[str, int]], ...] = ()
    patterns: tuple[Spent, ...] = ()
    models: tuple[Spent, ...] = ()
    waiting: tuple[tuple[str, str, str], ...] = ()
    running: int = 0
    read: int = 0
    unknown: int = 0


def summary(store: Store, under_way: Mapping[str, Record] | None = None, zone: tzinfo | None = None) -> Dashboard:
    """Compute the statistics. `under_way`: records of running runs, by id; `zone`: time zone of the days."""
    now = under_way or {}
    everything = [_now(run, now.get(run.id)) for run in store.runs(limit=_RUNS)]
    runs = [run for run in everything if not run.caller]  # a called run counts in the one that called it
    uses = _model_uses(store) | {id_: _of(record) for id_, record in now.items()}
    spent = [_of_run(run, uses.get(run.id, ())) for run in runs]
    patterns, days, models = (defaultdict[str, list[Spent]](list) for _ in range(3))
    statuses = defaultdict[str, Counter[str]](Counter)
    for run, one in zip(runs, spent, strict=True):
        day = datetime.fromisoformat(run.started).astimezone(zone).date().isoformat()
        patterns[run.pattern].append(one)
        days[day].append(one)
        statuses[day][run.status] += 1
    read = {run.id for run in runs} & uses.keys()
    for use in (use for id_ in read for use in uses[id_]):
        models[use.name or "unknown"].append(use)
    return Dashboard(
        all=_sum("all", spent),
        days=tuple((_sum(day, days[day]), statuses[day]) for day in _latest(list(days))),
        patterns=_few(patterns),
        models=_few(models),
        waiting=tuple((r.id, r.name, r.updated) for r in everything if r.status == "waiting"),
        running=sum(r.status == "running" for r in runs),
        read=len(read),
        unknown=sum(use.unpriced for found in models.values() for use in found),
    )


def _now(run: Stored, record: Record | None) -> Stored:
    """Update a stored run from its live record, which may be newer."""
    if record is None:
        return run
    spent = replace(run, cost=record.cost, unpriced=record.unpriced, tokens=record.usage.total)
    return replace(spent, status=record.status, seconds=record.seconds)


def _of_run(run: Stored, uses: Sequence[Spent]) -> Spent:
    return Spent(
        run.pattern,
        runs=1,
        failed=int(run.status in BROKEN),
        tokens=run.tokens,
        cost=run.cost,
        seconds=(run.seconds,) if run.status == "done" else (),
        calls=sum(use.calls for use in uses),
        cached=sum(use.cached for use in uses),
        unpriced=run.unpriced,
    )


def _latest(days: Iterable[str]) -> list[str]:
    """Return the last days up to the latest run, without gaps."""
    known = sorted(days)
    if not known:
        return []
    last = date.fromisoformat(known[-1]).toordinal()
    first = max(min(date.fromisoformat(known[0]).toordinal(), last - _WEEK + 1), last - _DAYS + 1)
    return [date.fromordinal(n).isoformat() for n in range(first, last + 1)]


def _few(groups: Mapping[str, Sequence[Spent]]) -> tuple[Spent, ...]:
    """Sum up each group, most expensive first; the last ones share a line."""
    rows = (_sum(name, group) for name, group in groups.items())
    ranked = sorted(rows, key=lambda s: (-s.cost, -s.tokens, -s.runs, s.name))
    if len(ranked) <= _NAMES:
        return tuple(ranked)
    return (*ranked[: _NAMES - 1], _sum(f"{len(ranked) - _NAMES + 1} others", ranked[_NAMES - 1 :]))


def _sum(name: str, parts: Sequence[Spent]) -> Spent:
    sums = {key: sum(getattr(part, key) for part in parts) for key in ("runs", "failed", "tokens", *_ANSWERS)}
    cost = math.fsum(part.cost for part in parts)
    return Spent(name, cost=cost, seconds=tuple(sorted(n for part in parts for n in part.seconds)), **sums)


def _of(record: Record) -> tuple[Spent, ...]:
    """Sum up the model calls of a running run so far, by model."""
    asks = [s for s in record.spans if s.kind == "ask"]
    return tuple(
        Spent(
            model,
            runs=1,
            calls=sum(s.age is None and s.status in {"done", "retried"} for s in mine),
            cached=sum(s.age is not None for s in mine),
            tokens=sum(s.usage.total for s in mine),
            cost=math.fsum(s.cost or 0.0 for s in mine),
            unpriced=sum(s.unpriced for s in mine),
        )
        for model in dict.fromkeys(s.model for s in asks)
        if (mine := [s for s in asks if s.model == model])
    )


def _model_uses(store: Store) -> dict[str, tuple[Spent, ...]]:
    """Sum up the model calls of each stored run, by model, in SQLite: no record is loaded into memory."""
    uses: dict[str, tuple[Spent, ...]] = {}
    for row in store.database.read(_ASKED, _RUNS, _BYTES):
        figures = {key: row[key] for key in ("tokens", "cost", *_ANSWERS)}
        use = () if row["model"] is None else (Spent(str(row["model"]), runs=1, **figures),)
        run = f"r{row['number']}"
        uses[run] = (*uses.get(run, ()), *use)
    return uses


# a span is stored without the fields that have their defaults; older versions stored all, but had no `unpriced`
_ASKED = """
WITH latest AS (
    SELECT number, record, sum(length(record)) OVER (ORDER BY number DESC) AS bytes
    FROM (SELECT number, record FROM runs WHERE record IS NOT NULL ORDER BY number DESC LIMIT ?)
), spans AS (
    SELECT latest.number, s.value AS span
    FROM latest, json_each(CASE WHEN json_valid(record) THEN record ELSE '{}' END, '$.spans') AS s
    WHERE bytes <= ? AND json_extract(s.value, '$.kind') = 'ask'
)
SELECT number, json_extract(span, '$.model') AS model,
    sum(json_extract(span, '$.age') IS NULL AND json_extract(span, '$.status') IN ('done', 'retried')
        AND NOT (coalesce(json_extract(span, '$.recalled'), 0) AND json_extract(span, '$.saved') IS NOT NULL)) AS calls,
    sum(json_extract(span, '$.age') IS NOT NULL) AS cached,
    sum(coalesce(json_extract(span, '$.usage.input'), 0) + coalesce(json_extract(span, '$.usage.output'), 0)) AS tokens,
    total(json_extract(span, '$.cost')) AS cost,
    sum(coalesce(json_extract(span, '$.unpriced'), json_type(span, '$.cost') = 'null', 0)) AS unpriced
FROM spans GROUP BY number, model
"""
