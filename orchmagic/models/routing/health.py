"""The health of each deployment: circuit state, rate limits and statistics; decides whether it may be called now.

The state is in an SQLite file that all kernels of a machine share.

    closed ──3 failures in a row, a 429, an empty account──▶ open ──cool-down over──▶ half open: one probe
       ▲                                                      ▲                            │
       └──────────────── the probe is answered ───────────────┼────────────────────────────┘
                                                              └─ it fails: open again, twice as long

Statistics decay with a half-life of five minutes. A failure of the file never stops a call.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.errors import ModelError, RateLimited, StoreError
from orchmagic.models.pricing import prices
from orchmagic.models.routing.circuit_breaker import (
    MINUTE,
    Unavailable,
    cool_down,
    is_retryable_elsewhere,
    limit_reached,
    open_circuit,
    skip_reason,
    without_future,
)
from orchmagic.models.routing.ranking import Stats
from orchmagic.models.types import Deployment
from orchmagic.storage.database import Database
from orchmagic.storage.schema import DatabaseSchema

if TYPE_CHECKING:
    from orchmagic.models.shared_rates import SharedRates

SCHEMA = DatabaseSchema(
    """
CREATE TABLE deployments(id TEXT PRIMARY KEY, failures INTEGER DEFAULT 0, opened INTEGER DEFAULT 0,
    open_until REAL DEFAULT 0, probe_until REAL DEFAULT 0, limited INTEGER DEFAULT 0, why TEXT DEFAULT '',
    asked REAL DEFAULT 0, answered REAL DEFAULT 0, seconds REAL DEFAULT 0, tokens REAL DEFAULT 0, at REAL DEFAULT 0,
    first REAL DEFAULT 0, streamed REAL DEFAULT 0);
CREATE TABLE calls(number INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT, at REAL, tokens INTEGER, until REAL);
CREATE INDEX calls_of ON calls(deployment, at);
""",
)
_LOCKED = 0.25  # seconds to wait for another kernel, in the event loop
_HALF = 300.0  # seconds: half-life of the statistics
_LAST = 10  # answers over which speed is averaged, so that a slow period is forgotten soon
_GRACE = 30.0  # seconds after its timeout until a call that never ended (killed kernel) is dropped
_PATIENCE = 600.0  # seconds: as above, for a call without a timeout


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission for one call of the deployment `alias` (see `identity`); `release` ends it."""

    alias: str
    identity: str
    number: int | None = None
    probe: bool = False
    shared: str = ""  # its id where the calls of all machines are counted


def identity(deployment: Deployment) -> str:
    """A hash of endpoint, model, key name and way (its Batch API); the same for all aliases of a deployment."""
    whole = [deployment.provider, (deployment.base_url or "").rstrip("/"), deployment.model, deployment.key_env]
    whole += ["batch"] if deployment.batch else []
    return hashlib.sha256(json.dumps(whole).encode("ascii")).hexdigest()[:20]


def opened(folder: Path | None, rates: SharedRates | None = None) -> Health:
    """Open the state in `folder`, shared by all kernels; None = in memory, for this kernel only.

    `rates` counts the calls of several machines together.
    """
    path = None if folder is None else folder / "deployments.sqlite"
    return Health(Database(path, SCHEMA, "record of deployments"), rates=rates)


class Health:
    """The shared state of all deployments. `clock` in seconds since the epoch."""

    def __init__(
        self, database: Database, clock: Callable[[], float] = time.time, rates: SharedRates | None = None
    ) -> None:
        self._database = database
        self._rates = rates
        self.clock = clock
        self._released = asyncio.Event()
        self._under_way: dict[str, list[float]] = {}  # times at which this kernel's calls are dropped

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._rates is not None:
            self._rates.close()
        self._database.close()

    def stats(self, members: Collection[Deployment]) -> dict[str, Stats]:
        """The statistics of each member, by alias."""
        ids = {m.alias: identity(m) for m in members}
        marks = ", ".join("?" * len(ids))
        rows = self._database.read(f"SELECT * FROM deployments WHERE id IN ({marks})", *ids.values())  # noqa: S608 - only marks
        by_id = {row["id"]: without_future(row, self.clock()) for row in rows}
        return {m.alias: self._figures(by_id.get(ids[m.alias]), m) for m in members}

    def _figures(self, row: Mapping[str, Any] | None, deployment: Deployment) -> Stats:
        rates, now = prices.rates(deployment), self.clock()
        stats = Stats(
            price=None if rates is None else (rates[0] + rates[1]) / 2,
            cache=rates is not None and rates[2] < rates[0],
            measured=False,
            under_way=sum(until > now for until in self._under_way.get(identity(deployment), ())),
        )
        if row is None:
            return stats
        fade = self._fade(row)
        stats = replace(
            stats,
            circuit_open=row["open_until"] > now,
            # one success is added, so that uptime returns to 1 as old failures decay
            uptime=(row["answered"] * fade + 1) / (row["asked"] * fade + 1),
            first=row["first"] / row["streamed"] if row["streamed"] > 0 else None,
        )
        if row["answered"] <= 0 or row["seconds"] <= 0:
            return stats
        throughput, latency = row["tokens"] / row["seconds"], row["seconds"] / row["answered"]
        return replace(stats, throughput=throughput, latency=latency, measured=True)

    def state(self, deployment: Deployment) -> str:
        """The state for display: "ok", "not called yet", or why it is skipped and for how long."""
        rows = self._database.read("SELECT * FROM deployments WHERE id = ?", identity(deployment))
        if not rows:
            return "not called yet"
        now = self.clock()
        row = without_future(rows[0], now)
        return str(skip_reason(row, now)) if row["open_until"] > now else "ok"

    async def admit(
        self, deployment: Deployment, tokens: int, most: float | None = None, *, anyway: bool = False
    ) -> Permit | Unavailable:
        """Like `acquire`; a call of a limited deployment is also counted for all machines, if they share a server.

        `most`: the call's timeout.
        """
        if self._rates is None or not deployment.limited:
            return self.acquire(deployment, tokens, most, anyway=anyway)
        name, lasts = identity(deployment), (most or _PATIENCE) + _GRACE
        entered = await self._rates.enter(name, deployment, tokens, lasts, self.clock())
        if isinstance(entered, Unavailable):
            return entered
        permit = self.acquire(deployment, tokens, most, anyway=anyway)
        if entered is not None and isinstance(permit, Permit):
            return replace(permit, shared=entered)
        if entered is not None:
            self._rates.leave(name, entered, sent=False)
        return permit

    def acquire(
        self, deployment: Deployment, tokens: int, timeout: float | None = None, *, anyway: bool = False
    ) -> Permit | Unavailable:
        """Get a permit, which counts as a call and reserves `tokens` of the minute; or the reason why not now.

        `anyway` ignores an open circuit, for the last deployment left; it never ignores a rate limit.
        """
        until = self.clock() + (timeout or _PATIENCE) + _GRACE
        try:
            with self._database.exclusive(patience=_LOCKED) as do:
                permit = self._acquire(do, deployment, tokens, until, anyway=anyway)
        except StoreError as error:
            self._database.complain("written", str(error))
            permit = Permit(deployment.alias, identity(deployment))
        if isinstance(permit, Permit):
            self._under_way.setdefault(permit.identity, []).append(until)
        return permit

    def _acquire(
        self, do: Callable[..., Any], deployment: Deployment, tokens: int, until: float, *, anyway: bool
    ) -> Permit | Unavailable:
        name, now = identity(deployment), self.clock()
        found = do("SELECT * FROM deployments WHERE id = ?", name).fetchone()
        row = {} if found is None else self._of_now(do, found)
        half_open = found is not None and found["open_until"] > 0
        if half_open and not anyway and (closed := open_circuit(row, now)) is not None:
            return closed
        if deployment.limited and (closed := _limit_reached(do, deployment, tokens, now)) is not None:
            return closed
        number = None
        if deployment.limited:
            # those of the future were made before the clock was set back
            do("DELETE FROM calls WHERE (until < ? AND at < ?) OR at > ?", now, now - MINUTE, now)
            sql = "INSERT INTO calls(deployment, at, tokens, until) VALUES (?, ?, ?, ?)"
            number = do(sql, name, now, tokens, until).lastrowid
        if half_open:
            do("UPDATE deployments SET probe_until = ? WHERE id = ?", until, name)
        return Permit(deployment.alias, name, number, probe=half_open)

    def release(
        self,
        permit: Permit,
        *,
        seconds: float = 0.0,
        first: float = 0.0,
        tokens: int = 0,
        written: int = 0,
        error: ModelError | None = None,
        sent: bool = True,
    ) -> None:
        """Record the end of a call: an answer after `seconds` with `tokens`, `written` of them output; or an `error`.
        `first`: seconds to the first text of a streamed answer.

        With neither, the statistics do not change (cancelled, or not `sent`: a stored answer, no budget).
        """
        try:
            with self._database.exclusive(patience=_LOCKED) as do:
                if permit.number is not None and not sent:
                    do("DELETE FROM calls WHERE number = ?", permit.number)
                elif permit.number is not None:
                    sql = "UPDATE calls SET until = 0, tokens = CASE WHEN ? > 0 THEN ? ELSE tokens END WHERE number = ?"
                    do(sql, tokens, tokens, permit.number)
                if error is not None and is_retryable_elsewhere(error):
                    self._failed(do, permit, error)
                elif seconds > 0:
                    self._answered(do, permit, {"seconds": seconds, "tokens": written}, first)
                elif permit.probe:
                    do("UPDATE deployments SET probe_until = 0 WHERE id = ?", permit.identity)
        except StoreError as trouble:
            self._database.complain("written", str(trouble))
        finally:
            if self._rates is not None and permit.shared:
                self._rates.leave(permit.identity, permit.shared, tokens=tokens, sent=sent)
            if under_way := self._under_way.get(permit.identity):
                under_way.pop(0)
            self._released.set()
            self._released = asyncio.Event()

    def failed(self, deployment: Deployment, error: ModelError) -> bool:
        """Record a failed attempt without a permit of its own; returns whether the circuit is open now."""
        permit = Permit(deployment.alias, identity(deployment))
        try:
            with self._database.exclusive() as do:
                self._failed(do, permit, error)
                return bool(self._row(do, permit.identity)["open_until"] > self.clock())
        except StoreError as trouble:
            self._database.complain("written", str(trouble))
            return False

    async def wait_for_release(self, at_most: float) -> None:
        """Wait until a call of this kernel ends, at most `at_most` seconds: other kernels send no signal."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._released.wait()

    def _answered(self, do: Callable[..., Any], permit: Permit, news: Mapping[str, float], first: float) -> None:
        row = self._row(do, permit.identity)
        fade, streams = self._fade(row), row["streamed"] + (first > 0)
        do(
            "UPDATE deployments SET failures = 0, opened = 0, open_until = 0, probe_until = 0, limited = 0, why = '', "
            "asked = ?, answered = ?, seconds = ?, tokens = ?, first = ?, streamed = ?, at = ? WHERE id = ?",
            *(row["asked"] * fade + 1, row["answered"] * fade + 1),
            *(_recent(row[name] * fade, row["answered"] * fade, new) for name, new in news.items()),
            *(_recent(row["first"], row["streamed"], first) if first > 0 else row["first"], streams),
            *(self.clock(), permit.identity),
        )

    def _failed(self, do: Callable[..., Any], permit: Permit, error: ModelError) -> None:
        row, now = self._row(do, permit.identity), self.clock()
        cool = cool_down(error, row, probe=permit.probe)
        opened, until = row["opened"], row["open_until"]
        if cool is not None:
            opened, until = opened + 1, max(until, now + cool)
        limited = isinstance(error, RateLimited)
        fade = self._fade(row)
        do(
            "UPDATE deployments SET failures = ?, opened = ?, open_until = ?, probe_until = 0, limited = ?, why = ?, "
            "asked = ?, answered = ?, seconds = ?, tokens = ?, at = ? WHERE id = ?",
            *(row["failures"] + (not limited), opened, until, limited, str(error)[:200]),
            # a rate limit is not an outage: it does not lower the uptime
            *(row["asked"] * fade + (not limited), row["answered"] * fade, row["seconds"] * fade),
            *(row["tokens"] * fade, now, permit.identity),
        )

    def _row(self, do: Callable[..., Any], name: str) -> Mapping[str, Any]:
        do("INSERT OR IGNORE INTO deployments(id, at) VALUES (?, ?)", name, self.clock())
        return self._of_now(do, do("SELECT * FROM deployments WHERE id = ?", name).fetchone())

    def _of_now(self, do: Callable[..., Any], row: Mapping[str, Any]) -> dict[str, Any]:
        """The row in terms of the clock of now, kept so: from here on its waits pass."""
        found = without_future(row, self.clock())
        if found["at"] < row["at"]:
            sql = "UPDATE deployments SET at = ?, open_until = ?, probe_until = ? WHERE id = ?"
            do(sql, found["at"], found["open_until"], found["probe_until"], found["id"])
        return found

    def _fade(self, row: Mapping[str, Any]) -> float:
        return float(0.5 ** (max(0.0, self.clock() - row["at"]) / _HALF))


def _recent(whole: float, answers: float, new: float) -> float:
    """Add an answer to a sum, weighted so that the mean is that of the last `_LAST` answers."""
    share = max(1 / (answers + 1), 1 / _LAST)
    mean = whole / answers if answers else 0.0
    return (mean + (new - mean) * share) * (answers + 1)


def _limit_reached(do: Callable[..., Any], deployment: Deployment, tokens: int, now: float) -> Unavailable | None:
    sql = "SELECT at, tokens, until FROM calls WHERE deployment = ? AND at <= ? AND (at > ? OR until > ?) ORDER BY at"
    return limit_reached(do(sql, identity(deployment), now, now - MINUTE, now).fetchall(), deployment, tokens, now)
