"""How each deployment has been doing, and whether it may be asked now: circuits, limits and figures in one place.

The state is in SQLite, so all kernels of a machine share it: what one learns of a dead endpoint the others know.

    closed ──3 failures in a row, a 429, an empty account──▶ open ──cool-down over──▶ half open: one probe
       ▲                                                      ▲                            │
       └──────────────── the probe is answered ───────────────┼────────────────────────────┘
                                                              └─ it fails: open again, twice as long

Figures fade with a half-life of five minutes. Trouble with the file never stops a call.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchmagic.errors import ModelError, RateLimited, StoreError
from orchmagic.models.pricing import prices
from orchmagic.models.routing.circuit_breaker import (
    MINUTE,
    Unavailable,
    cooling,
    full,
    is_retryable_elsewhere,
    shut,
    skipped,
)
from orchmagic.models.routing.ranking import Stats
from orchmagic.models.types import Deployment
from orchmagic.storage.database import Database, DatabaseSchema

SCHEMA = DatabaseSchema(
    """
CREATE TABLE deployments(id TEXT PRIMARY KEY, failures INTEGER DEFAULT 0, opened INTEGER DEFAULT 0,
    open_until REAL DEFAULT 0, probe_until REAL DEFAULT 0, limited INTEGER DEFAULT 0, why TEXT DEFAULT '',
    asked REAL DEFAULT 0, answered REAL DEFAULT 0, seconds REAL DEFAULT 0, tokens REAL DEFAULT 0, at REAL DEFAULT 0,
    first REAL DEFAULT 0, streamed REAL DEFAULT 0);
CREATE TABLE calls(number INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT, at REAL, tokens INTEGER, until REAL);
CREATE INDEX calls_of ON calls(deployment, at);
""",
    added=(("deployments", "first", "REAL DEFAULT 0"), ("deployments", "streamed", "REAL DEFAULT 0")),
)
UNKNOWN = Stats()
_HALF = 300.0  # seconds after which a figure counts for half
_LAST = 10  # answers that say how fast it is now: one slow spell must not be held against it for hours
_GRACE = 30.0  # seconds after which a call that never ended (a killed kernel) is given up
_PATIENCE = 600.0  # seconds that a call without a timeout may hold its place


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to ask a deployment once; to be given back by `left`."""

    deployment: str
    number: int | None = None
    probe: bool = False


def identity(deployment: Deployment) -> str:
    """One endpoint, model and key, by whatever alias it is asked."""
    whole = [deployment.provider, (deployment.base_url or "").rstrip("/"), deployment.model, deployment.key_env]
    return hashlib.sha256(json.dumps(whole).encode("ascii")).hexdigest()[:20]


def opened(folder: Path | None) -> Health:
    """The state that all kernels share through `folder`; None keeps it in this one."""
    path = None if folder is None else folder / "deployments.sqlite"
    return Health(Database(path, SCHEMA, "record of deployments"))


class Health:
    """The shared state. `clock` is seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self.clock = clock
        self._freed = asyncio.Event()
        self._under_way: dict[str, list[float]] = {}  # when the questions of this kernel are given up

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._database.close()

    def stats(self, members: Iterable[Deployment]) -> dict[str, Stats]:
        """The figures of each member, by alias."""
        named = {m.alias: m for m in members}
        ids = [identity(m) for m in named.values()]
        marks = ", ".join("?" * len(ids))
        rows = self._database.read(f"SELECT * FROM deployments WHERE id IN ({marks})", *ids)  # noqa: S608 - only marks
        found = {row["id"]: row for row in rows}
        speeds = [row["tokens"] / row["seconds"] for row in rows if row["seconds"] > 0]
        waits = [row["seconds"] / row["answered"] for row in rows if row["answered"] > 0]
        # what was never measured is taken for as good as the best: else it would hardly ever be asked
        best = Stats(throughput=max(speeds, default=UNKNOWN.throughput), latency=min(waits, default=UNKNOWN.latency))
        return {alias: self._figures(found.get(identity(m)), m, best) for alias, m in named.items()}

    def _figures(self, row: Mapping[str, Any] | None, deployment: Deployment, best: Stats) -> Stats:
        rates = prices.rates(deployment)
        price = None if rates is None else (rates[0] + rates[1]) / 2
        cache = rates is not None and rates[2] < rates[0]
        busy = sum(until > self.clock() for until in self._under_way.get(identity(deployment), ()))
        known = replace(best, price=price, cache=cache, measured=False, under_way=busy)
        if row is None:
            return known
        known = replace(known, shut=row["open_until"] > self.clock())
        fade = self._fade(row)
        # one good answer is taken for granted, so that old trouble fades to well
        known = replace(known, uptime=(row["answered"] * fade + 1) / (row["asked"] * fade + 1))
        if row["streamed"] > 0:
            known = replace(known, first=row["first"] / row["streamed"])
        if row["answered"] <= 0 or row["seconds"] <= 0:
            return known
        throughput, latency = row["tokens"] / row["seconds"], row["seconds"] / row["answered"]
        return replace(known, throughput=throughput, latency=latency, measured=True)

    def seen(self, deployment: Deployment) -> Stats | None:
        """Its figures; None when it was never measured."""
        rows = self._database.read("SELECT 1 FROM deployments WHERE id = ? AND answered > 0", identity(deployment))
        return self.stats([deployment])[deployment.alias] if rows else None

    def state(self, deployment: Deployment) -> str:
        """For a person: "ok", "unknown", or why it is not asked and for how long."""
        rows = self._database.read("SELECT * FROM deployments WHERE id = ?", identity(deployment))
        if not rows:
            return "not asked yet"
        now = self.clock()
        return str(skipped(rows[0], now)) if rows[0]["open_until"] > now else "ok"

    def enter(
        self, deployment: Deployment, tokens: int, timeout: float | None = None, *, anyway: bool = False
    ) -> Permit | Unavailable:
        """Leave to ask, with a place among its calls and `tokens` of its minute; or why not now.

        `anyway` passes an open circuit, where nobody else is left; never a limit.
        """
        until = self.clock() + (timeout or _PATIENCE) + _GRACE
        try:
            with self._database.exclusive() as do:
                entered = self._enter(do, deployment, tokens, until, anyway=anyway)
        except StoreError as error:
            self._database.complain("written", str(error))
            entered = Permit(identity(deployment))
        if isinstance(entered, Permit):
            self._under_way.setdefault(entered.deployment, []).append(until)
        return entered

    def _enter(
        self, do: Callable[..., Any], deployment: Deployment, tokens: int, until: float, *, anyway: bool
    ) -> Permit | Unavailable:
        name, now = identity(deployment), self.clock()
        row = do("SELECT * FROM deployments WHERE id = ?", name).fetchone()
        half_open = row is not None and row["open_until"] > 0
        if half_open and not anyway and (closed := shut(row, now)) is not None:
            return closed
        if deployment.limited and (closed := _full(do, deployment, tokens, now)) is not None:
            return closed
        number = None
        if deployment.limited:
            do("DELETE FROM calls WHERE until < ? AND at < ?", now, now - MINUTE)
            sql = "INSERT INTO calls(deployment, at, tokens, until) VALUES (?, ?, ?, ?)"
            number = do(sql, name, now, tokens, until).lastrowid
        if half_open:
            do("UPDATE deployments SET probe_until = ? WHERE id = ?", until, name)
        return Permit(name, number, probe=half_open)

    def left(
        self,
        given: Permit,
        *,
        seconds: float = 0.0,
        first: float = 0.0,
        tokens: int = 0,
        written: int = 0,
        error: ModelError | None = None,
        sent: bool = True,
    ) -> None:
        """A call has ended: answered in `seconds` with `tokens` in all, `written` of them new; or with `error`.
        Streamed answers say when the `first` text came, in seconds from the beginning.

        Neither: it says nothing of the deployment (cancelled; not `sent` at all: a cache's answer, no budget).
        """
        try:
            with self._database.exclusive() as do:
                if given.number is not None and not sent:
                    do("DELETE FROM calls WHERE number = ?", given.number)
                elif given.number is not None:
                    sql = "UPDATE calls SET until = 0, tokens = CASE WHEN ? > 0 THEN ? ELSE tokens END WHERE number = ?"
                    do(sql, tokens, tokens, given.number)
                if error is not None and is_retryable_elsewhere(error):
                    self._failed(do, given, error)
                elif seconds > 0:
                    self._answered(do, given, {"seconds": seconds, "tokens": written}, first)
                elif given.probe:
                    do("UPDATE deployments SET probe_until = 0 WHERE id = ?", given.deployment)
        except StoreError as trouble:
            self._database.complain("written", str(trouble))
        finally:
            if under_way := self._under_way.get(given.deployment):
                under_way.pop(0)
            self._freed.set()
            self._freed = asyncio.Event()

    async def freed(self, at_most: float) -> None:
        """Wait until a call of this kernel has ended, or so many seconds: other kernels end theirs unheard."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._freed.wait()

    def _answered(self, do: Callable[..., Any], given: Permit, news: Mapping[str, float], first: float) -> None:
        row = self._row(do, given.deployment)
        fade, streams = self._fade(row), row["streamed"] + (first > 0)
        do(
            "UPDATE deployments SET failures = 0, opened = 0, open_until = 0, probe_until = 0, limited = 0, why = '', "
            "asked = ?, answered = ?, seconds = ?, tokens = ?, first = ?, streamed = ?, at = ? WHERE id = ?",
            *(row["asked"] * fade + 1, row["answered"] * fade + 1),
            *(_recent(row[name] * fade, row["answered"] * fade, new) for name, new in news.items()),
            *(_recent(row["first"], row["streamed"], first) if first > 0 else row["first"], streams),
            *(self.clock(), given.deployment),
        )

    def _failed(self, do: Callable[..., Any], given: Permit, error: ModelError) -> None:
        row, now = self._row(do, given.deployment), self.clock()
        cool = cooling(error, row, probe=given.probe)
        opened, until = row["opened"], row["open_until"]
        if cool is not None:
            opened, until = opened + 1, max(until, now + cool)
        limited = isinstance(error, RateLimited)
        fade = self._fade(row)
        do(
            "UPDATE deployments SET failures = ?, opened = ?, open_until = ?, probe_until = 0, limited = ?, why = ?, "
            "asked = ?, answered = ?, seconds = ?, tokens = ?, at = ? WHERE id = ?",
            *(row["failures"] + (not limited), opened, until, limited, str(error)[:200]),
            # being sent away is no outage: it does not count against the uptime
            *(row["asked"] * fade + (not limited), row["answered"] * fade, row["seconds"] * fade),
            *(row["tokens"] * fade, now, given.deployment),
        )

    def _row(self, do: Callable[..., Any], name: str) -> Mapping[str, Any]:
        do("INSERT OR IGNORE INTO deployments(id, at) VALUES (?, ?)", name, self.clock())
        row: Mapping[str, Any] = do("SELECT * FROM deployments WHERE id = ?", name).fetchone()
        return row

    def _fade(self, row: Mapping[str, Any]) -> float:
        return float(0.5 ** (max(0.0, self.clock() - row["at"]) / _HALF))


def _recent(whole: float, answers: float, new: float) -> float:
    """The sum with one answer more, as if each had been the mean of the last few."""
    share = max(1 / (answers + 1), 1 / _LAST)
    mean = whole / answers if answers else 0.0
    return (mean + (new - mean) * share) * (answers + 1)


def _full(do: Callable[..., Any], deployment: Deployment, tokens: int, now: float) -> Unavailable | None:
    sql = "SELECT at, tokens, until FROM calls WHERE deployment = ? AND (at > ? OR until > ?) ORDER BY at"
    return full(do(sql, identity(deployment), now - MINUTE, now).fetchall(), deployment, tokens, now)
