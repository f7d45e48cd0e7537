"""From the flat list of events to a Record: spans, totals and the path that was taken.

Each event is folded in by its type. What is still open when the run has ended takes the status of that end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from orchmagic import events as e
from orchmagic.trace import Record, Span

if TYPE_CHECKING:
    from orchmagic.trace import Trace

_LEFT_OPEN = {"cancelled": "cancelled", "failed": "failed", "waiting": "waiting", "capped": "cancelled"}


@dataclass(slots=True)
class _Draft:
    """A span while it is folded; `paid` are costs, None for an unknown price."""

    id: str
    parent: str | None
    kind: str
    name: str
    start: float
    status: str = "running"
    end: float | None = None
    model: str = ""
    provider: str = ""
    usage: e.Usage = field(default_factory=e.Usage)
    paid: list[float | None] = field(default_factory=list)
    age: float | None = None
    saved: float | None = None
    input: Any = None
    output: Any = None
    error: str | None = None
    why: list[str] = field(default_factory=list)

    def close(self, at: float, status: str) -> None:
        self.end, self.status = at, status

    def spend(self, usage: e.Usage, cost: float | None) -> None:
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
            age=self.age,
            saved=self.saved,
            input=self.input,
            output=self.output,
            error=self.error,
            why=tuple(self.why),
        )


class _Fold:
    """One reading of a trace."""

    def __init__(self) -> None:
        self.drafts: dict[str, _Draft] = {}
        self.inputs: Mapping[str, Any] = {}
        self.finished: e.RunFinished | None = None
        self.path: list[str] = []

    def add(self, event: e.Event) -> None:
        match event:
            case e.RunStarted():
                self.inputs = event.inputs
            case e.RunFinished():
                self.finished = event
            case e.NodeStarted() | e.NodeSkipped() | e.NodeFinished() | e.NodeFailed() | e.Asked() | e.Answered():
                self._node(event)
            case e.CallStarted() | e.CallFinished() | e.CallFailed() | e.CacheHit() | e.FellBack() | e.Repaired():
                self._call(event)
            case e.AttemptStarted() | e.AttemptFinished() | e.AttemptFailed():
                self._attempt(event)
            case e.ToolStarted():
                draft = self._open(event.call, event.span, "tool", event.tool, event.at)
                draft.input = event.arguments
            case e.ToolFinished():
                draft = self.drafts[event.call]
                draft.output, draft.error = event.result, event.error
                draft.close(event.at, "failed" if event.error else "done")
            case e.Decided():
                self._decided(event)

    def _node(self, event: e.Event) -> None:
        match event:
            case e.NodeStarted():
                self.finished = None  # a resumed run goes on
                self._open(event.span, None, event.kind, event.node, event.at).input = event.input
                self.path.append(event.node)
            case e.NodeSkipped():
                draft = self._open(event.span, None, "call", event.node, event.at)
                draft.why.append(event.reason)
                draft.close(event.at, "skipped")
                self.path.append(event.node)
            case e.NodeFinished():
                self.drafts[event.span].output = event.output
                self.drafts[event.span].close(event.at, "done")
            case e.NodeFailed():
                self.drafts[event.span].error = event.error
                self.drafts[event.span].close(event.at, "failed")
            case e.Asked():
                self.drafts[event.span].status = "waiting"
            case e.Answered():
                self.finished = None
                self.drafts[event.span].why.append("answered by a person")

    def _call(self, event: e.Event) -> None:
        match event:
            case e.CallStarted():
                draft = self._open(event.call, event.span, "ask", f"ask {event.model}", event.at)
                draft.model, draft.input = event.model, list(event.messages)
            case e.CallFinished():
                draft = self.drafts[event.call]
                draft.model, draft.provider, draft.output = event.model, event.provider, event.text
                draft.close(event.at, "done")
                if event.reason not in {"first choice", "cached"}:
                    draft.why.append(event.reason)
            case e.CallFailed():
                self.drafts[event.call].error = event.error
                self.drafts[event.call].close(event.at, "cancelled" if event.error == "cancelled" else "failed")
            case e.CacheHit():
                draft = self.drafts[event.call]
                draft.age, draft.saved = event.age, event.cost
            case e.FellBack():
                self._tell(event.call, f"fell back from {event.source} to {event.target}: {event.reason}")
            case e.Repaired():
                self._tell(event.call, f"mended locally: {event.what}")

    def _attempt(self, event: e.AttemptStarted | e.AttemptFinished | e.AttemptFailed) -> None:
        number = sum(d.parent == event.call for d in self.drafts.values())
        if isinstance(event, e.AttemptStarted):
            name = f"{event.call}/{number + 1}"
            draft = self._open(name, event.call, "attempt", f"attempt {event.attempt}", event.at)
            draft.model, draft.provider = event.model, event.provider
            return
        draft = self.drafts[f"{event.call}/{number}"]
        for spent in (draft, *self._above(draft)):
            spent.spend(event.usage, event.cost)
        if isinstance(event, e.AttemptFinished):
            draft.close(event.at, "done")
            return
        draft.error = event.error
        draft.close(event.at, "failed" if event.wait is None else "retried")
        if event.wait is not None:
            self._tell(
                event.call, f"attempt {event.attempt} failed ({event.error}); tried again after {event.wait:.1f} s"
            )

    def _decided(self, event: e.Decided) -> None:
        sure = "" if event.confidence is None else f" (confidence {event.confidence:.2f}, {event.basis})"
        if event.span in self.drafts:
            self.drafts[event.span].why.append(f"→ {event.choice}: {event.reason}{sure}")

    def _tell(self, call: str, words: str) -> None:
        self.drafts[call].why.append(words)

    def _open(self, name: str, parent: str | None, kind: str, label: str, at: float) -> _Draft:
        self.drafts[name] = _Draft(name, parent, kind, label, at)
        return self.drafts[name]

    def _above(self, draft: _Draft) -> list[_Draft]:
        found: list[_Draft] = []
        while draft.parent is not None:
            draft = self.drafts[draft.parent]
            found.append(draft)
        return found


def derive(trace: Trace) -> Record:
    """The run as it stands."""
    fold = _Fold()
    for event in tuple(trace.events):
        fold.add(event)
    ended = fold.finished
    now = ended.at if ended else trace.now
    if ended:
        for draft in fold.drafts.values():
            if draft.status == "running":
                draft.close(now, _LEFT_OPEN.get(ended.status, "cancelled"))
    spans = tuple(d.span() for d in fold.drafts.values())
    asks = [s for s in spans if s.kind == "ask"]
    attempts = [s for s in spans if s.kind == "attempt"]
    usage = sum((s.usage for s in attempts), e.Usage())
    return Record(
        run=trace.run,
        name=trace.name,
        pattern=trace.pattern,
        status=ended.status if ended else "running",
        started=trace.started,
        seconds=now,
        usage=usage,
        cost=math.fsum(s.cost for s in attempts if s.cost is not None),
        unpriced=sum(s.cost is None for s in attempts),
        calls=sum(s.age is None and s.status == "done" for s in asks),
        cached=sum(s.age is not None for s in asks),
        inputs=fold.inputs,
        output=ended.output if ended else None,
        error=ended.error if ended else None,
        reason=ended.reason if ended else None,
        limits=trace.limits,
        picture=_taken(trace, fold.path),
        spans=spans,
    )


def _taken(trace: Trace, path: list[str]) -> Any:
    return replace(trace.picture, taken=tuple(dict.fromkeys(pairwise(path))))
