"""The mutable form of a span, used while events are folded into it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from orchmagic.trace import events
from orchmagic.trace.reasons import Reason
from orchmagic.trace.record import Span


@dataclass(slots=True)
class SpanBuilder:
    """The fields of a Span; `paid` are the costs of its attempts in US dollars, None for an unknown price.

    `unheard`: the most that its attempts without an answer can have cost, None for an unknown price.
    """

    id: str
    parent: str | None
    kind: str
    name: str
    start: float
    status: str = "running"
    end: float | None = None
    model: str = ""
    provider: str = ""
    usage: events.Usage = field(default_factory=events.Usage)
    paid: list[float | None] = field(default_factory=list)
    unheard: list[float | None] = field(default_factory=list)
    charged: bool = False
    age: float | None = None
    saved: float | None = None
    recalled: bool = False
    asked: Any = None
    input: Any = None
    output: Any = None
    error: str | None = None
    error_kind: str = ""
    verified: bool | None = None
    doubt: str = ""
    why: list[Reason] = field(default_factory=list)

    def close(self, at: float, status: str) -> None:
        self.end, self.status = at, status

    def reopen(self) -> None:
        """Set it running again, after a pause or for another try."""
        self.end, self.status, self.error, self.error_kind = None, "running", None, ""

    def fail(self, at: float, error: str, kind: str) -> None:
        """Close it with an error; `kind` "cancelled" closes it as cancelled."""
        self.error, self.error_kind = error, kind
        self.close(at, "cancelled" if kind == "cancelled" else "failed")

    def spend(self, usage: events.Usage, cost: float | None) -> None:
        self.usage += usage
        self.paid.append(cost)

    def span(self) -> Span:
        known = [c for c in self.paid if c is not None]
        same = {name: getattr(self, name) for name in _SAME}
        cost = math.fsum(known) if known or not self.paid else None
        return Span(
            **same,
            cost=cost,
            unpriced=len(self.paid) - len(known),
            perhaps=len(self.unheard),
            perhaps_cost=math.fsum(filter(None, self.unheard)),
            why=tuple(self.why),
        )


_SAME = frozenset(f.name for f in fields(SpanBuilder)) & {f.name for f in fields(Span)} - {"why"}


def unpacked(value: Any) -> Any:
    """Return the value inside `{"step", "value"}`, the output of an inner graph; other values unchanged."""
    if isinstance(value, list):
        return [unpacked(v) for v in value]
    packed = isinstance(value, Mapping) and value.keys() == {"step", "value"}
    return value["value"] if packed else value
