"""From the flat list of events to a Record: spans, totals and the path that was taken.

Each event is folded in by its type. What is still open when the run has ended takes the status of that end, and an
event whose beginning is missing opens its span: a trace can be read wherever it breaks off.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from orchmagic import events as e
from orchmagic.trace import Picture, Record, Span

if TYPE_CHECKING:
    from orchmagic.trace import Trace

ENDS = {"end": "done", "fail": "failed", "stop": "stopped", "cap": "capped"}
"""Kinds of the picture's nodes that stand for a way out, and the word for each."""

_SAID = 200  # characters of a complaint that a re-ask repeats


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

    def __init__(self, picture: Picture) -> None:
        self.kinds = dict(picture.nodes)
        self.drafts: dict[str, _Draft] = {}
        self.inputs: Mapping[str, Any] = {}
        self.finished: e.RunFinished | None = None
        self.path: list[str] = []
        self._asks: dict[str, _Draft] = {}  # the last question of each step
        self._tries: Counter[str] = Counter()  # attempts of each question
        self._told: set[str] = set()  # questions whose fallback is told already

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
                self._step(event.span, event.at)
                self._open(event.call, event.span, "tool", event.tool, event.at).input = event.arguments
            case e.ToolFinished():
                draft = self._inside(event.call, event.at, "tool")
                draft.output, draft.error = event.result, event.error
                draft.close(event.at, "failed" if event.error else "done")
            case e.Decided():
                self._decided(event)

    def _node(
        self, event: e.NodeStarted | e.NodeSkipped | e.NodeFinished | e.NodeFailed | e.Asked | e.Answered
    ) -> None:
        draft = self._step(event.span, event.at)
        match event:
            case e.NodeStarted():
                self.finished = None  # a resumed run goes on
                draft.kind, draft.input = event.kind, event.input
            case e.NodeSkipped():
                draft.why.append(event.reason)
                draft.close(event.at, "skipped")
            case e.NodeFinished():
                draft.output = event.output
                draft.close(event.at, "done")
            case e.NodeFailed():
                draft.error = event.error
                draft.close(event.at, "failed")
            case e.Asked():
                draft.status = "waiting"
            case e.Answered():
                self.finished, draft.status = None, "running"
                draft.why.append("answered by a person")

    def _call(
        self, event: e.CallStarted | e.CallFinished | e.CallFailed | e.CacheHit | e.FellBack | e.Repaired
    ) -> None:
        if isinstance(event, e.CallStarted):
            self._asked(event)
            return
        draft = self._inside(event.call, event.at, "ask")
        match event:
            case e.CallFinished():
                draft.model, draft.provider, draft.output = event.model, event.provider, event.text
                draft.close(event.at, "done")
                if event.reason not in {"first choice", "cached"} and draft.id not in self._told:
                    draft.why.append(event.reason)
            case e.CallFailed():
                draft.error = event.error
                draft.close(event.at, _failure(event.error))
            case e.CacheHit():
                draft.age, draft.saved = event.age, event.cost
            case e.FellBack():
                self._told.add(draft.id)
                draft.why.append(f"fell back from {event.source} to {event.target}: {event.reason}")
            case e.Repaired():
                draft.why.append(f"mended locally: {event.what}")

    def _asked(self, event: e.CallStarted) -> None:
        self._step(event.span, event.at)
        before = self._asks.get(event.span)
        draft = self._open(event.call, event.span, "ask", f"ask {event.model}", event.at)
        draft.model, draft.input = event.model, list(event.messages)
        self._asks[event.span] = draft
        # the same conversation, longer: the reply before did not fit and is asked again
        if before and before.status == "done" and len(draft.input) > len(before.input or ()):
            before.status = "retried"
            complaint = str(draft.input[-1].get("content"))
            short = complaint if len(complaint) <= _SAID else complaint[: _SAID - 1] + "…"
            draft.why.append(f"asked again: {short}")

    def _attempt(self, event: e.AttemptStarted | e.AttemptFinished | e.AttemptFailed) -> None:
        if isinstance(event, e.AttemptStarted):
            self._try(event)
            return
        draft = self.drafts.get(f"{event.call}/{self._tries[event.call]}") or self._try(event)
        failed = isinstance(event, e.AttemptFailed)
        # what spent no token cost nothing, whatever the price
        cost = 0.0 if failed and not event.usage.total else event.cost
        for spent in (draft, *self._above(draft)):
            spent.spend(event.usage, cost)
        if not isinstance(event, e.AttemptFailed):
            draft.close(event.at, "done")
            return
        draft.error = event.error
        draft.close(event.at, "retried" if event.wait is not None else _failure(event.error))
        if event.wait is not None:
            story = f"attempt {event.attempt} failed ({event.error}); tried again after {event.wait:.1f} s"
            self._inside(event.call, event.at, "ask").why.append(story)

    def _try(self, event: e.AttemptStarted | e.AttemptFinished | e.AttemptFailed) -> _Draft:
        self._inside(event.call, event.at, "ask")
        self._tries[event.call] += 1
        name = f"{event.call}/{self._tries[event.call]}"  # a fallback counts its attempts from 1 again
        draft = self._open(name, event.call, "attempt", f"attempt {event.attempt}", event.at)
        draft.model, draft.provider = event.model, event.provider
        return draft

    def _decided(self, event: e.Decided) -> None:
        draft = self._step(event.span, event.at)
        kind = self.kinds.get(event.choice, "")
        if kind in ENDS:
            self.path.append(event.choice)
        sure = "" if event.confidence is None else f" (confidence {event.confidence:.2f}, {event.basis})"
        plain = event.reason in {"True", "False", event.choice}  # the value alone explains nothing
        draft.why.append(f"→ {ENDS.get(kind, event.choice)}{'' if plain else f': {event.reason}'}{sure}")

    def _step(self, span: str, at: float) -> _Draft:
        """The step, opened here if this is the first that is heard of it."""
        found = self.drafts.get(span)
        if found is None:
            name = span.partition("#")[0]
            found = self._open(span, None, self.kinds.get(name, "call"), name, at)
            self.path.append(name)
        return found

    def _inside(self, call: str, at: float, kind: str) -> _Draft:
        """The question or tool call, opened here if its beginning is missing."""
        found = self.drafts.get(call)
        if found is None:
            step = self._step(call.rpartition(".")[0] or call, at)
            found = self._open(call, step.id, kind, kind, at)
        return found

    def _open(self, name: str, parent: str | None, kind: str, label: str, at: float) -> _Draft:
        self.drafts[name] = _Draft(name, parent, kind, label, at)
        return self.drafts[name]

    def _above(self, draft: _Draft) -> Iterator[_Draft]:
        while draft.parent is not None:
            draft = self.drafts[draft.parent]
            yield draft

    def end(self, finished: e.RunFinished) -> None:
        """Close what is open: with its parent, else with the run."""
        broken = any(d.status == "failed" for d in self.drafts.values() if d.parent is None)
        left = "failed" if finished.status == "failed" and not broken else "cancelled"
        for draft in self.drafts.values():  # parents stand before what is in them
            if draft.end is None:
                above = self.drafts[draft.parent] if draft.parent else None
                at = finished.at if above is None or above.end is None else above.end
                waits = draft.status == "waiting" and finished.status == "waiting"
                draft.close(at, "waiting" if waits else left if above is None else above.status)


def derive(trace: Trace) -> Record:
    """The run as it stands."""
    fold = _Fold(trace.picture)
    for event in tuple(trace.events):
        fold.add(event)
    ended = fold.finished
    if ended:
        fold.end(ended)
    spans = tuple(d.span() for d in fold.drafts.values())
    asks = [s for s in spans if s.kind == "ask"]
    steps = [s for s in spans if s.parent is None]
    return Record(
        run=trace.run,
        name=trace.name,
        pattern=trace.pattern,
        status=ended.status if ended else "running",
        started=trace.started,
        seconds=ended.at if ended else trace.now,
        usage=sum((s.usage for s in steps), e.Usage()),
        cost=math.fsum(s.cost for s in steps if s.cost is not None),
        unpriced=sum(s.cost is None for s in spans if s.kind == "attempt"),
        calls=sum(s.age is None and s.status in {"done", "retried"} for s in asks),
        cached=sum(s.age is not None for s in asks),
        inputs=fold.inputs,
        output=ended.output if ended else None,
        error=ended.error if ended else None,
        reason=ended.reason if ended else None,
        limits=trace.limits,
        picture=replace(trace.picture, taken=_taken(trace.picture, fold.path, ended)),
        spans=spans,
    )


def _failure(error: str) -> str:
    return "cancelled" if error == "cancelled" else "failed"


def _taken(picture: Picture, path: list[str], ended: e.RunFinished | None) -> tuple[tuple[str, str], ...]:
    """The arrows that were followed: into each node from the last one visited that has an arrow to it."""
    arrows = {(source, target) for source, target, _ in picture.arrows}
    kinds = dict(picture.nodes)
    taken: dict[tuple[str, str], None] = {}
    for i, node in enumerate(path):
        before = next((n for n in reversed(path[:i]) if (n, node) in arrows), None)
        if before is not None:
            taken[before, node] = None
    if ended and ended.status == "done" and path and kinds.get(path[-1]) not in ENDS:
        taken.update({(s, t): None for s, t in arrows if s == path[-1] and kinds.get(t) == "end"})
    return tuple(taken)
