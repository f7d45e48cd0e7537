"""From the flat list of events to a Record: spans, totals and the path that was taken.

Each event is folded in by its type. What is still open when the run has ended takes the status of that end, and an
event whose beginning is missing opens its span, and what that is inside: a trace can be read wherever it breaks off.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from orchmagic.trace import events, narration
from orchmagic.trace.path import ENDS, later, walked
from orchmagic.trace.record import Picture, Record, Span
from orchmagic.trace.span_builder import SpanBuilder, above, failure, kind, name, unpacked

if TYPE_CHECKING:
    from orchmagic.trace.record import Trace

_Node: TypeAlias = (
    events.NodeStarted | events.NodeSkipped | events.NodeFinished | events.NodeFailed | events.Asked | events.Answered
)
_Call: TypeAlias = (
    events.CallStarted
    | events.CallFinished
    | events.CallFailed
    | events.CacheHit
    | events.Recalled
    | events.FellBack
    | events.Repaired
)
_Attempt: TypeAlias = events.AttemptStarted | events.AttemptFinished | events.AttemptFailed


class _Fold:
    """One reading of a trace."""

    def __init__(self, picture: Picture) -> None:
        self.kinds = dict(picture.nodes)
        ends = [(name, what) for name, what in picture.nodes if what in ENDS]
        words = {ENDS[what]: name for name, what in ends if ENDS[what] not in self.kinds}
        self.ends = {**words, **{name: name for name, _ in ends}}  # a way out by its name or by its word
        self.drafts: dict[str, SpanBuilder] = {}
        self.inputs: Mapping[str, Any] = {}
        self.finished: events.RunFinished | None = None
        self.path: list[str] = []
        self.paid: list[float | None] = []  # of each attempt, and of each answer from the run's own record
        self._asks: dict[str, SpanBuilder] = {}  # the last question of each step
        self._tries: Counter[str] = Counter()  # attempts of each question
        self._chosen: dict[tuple[str, str], str] = {}  # why a deployment is asked next: by question and deployment
        self.within: dict[str, list[SpanBuilder]] = defaultdict(list)
        self._told: set[str] = set()  # questions whose fallback is told already

    def add(self, event: events.Event) -> None:
        match event:
            case events.RunStarted():
                self.inputs, self.finished = event.inputs, None
            case events.RunFinished():
                self.finished = event
            case (
                events.NodeStarted()
                | events.NodeSkipped()
                | events.NodeFinished()
                | events.NodeFailed()
                | events.Asked()
                | events.Answered()
            ):
                self._node(event)
            case events.CallStarted():
                self._asked(event)
            case (
                events.CallFinished()
                | events.CallFailed()
                | events.CacheHit()
                | events.Recalled()
                | events.FellBack()
                | events.Repaired()
            ):
                self._call(event)
            case events.Chosen() | events.AttemptStarted() | events.AttemptFinished() | events.AttemptFailed():
                self._attempt(event)
            case events.ToolStarted() | events.ToolFinished():
                self._tool(event)
            case (
                events.Guarded() | events.Audited()
            ):  # what is blocked before it is asked stays open, and ends as its run does
                self._inside(event.call, event.at, "ask").why.append(narration.noted(event))
            case events.Decided():
                self._decided(event)

    def _node(self, event: _Node) -> None:
        draft = self._step(event.span, event.at)
        match event:
            case events.NodeStarted():
                self.finished = None  # a resumed run goes on
                if draft.status != "waiting":  # what still waits is visited anew, and asks no second time
                    draft.again()
                draft.kind, draft.input = event.kind, event.input
            case events.NodeSkipped():
                draft.why.append(event.reason)
                draft.close(event.at, "skipped")
            case events.NodeFinished():
                self._ended(draft, event)
            case events.NodeFailed():
                draft.error = event.error
                draft.close(event.at, "failed")
            case events.Asked():
                draft.status = "waiting"
                draft.asked = {"question": event.question, "choices": list(event.choices), "value": event.value}
            case events.Answered():
                self.finished = None
                draft.again()
                draft.why.append(narration.answered(event.reply))

    def _ended(self, draft: SpanBuilder, event: events.NodeFinished) -> None:
        inner = "sub" in {draft.kind, self.drafts[draft.parent].kind if draft.parent else ""}
        draft.output = unpacked(event.output) if inner else event.output
        draft.why += narration.describe_output(draft.output)
        if draft.status != "failed":  # an isolated failure ends with None, and stays what it is
            draft.close(event.at, "done")

    def _call(self, event: _Call) -> None:
        draft = self._inside(event.call, event.at, "ask")
        match event:
            case events.CallFinished():
                draft.model, draft.provider, draft.output = event.model, event.provider, event.text
                draft.close(event.at, "done")
                known = draft.recalled or draft.id in self._told
                if event.reason not in {"first choice", "cached"} and not known:
                    draft.why.append(event.reason)
            case events.CallFailed():
                draft.error = event.error
                draft.close(event.at, failure(event.error))
            case events.CacheHit():
                draft.age, draft.saved = event.age, event.cost
            case events.Recalled():
                self._recalled(draft, event)
            case events.FellBack():
                self._told.add(draft.id)
                draft.why.append(f"fell back from {event.source} to {event.target}: {event.reason}")
            case events.Repaired():
                draft.why.append(f"mended locally: {event.what}")

    def _recalled(self, draft: SpanBuilder, event: events.Recalled) -> None:
        draft.recalled = True
        draft.why.append(narration.recalled(paid=event.paid))
        if not event.paid:
            draft.saved = event.cost
            return
        self.paid.append(event.cost)
        for spent in (draft, *self._above(draft)):
            spent.spend(event.usage, event.cost)

    def _asked(self, event: events.CallStarted) -> None:
        self._step(event.span, event.at)
        before = self._asks.get(event.span)
        draft = self.drafts.get(event.call)
        if draft is None:
            draft = self._open(event.call, event.span, "ask", f"ask {event.model}", event.at)
        draft.again()
        draft.model, draft.input = event.model, list(event.messages)
        self._asks[event.span] = draft
        # the same conversation, longer: the reply before did not fit and is asked again
        if before and before is not draft and before.status == "done" and len(draft.input) > len(before.input or ()):
            before.status = "retried"
            draft.why.append(f"asked again: {narration.short(str(draft.input[-1].get('content')))}")

    def _tool(self, event: events.ToolStarted | events.ToolFinished) -> None:
        if isinstance(event, events.ToolFinished):
            draft = self._inside(event.call, event.at, "tool")
            draft.output, draft.error = event.result, event.error
            draft.close(event.at, "failed" if event.error else "done")
            return
        self._step(event.span, event.at)
        draft = self.drafts.get(event.call) or self._open(event.call, event.span, "tool", event.tool, event.at)
        if draft.status != "waiting":  # as in `_node`
            draft.again()
        draft.kind, draft.name, draft.input = "tool", event.tool, event.arguments

    def _attempt(self, event: events.Chosen | _Attempt) -> None:
        match event:
            case events.Chosen():
                self._chosen[event.call, event.deployment] = event.reason
            case events.AttemptStarted():
                self._try(event)
            case _:
                self._tried(event)

    def _tried(self, event: events.AttemptFinished | events.AttemptFailed) -> None:
        under_way = (d for d in reversed(self.within[event.call]) if d.kind == "attempt" and d.end is None)
        # of two that race the one is meant that has the name
        draft = next((d for d in under_way if d.model == event.model), None) or self._try(event)
        self.paid.append(event.cost)
        for spent in (draft, *self._above(draft)):
            spent.spend(event.usage, event.cost)
        if isinstance(event, events.AttemptFinished):
            draft.charged = self._inside(event.call, event.at, "ask").charged = event.charged
            draft.close(event.at, "done")
            return
        draft.error = event.error
        draft.close(event.at, "retried" if event.wait is not None else failure(event.error))
        if event.wait is not None:
            story = f"attempt {event.attempt} failed ({event.error}); tried again after {event.wait:.1f} s"
            self._inside(event.call, event.at, "ask").why.append(story)

    def _try(self, event: _Attempt) -> SpanBuilder:
        self._inside(event.call, event.at, "ask")
        self._tries[event.call] += 1
        name = f"{event.call}/{self._tries[event.call]}"  # a fallback counts its attempts from 1 again
        draft = self._open(name, event.call, "attempt", f"attempt {event.attempt}", event.at)
        draft.model, draft.provider = event.model, event.provider
        if (why := self._chosen.pop((event.call, event.model), None)) is not None:
            draft.why.append(why)
        return draft

    def _decided(self, event: events.Decided) -> None:
        draft = self._step(event.span, event.at)
        end = self.ends.get(event.choice, "")
        if end and draft.parent is None and draft.kind != "sub":  # what an inner graph reached is its own affair
            self.path.append(end)
        word = ENDS.get(event.choice.strip("_"), event.choice) if event.choice[:2] == "__" else event.choice
        draft.why.append(narration.chose(word, event.reason, event.confidence, event.basis))

    def _step(self, span: str, at: float) -> SpanBuilder:
        """The step, item or vote, opened here if this is the first that is heard of it."""
        found = self.drafts.get(span)
        if found is not None:
            return found
        parent = above(span)
        if parent is None:
            self.path.append(name(span))
            return self._open(span, None, self.kinds.get(name(span), "call"), name(span), at)
        self._step(parent, at)
        # a question about a tool call comes before the call
        what = kind(span) or ("call" if span.startswith(f"{parent}/") else "tool")
        return self._open(span, parent, what, name(span), at)

    def _inside(self, call: str, at: float, kind: str) -> SpanBuilder:
        """The question or tool call, opened here if its beginning is missing."""
        return self.drafts.get(call) or self._open(call, self._step(above(call) or call, at).id, kind, kind, at)

    def _open(self, id_: str, parent: str | None, kind: str, label: str, at: float) -> SpanBuilder:
        draft = self.drafts[id_] = SpanBuilder(id_, parent, kind, label, at)
        if parent is not None:
            self.within[parent].append(draft)
        return draft

    def _above(self, draft: SpanBuilder) -> Iterator[SpanBuilder]:
        while draft.parent is not None:
            draft = self.drafts[draft.parent]
            yield draft

    @property
    def items(self) -> dict[str, int]:
        """How many items each top-level step had, the last time."""
        steps = {d.id: d.name for d in self.drafts.values() if d.parent is None}
        return {steps[id_]: sum(d.kind == "item" for d in inner) for id_, inner in self.within.items() if id_ in steps}

    def end(self, finished: events.RunFinished) -> None:
        """Close what is open: with its parent, else with the run; what a waiting part is inside waits, too."""
        broken = any(d.status == "failed" for d in self.drafts.values() if d.parent is None)
        left = "failed" if finished.status == "failed" and not broken else "cancelled"
        waits = {d.id for d in self.drafts.values() if d.status == "waiting" and finished.status == "waiting"}
        waits |= {up.id for id_ in tuple(waits) for up in self._above(self.drafts[id_])}
        for draft in self.drafts.values():  # parents stand before what is in them
            if draft.end is None:
                parent = self.drafts[draft.parent] if draft.parent else None
                ended = parent is not None and parent.status != "waiting"
                at = parent.end if parent and parent.end is not None else finished.at
                status = parent.status if parent and ended else left
                draft.close(at, "waiting" if draft.id in waits else status)


def derive(trace: Trace) -> Record:
    """The run as it stands."""
    fold = _Fold(trace.picture)
    for event in tuple(trace.events):
        fold.add(event)
    ended = fold.finished
    if ended:
        fold.end(ended)
    spans = tuple(d.span() for d in fold.drafts.values())
    if ended and ended.status == "failed":
        spans += tuple(_missed(name, kind, ended.at) for name, kind in later(trace.picture, fold.path))
    asks = [s for s in spans if s.kind == "ask"]
    steps = [s for s in spans if s.parent is None]
    lost = narration.broken(fold.drafts.values()) if ended and ended.status == "done" else None
    return Record(
        run=trace.run,
        name=trace.name,
        pattern=trace.pattern,
        status=ended.status if ended else "running",
        started=trace.started,
        seconds=ended.at if ended else trace.now,
        usage=sum((s.usage for s in steps), events.Usage()),
        cost=math.fsum(s.cost for s in steps if s.cost is not None),
        unpriced=sum(cost is None for cost in fold.paid),
        calls=sum(s.age is None and s.status in {"done", "retried"} and not _free(s) for s in asks),
        cached=sum(s.age is not None for s in asks),
        recalled=sum(_free(s) for s in asks),
        inputs=fold.inputs,
        output=ended.output if ended else None,
        error=ended.error if ended else None,
        reason=(ended.reason or lost) if ended else None,
        limits=trace.limits,
        picture=walked(trace.picture, fold.path, fold.items, done=bool(ended and ended.status == "done")),
        spans=spans,
        strongest=trace.strongest,
        usual=trace.usual,
    )


def _missed(name: str, kind: str, at: float) -> Span:
    return Span(f"{name}#1", None, kind, name, "skipped", at, at, why=("the run had failed",))


def _free(ask: Span) -> bool:
    """From the record of the run that is replayed: this one paid nothing."""
    return ask.recalled and ask.saved is not None
