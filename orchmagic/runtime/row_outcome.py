"""Outcome: what one run on a row gave, as plain data that is stored and read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from orchmagic.runtime.run import Run
from orchmagic.trace.events import ToolStarted
from orchmagic.trace.record import Record

_ENDPOINT = frozenset(
    {
        "401", "402", "403", "404", "408", "429", "timeout", "connection", "CallTimeout", "ConnectionLost",
        "NoDeployment", "QuotaExhausted", "RateLimited", "ServerFailed", "SettingsError", "StoreError", "WriteRefused",
        "WriteUnknown",
    }
)  # fmt: skip
"""Kinds of errors that say nothing about the answer: it could not be asked for."""

_SHARED = ("notebook budget", "budget of all rows")
_PARTS = frozenset({"call", "item", "vote", "sub", "tools", "code", "gate"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run on a row gave. `values` are the steps' values (JSON), `output` the output as JSON.

    `calls` are the tool calls in order: (tool, arguments). `cost` is what an answer costs in US dollars, `paid` what
    this run paid (less, if answers came from the cache; `cached` counts these). `unpriced` counts calls without price.
    `has_answer`: False if the endpoint, the network or a budget prevented an answer; the row is then asked again.
    `verified` is that of the run.
    """

    status: str
    values: Mapping[str, Any] = field(default_factory=dict)
    output: Any = None
    error: str = ""
    error_kind: str = ""
    cost: float = 0.0
    paid: float = 0.0
    unpriced: int = 0
    tokens: int = 0
    seconds: float = 0.0
    asked: int = 0
    cached: int = 0
    verified: bool | None = None
    calls: tuple[tuple[str, Any], ...] = ()
    has_answer: bool = True

    @property
    def failed(self) -> bool:
        """Whether the run ended without an answer that can be right: it failed, was capped or rejected, or waits."""
        return self.status != "done"

    @property
    def lacks_budget(self) -> bool:
        """Whether a budget that all rows share ended the run."""
        return self.status == "capped" and self.error.startswith(_SHARED)

    @classmethod
    def of(cls, run: Run, record: Record) -> Outcome:
        """The outcome of a run that has ended."""
        asks = [s for s in record.spans if s.kind == "ask"]
        hits = [s for s in asks if s.age is not None]
        tools = [(e.tool, e.arguments) for e in run.trace.events if isinstance(e, ToolStarted)]
        names = {n.name for n in run.graph.nodes}
        return cls(
            status=run.status,
            values={n: v for n, v in run.state.items() if n in names},
            output=record.output,
            error=run.error or (run.reason or "" if run.status != "done" else ""),
            error_kind=record.error_kind,
            cost=record.cost + sum(s.saved or 0.0 for s in hits),
            paid=record.cost,
            unpriced=record.unpriced,
            tokens=record.usage.total,
            seconds=record.seconds,
            asked=len(asks) - len(hits),
            cached=len(hits),
            verified=record.verified,
            calls=tuple(tools),
            has_answer=not _is_unanswered(run, record),
        )

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON; the inverse of `from_json`."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # its values are JSON: no copy is needed

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """Rebuilds an outcome; fields that this version does not know are left out."""
        known = {f.name for f in fields(cls)}
        given = {name: value for name, value in data.items() if name in known}
        return cls(**{**given, "calls": tuple((tool, arguments) for tool, arguments in given.get("calls", ()))})


def _is_unanswered(run: Run, record: Record) -> bool:
    if run.status == "capped":
        return (run.reason or "").startswith(_SHARED)
    if run.status == "failed" and _is_of_endpoint(record.error_kind):
        return True
    # a part that may fail alone: what the run gave without it says nothing about the answer either
    return any(s.status == "failed" and s.kind in _PARTS and _is_of_endpoint(s.error_kind) for s in record.spans)


def _is_of_endpoint(kind: str) -> bool:
    return kind in _ENDPOINT or (kind.isdecimal() and len(kind) == 3 and kind.startswith("5"))  # noqa: PLR2004 - HTTP
