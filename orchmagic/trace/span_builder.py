"""A span while it is folded, and what its id tells: the path of everything it stands inside.

extract#2          second visit of step extract     map#1/3, map#1/v2   third item, second vote of a visit
digest#1/map#1     step map of the graph in digest  map#1/3.1           first question (or tool call) in item 3
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchmagic.trace import events
from orchmagic.trace.record import Span


@dataclass(slots=True)
class SpanBuilder:
    """`paid` are costs, None for an unknown price."""

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
    charged: bool = False
    age: float | None = None
    saved: float | None = None
    recalled: bool = False
    asked: Any = None
    input: Any = None
    output: Any = None
    error: str | None = None
    why: list[str] = field(default_factory=list)

    def close(self, at: float, status: str) -> None:
        self.end, self.status = at, status

    def again(self) -> None:
        """It goes on after a pause, or is tried once more."""
        self.end, self.status, self.error = None, "running", None

    def spend(self, usage: events.Usage, cost: float | None) -> None:
        self.usage += usage
        self.paid.append(cost)

    def span(self) -> Span:
        known = [c for c in self.paid if c is not None]
        return Span(
            id=self.id,
            parent=self.parent,
            kind=self.kind,
            name=self.name,
            status=self.status,
            start=self.start,
            end=self.end,
            model=self.model,
            provider=self.provider,
            usage=self.usage,
            cost=math.fsum(known) if known or not self.paid else None,
            unpriced=len(self.paid) - len(known),
            charged=self.charged,
            age=self.age,
            saved=self.saved,
            recalled=self.recalled,
            asked=self.asked,
            input=self.input,
            output=self.output,
            error=self.error,
            why=tuple(self.why),
        )


def failure(error: str) -> str:
    """The status of what ended with this error."""
    return "cancelled" if error == "cancelled" else "failed"


def unpacked(value: Any) -> Any:
    """The value of an inner graph without the name of its last step."""
    if isinstance(value, list):
        return [unpacked(v) for v in value]
    packed = isinstance(value, Mapping) and value.keys() == {"step", "value"}
    return value["value"] if packed else value


def above(span: str) -> str | None:
    """The id of what a span stands inside: `map#1` of `map#1/3` and of `map#1.2`; None at the top."""
    before, slash, last = span.rpartition("/")
    step, dot, number = last.rpartition(".")
    if dot and number.isdigit():
        return f"{before}{slash}{step}"
    return before or None


def name(span: str) -> str:
    """What a step, item or vote is called: `map` of `digest#1/map#2`, `3`, `vote 2`."""
    last = span.rpartition("/")[2].partition("#")[0]
    return f"vote {last[1:]}" if _is_vote(span) else last


def kind(span: str) -> str:
    """`item` or `vote` where the id tells it, else nothing."""
    if _is_vote(span):
        return "vote"
    return "item" if span.rpartition("/")[2].isdigit() and "/" in span else ""


def _is_vote(span: str) -> bool:
    last = span.rpartition("/")[2]
    return "/" in span and last[:1] == "v" and last[1:].isdigit()
