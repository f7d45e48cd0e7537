"""Decides when and how long a deployment is skipped (circuit open, rate limit). Pure functions of rows and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from orchmagic.errors import (
    BatchLapsed,
    CallTimeout,
    ConnectionLost,
    EmptyReply,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from orchmagic.models.types import Deployment
from orchmagic.trace.reasons import Reason

MINUTE = 60.0  # seconds
_IN_A_ROW = 3  # failures that open a circuit
_COOL = {"short": 30.0, "long": 300.0, "quota": 600.0}  # seconds
_LONGEST = 600.0  # seconds: doubling stops here
_DOWN = (ServerFailed, CallTimeout, ConnectionLost, EmptyReply)
_ITS_OWN = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a deployment cannot be called now, and when (seconds since the epoch) to try again.

    `kind`: "circuit" (circuit open after failures), "asked" (it answered with a rate limit), "limit" (the requests or
    tokens of this minute are used up), "busy" (its limit of concurrent calls is reached).
    """

    kind: Literal["circuit", "asked", "limit", "busy"]
    reason: Reason
    until: float


def is_retryable_elsewhere(error: ModelError) -> bool:
    """Whether another deployment of the same model may answer after this error (failover)."""
    its_own = isinstance(error, RequestRejected) and error.status in _ITS_OWN  # its key, or its name for the model
    expired = isinstance(error, BatchLapsed) and error.falls_back
    return its_own or expired or isinstance(error, (*_DOWN, RateLimited, QuotaExhausted))


def is_outage(error: ModelError) -> bool:
    """Whether the deployment itself is down or its account is empty: the next calls will fail too."""
    return isinstance(error, (*_DOWN, QuotaExhausted))


def without_future(row: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The row of a deployment in terms of the clock of now: a clock that was set back must not prolong a wait."""
    ahead = max(0.0, row["at"] - now)
    return {**row, **{name: row[name] - ahead for name in ("at", "open_until", "probe_until")}}


def open_circuit(row: Mapping[str, Any], now: float) -> Unavailable | None:
    """The reason to skip a deployment if its circuit is open, or half-open with a probe under way; else None."""
    kind: Literal["circuit", "asked"] = "asked" if row["limited"] else "circuit"
    if row["open_until"] > now:
        return Unavailable(kind, skip_reason(row, now), row["open_until"])
    if row["probe_until"] > now:
        return Unavailable(kind, Reason("unavailable", cause="probe"), min(row["probe_until"], now + 1))
    return None


def skip_reason(row: Mapping[str, Any], now: float) -> Reason:
    """Why a circuit is open, and for how many more seconds."""
    cause = "rate_limit" if row["limited"] else "circuit"
    return Reason("unavailable", cause=cause, wait=row["open_until"] - now, text=row["why"])


def limit_reached(
    calls: Sequence[Mapping[str, Any]], deployment: Deployment, tokens: int, now: float
) -> Unavailable | None:
    """The rate limit that is reached, or None. `calls`: those of the last minute and those under way, oldest first."""
    under_way = sum(row["until"] > now for row in calls)
    if deployment.concurrency is not None and under_way >= deployment.concurrency:
        return Unavailable("busy", Reason("unavailable", cause="busy", used=under_way), now)
    recent = [row for row in calls if row["at"] > now - MINUTE]
    if deployment.requests_per_minute is not None and len(recent) >= deployment.requests_per_minute:
        free = recent[len(recent) - deployment.requests_per_minute]["at"] + MINUTE
        return Unavailable("limit", Reason("unavailable", cause="requests", used=len(recent)), free)
    limit = deployment.tokens_per_minute
    used = sum(row["tokens"] for row in recent)
    if limit is None or not recent or used + tokens <= limit:
        return None  # a request above the limit is sent only if no other was in the last minute
    remaining = used
    for row in recent:
        remaining -= row["tokens"]
        if remaining + tokens <= limit:
            break
    reason = Reason("unavailable", cause="tokens", used=used, limit=limit)
    return Unavailable("limit", reason, row["at"] + MINUTE)


def cool_down(error: ModelError, row: Mapping[str, Any], *, probe: bool) -> float | None:
    """Seconds for which a deployment is skipped after `error`; None = its circuit stays closed."""
    if isinstance(error, RateLimited):
        return error.retry_after if error.retry_after is not None else min(MINUTE, 2.0 ** min(row["opened"], 6))
    if isinstance(error, QuotaExhausted):
        return _COOL["quota"]
    if isinstance(error, RequestRejected):
        return _COOL["long"]
    if probe or row["failures"] + 1 >= _IN_A_ROW:
        return float(min(_LONGEST, _COOL["short"] * 2.0 ** min(row["opened"], 10)))
    return None
