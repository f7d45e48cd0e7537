"""What all runs together tell: spend by day, pattern and model, how long they take, cache hits, failures, who waits.

Read from the run history: the latest thousand runs, and of as many as fit in a bound what they asked which model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, tzinfo

from orchmagic.storage.runs import Store, Stored
from orchmagic.trace.record import Record

_RUNS = 1_000  # latest runs that are read
_BYTES = 32_000_000  # of records that are looked into
_WEEK, _DAYS = 7, 14  # latest days with a bar: at least, at most
_NAMES = 6  # patterns and models with a line; the rest shares one
BROKEN = frozenset({"failed", "lost"})
"""Statuses that count as failures; "lost" is a run whose process is gone."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Money in US dollars, without the `unpriced` calls; `seconds` are those of runs that are done, sorted.

    `calls` and `cached` are answers of models and of the cache, of the runs whose records were read.
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
        """Part of the answers that came from the cache, 0..1; None when nothing was asked."""
        asked = self.calls + self.cached
        return self.cached / asked if asked else None

    def percentile(self, part: float) -> float | None:
        """Seconds in which that part (0..1) of the runs was done; None when none is."""
        return self.seconds[max(0, math.ceil(part * len(self.seconds)) - 1)] if self.seconds else None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`days` are the latest ones, oldest first, days without runs too; each with the number of runs of each status.

    `patterns` and `models` come with the dearest first. `read` of `all.runs` runs were looked into for models, calls
    and cache. `waiting` are (run, name, since) of those that wait for a person; `unknown` counts answers without price.
    """

    all: Spent
    days: tuple[tuple[Spent, Mapping[str, int]], ...] = ()
    patterns: tuple[Spent, ...] = ()
    models: tuple[Spent, ...] = ()
    waiting: tuple[tuple[str, str, str], ...] = ()
    running: int = 0
    read: int = 0
    unknown: int = 0


@dataclass(slots=True)
class _Sum:
    """A `Spent` that grows."""

    runs: int = 0
    failed: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: list[float] = field(default_factory=list)
    calls: int = 0
    cached: int = 0
    unpriced: int = 0
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, run: Stored, asked: Iterable[_ModelUse]) -> None:
        self.runs += 1
        self.failed += run.status in BROKEN
        self.tokens += run.tokens
        self.cost += run.cost
        self.unpriced += run.unpriced
        self.statuses[run.status] += 1
        if run.status == "done":
            self.seconds.append(run.seconds)
        for one in asked:
            self.calls += one.calls
            self.cached += one.cached

    def summary(self, name: str) -> Spent:
        seconds = tuple(sorted(self.seconds))
        sums = (self.runs, self.failed, self.tokens, self.cost)
        return Spent(name, *sums, seconds, self.calls, self.cached, self.unpriced)


@dataclass(frozen=True, slots=True)
class _ModelUse:
    """What one run asked one model."""

    model: str
    calls: int
    cached: int
    tokens: int
    cost: float
    unknown: int


def summary(store: Store, under_way: Mapping[str, Record] | None = None, zone: tzinfo | None = None) -> Dashboard:
    """The history in figures. `under_way` are the records of runs that go on, by id; days are those of `zone`."""
    now = under_way or {}
    runs = [_now(run, now.get(run.id)) for run in store.runs(limit=_RUNS)]
    asked = _model_uses(store) | {id_: _of(record) for id_, record in now.items()}
    whole, patterns, days = _Sum(), dict[str, _Sum](), dict[str, _Sum]()
    for run in runs:
        for one in (whole, patterns.setdefault(run.pattern, _Sum()), days.setdefault(_day(run, zone), _Sum())):
            one.add(run, asked.get(run.id, ()))
    here = {run.id for run in runs} & asked.keys()
    return Dashboard(
        all=whole.summary("all"),
        days=tuple((days[d].summary(d), days[d].statuses) if d in days else (Spent(d), {}) for d in _latest(days)),
        patterns=_few(s.summary(name) for name, s in patterns.items()),
        models=_few(_models(asked[id_] for id_ in here)),
        waiting=tuple((r.id, r.name, r.updated) for r in runs if r.status == "waiting"),
        running=whole.statuses["running"],
        read=len(here),
        unknown=sum(one.unknown for id_ in here for one in asked[id_]),
    )


def _now(run: Stored, record: Record | None) -> Stored:
    """A run as it stands in this kernel: what the history holds of it may be older."""
    if record is None:
        return run
    spent = replace(run, cost=record.cost, unpriced=record.unpriced, tokens=record.usage.total)
    return replace(spent, status=record.status, seconds=record.seconds)


def _day(run: Stored, zone: tzinfo | None) -> str:
    return datetime.fromisoformat(run.started).astimezone(zone).date().isoformat()


def _latest(days: Iterable[str]) -> list[str]:
    """The last days up to the latest run, without a gap."""
    known = sorted(days)
    if not known:
        return []
    last = date.fromisoformat(known[-1]).toordinal()
    first = max(min(date.fromisoformat(known[0]).toordinal(), last - _WEEK + 1), last - _DAYS + 1)
    return [date.fromordinal(n).isoformat() for n in range(first, last + 1)]


def _few(rows: Iterable[Spent]) -> tuple[Spent, ...]:
    """The dearest, and the rest in one."""
    ranked = sorted(rows, key=lambda s: (-s.cost, -s.tokens, -s.runs, s.name))
    if len(ranked) <= _NAMES:
        return tuple(ranked)
    return (*ranked[: _NAMES - 1], _together(f"{len(ranked) - _NAMES + 1} others", ranked[_NAMES - 1 :]))


def _together(name: str, rest: Sequence[Spent]) -> Spent:
    return Spent(
        name,
        runs=sum(s.runs for s in rest),
        failed=sum(s.failed for s in rest),
        tokens=sum(s.tokens for s in rest),
        cost=math.fsum(s.cost for s in rest),
        seconds=tuple(sorted(n for s in rest for n in s.seconds)),
        calls=sum(s.calls for s in rest),
        cached=sum(s.cached for s in rest),
        unpriced=sum(s.unpriced for s in rest),
    )


def _models(uses_by_run: Iterable[Sequence[_ModelUse]]) -> Iterator[Spent]:
    by: dict[str, list[_ModelUse]] = {}
    runs: Counter[str] = Counter()
    for one in uses_by_run:
        runs.update({a.model for a in one})
        for a in one:
            by.setdefault(a.model, []).append(a)
    for name, all_ in by.items():
        yield Spent(
            name or "unknown",
            runs=runs[name],
            tokens=sum(a.tokens for a in all_),
            cost=math.fsum(a.cost for a in all_),
            calls=sum(a.calls for a in all_),
            cached=sum(a.cached for a in all_),
            unpriced=sum(a.unknown for a in all_),
        )


def _of(record: Record) -> tuple[_ModelUse, ...]:
    """What a run under way asked so far."""
    asks = [s for s in record.spans if s.kind == "ask"]
    return tuple(
        _ModelUse(
            model,
            calls=sum(s.age is None and s.status in {"done", "retried"} for s in mine),
            cached=sum(s.age is not None for s in mine),
            tokens=sum(s.usage.total for s in mine),
            cost=math.fsum(s.cost or 0.0 for s in mine),
            unknown=sum(s.unpriced for s in mine),
        )
        for model in dict.fromkeys(s.model for s in asks)
        if (mine := [s for s in asks if s.model == model])
    )


def _model_uses(store: Store) -> dict[str, tuple[_ModelUse, ...]]:
    """What each run asked which model, by run; read by SQLite itself, so that no record is held here."""
    by_run: dict[str, list[_ModelUse]] = {}
    for row in store.database.read(_ASKED, _RUNS, _BYTES):
        mine = by_run.setdefault(f"r{row['number']}", [])
        if row["model"] is not None:
            figures = (row["calls"], row["cached"], row["tokens"], row["cost"], row["unknown"])
            mine.append(_ModelUse(str(row["model"]), *figures))
    return {run: tuple(asked) for run, asked in by_run.items()}


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
    sum(json_extract(span, '$.usage.input') + json_extract(span, '$.usage.output')) AS tokens,
    total(json_extract(span, '$.cost')) AS cost,
    sum(coalesce(json_extract(span, '$.unpriced'), json_extract(span, '$.cost') IS NULL)) AS unknown
FROM spans GROUP BY number, model
"""
