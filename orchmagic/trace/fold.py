"""Derive a Record from the flat list of events: spans, totals and the path taken through the graph.

Each event type has its own handler. Spans still open when the run ends are closed with the run's status. An event
without its start event opens its span and the span's parents, so that an incomplete list of events can be read.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from orchmagic.trace import events, reasons, span_id
from orchmagic.trace.decisions import DECISIONS
from orchmagic.trace.doubts import judge
from orchmagic.trace.reasons import Reason
from orchmagic.trace.record import ENDS, Picture, Record, Span
from orchmagic.trace.span_builder import SpanBuilder, unpacked

_Node: TypeAlias = (
    events.NodeStarted
    | events.NodeSkipped
    | events.NodeFinished
    | events.NodeFailed
    | events.InputRequested
    | events.InputReceived
)
_Call: TypeAlias = (
    events.CallFinished
    | events.CallFailed
    | events.CacheHit
    | events.CacheHitChecked
    | events.JournalHit
    | events.BatchSent
    | events.FellBack
    | events.ReplyRepaired
    | events.GuardTriggered
)
_Attempt: TypeAlias = events.AttemptFinished | events.AttemptFailed


class _Fold:
    """The state while the events of one run are folded into spans."""

    def __init__(self, picture: Picture) -> None:
        self.kinds = dict(picture.nodes)
        ends = [(name, what) for name, what in picture.nodes if what in ENDS]
        words = {ENDS[what]: name for name, what in ends if ENDS[what] not in self.kinds}
        self.ends = {**words, **{name: name for name, _ in ends}}  # exit node, by its name or by its word
        self.drafts: dict[str, SpanBuilder] = {}
        self.inputs: Mapping[str, Any] = {}
        self.finished: events.RunFinished | None = None
        self.path: list[str] = []
        self.paid: list[float | None] = []  # cost of each attempt and of each answer from the run's own journal
        self._calls: dict[str, SpanBuilder] = {}  # the last model call of each step
        self._attempts: Counter[str] = Counter()  # number of attempts of each call
        self._chosen: dict[tuple[str, str], Reason] = {}  # reason, by (call, deployment)
        self.within: dict[str, list[SpanBuilder]] = defaultdict(list)

    def add(self, event: events.Event) -> None:  # noqa: C901 - a line for each kind of event
        if isinstance(event, _Node):
            self._node(event)
        elif isinstance(event, _Call):
            self._call(event)
        elif isinstance(event, _Attempt):
            self._attempt_ended(event)
        match event:
            case events.RunStarted():
                self.inputs, self.finished = event.inputs, None
            case events.RunFinished():
                self.finished = event
            case events.CallStarted():
                self._call_started(event)
            case events.DeploymentChosen():
                self._chosen[event.call, event.deployment] = event.reason
            case events.AttemptStarted():
                self._attempt_started(event)
            case events.ToolStarted():
                self._tool_started(event)
            case events.ToolFinished():
                self._tool_finished(event)
            case events.Decided():
                self._decided(event)

    def _node(self, event: _Node) -> None:
        draft = self._step(event.span, event.at)
        match event:
            case events.NodeStarted():
                self.finished = None  # a resumed run goes on
                if draft.status != "waiting":  # a step that still waits keeps its question
                    draft.reopen()
                draft.kind, draft.input = event.kind, event.input
            case events.NodeSkipped():
                draft.why.append(event.reason)
                draft.close(event.at, "skipped")
            case events.NodeFinished():
                self._ended(draft, event)
            case events.NodeFailed():
                draft.fail(event.at, event.error, event.error_kind)
            case events.InputRequested():
                draft.status = "waiting"
                draft.asked = {"question": event.question, "choices": list(event.choices), "value": event.value}
            case events.InputReceived():
                self.finished = None
                draft.reopen()
                draft.why.append(_answered(event.reply))

    def _ended(self, draft: SpanBuilder, event: events.NodeFinished) -> None:
        inner = "sub" in {draft.kind, self.drafts[draft.parent].kind if draft.parent else ""}
        draft.output = unpacked(event.output) if inner else event.output
        if rounds := _scores(draft.output):
            draft.why.append(reasons.scores(*rounds))
        if event.verifies:
            self._judged(draft, event.verifies).verified = bool(event.output)
        if draft.status not in {"failed", "rejected"}:  # without ending the run: it stays so
            draft.close(event.at, "done")

    def _judged(self, check: SpanBuilder, name: str) -> SpanBuilder:
        """Return the latest span of the step `name` beside a check; the check itself if there is none."""
        beside = (d for d in reversed(self.drafts.values()) if d.parent == check.parent and d.name == name)
        return next(beside, check)

    def _call(self, event: _Call) -> None:  # noqa: C901 - as in `add`
        draft = self._inside(event.call, event.at, "ask")
        match event:
            case events.BatchSent(batch=batch, requests=requests, sent=sent):
                draft.why.append(Reason("batch", cause="waiting", source=batch, among=requests, where=sent))
            case events.CallFinished():
                draft.why[:] = [replace(w, cause="answered") if w.kind == "batch" else w for w in draft.why]
                draft.model, draft.provider, draft.output = event.model, event.provider, event.text
                draft.close(event.at, "done")
                if not any(w.kind == "fell_back" for w in draft.why):
                    draft.why += self._winner(draft)
            case events.CallFailed():
                draft.fail(event.at, event.error, event.error_kind)
            case events.CacheHit():
                draft.age, draft.saved = event.age, event.cost
                if event.shared:
                    draft.why.append(Reason("shared"))
                elif event.score is not None:
                    draft.why.append(Reason("semantic_hit", text=event.matched, score=event.score, hit=event.hit))
            case events.JournalHit():
                self._journal_hit(draft, event)
            case events.FellBack(source=source, target=target, error=error, error_kind=kind):
                draft.why.append(Reason("fell_back", text=error, source=source, target=target, error_kind=kind))
            case events.ReplyRepaired():
                draft.why.append(Reason("repaired", text=event.what))
            # a call blocked by a guard has no end event: it is closed with the run
            case events.GuardTriggered(rule=rule, action=action, what=finding, where=where):
                draft.why.append(Reason("guard", rule=rule, action=action, finding=finding, where=where))
            case events.CacheHitChecked(matched=matched, score=score, agreed=agreed):
                draft.why.append(Reason("hit_checked", text=matched, score=score, agreed=agreed))

    def _winner(self, ask: SpanBuilder) -> Iterator[Reason]:
        """Yield the reason why the answering deployment was chosen, if its alias has several."""
        for attempt in self.within[ask.id]:
            if attempt.status == "done" and attempt.why:
                yield replace(attempt.why[0], deployment=attempt.model)

    def _journal_hit(self, draft: SpanBuilder, event: events.JournalHit) -> None:
        draft.recalled = True
        draft.why.append(Reason("journal", paid=event.paid))
        if not event.paid:
            draft.saved = event.cost
            return
        self.paid.append(event.cost)
        for spent in (draft, *self._above(draft)):
            spent.spend(event.usage, event.cost)

    def _call_started(self, event: events.CallStarted) -> None:
        self._step(event.span, event.at)
        before = self._calls.get(event.span)
        draft = self.drafts.get(event.call)
        if draft is None:
            draft = self._open(event.call, event.span, "ask", f"ask {event.model}", event.at)
        draft.reopen()
        draft.model, draft.input = event.model, list(event.messages)
        self._calls[event.span] = draft
        # the same messages and more: the previous reply was invalid, so the model is called again
        if before and before is not draft and before.status == "done" and len(draft.input) > len(before.input or ()):
            before.status = "retried"
            draft.why.append(Reason("called_again", text=reasons.short(str(draft.input[-1].get("content")))))

    def _tool_started(self, event: events.ToolStarted) -> None:
        self._step(event.span, event.at)
        draft = self.drafts.get(event.call) or self._open(event.call, event.span, "tool", event.tool, event.at)
        if draft.status != "waiting":  # as in `_node`
            draft.reopen()
        draft.kind, draft.name, draft.input = "tool", event.tool, event.arguments

    def _tool_finished(self, event: events.ToolFinished) -> None:
        draft = self._inside(event.call, event.at, "tool")
        draft.output = event.result
        if event.error:
            draft.fail(event.at, event.error, event.error_kind)
        else:
            draft.error = event.error
            draft.close(event.at, "done")

    def _attempt_ended(self, event: _Attempt) -> None:
        under_way = (d for d in reversed(self.within[event.call]) if d.kind == "attempt" and d.end is None)
        # if two attempts race, the model's name tells which one is meant
        draft = next((d for d in under_way if d.model == event.model), None) or self._attempt_started(event)
        self.paid.append(event.cost)
        for spent in (draft, *self._above(draft)):
            spent.spend(event.usage, event.cost)
            if isinstance(event, events.AttemptFailed) and event.perhaps:
                spent.unheard.append(event.perhaps_cost)
        if isinstance(event, events.AttemptFinished):
            draft.charged = self._inside(event.call, event.at, "ask").charged = event.charged
            draft.close(event.at, "done")
            return
        draft.fail(event.at, event.error, event.error_kind)
        if event.wait is not None:
            draft.close(event.at, "retried")
            failed = Reason(
                "attempt_failed",
                text=event.error,
                attempt=event.attempt,
                error_kind=event.error_kind,
                wait=event.wait,
            )
            self._inside(event.call, event.at, "ask").why.append(failed)

    def _attempt_started(self, event: events.AttemptStarted | _Attempt) -> SpanBuilder:
        self._inside(event.call, event.at, "ask")
        self._attempts[event.call] += 1
        name = f"{event.call}/{self._attempts[event.call]}"  # `attempt` restarts at 1 after a fallback
        draft = self._open(name, event.call, "attempt", f"attempt {event.attempt}", event.at)
        draft.model, draft.provider = event.model, event.provider
        if (why := self._chosen.pop((event.call, event.model), None)) is not None:
            draft.why.append(why)
        return draft

    def _decided(self, event: events.Decided) -> None:
        draft = self._step(event.span, event.at)
        end = self.ends.get(event.choice, "")
        if end and draft.parent is None and draft.kind != "sub":  # exits of an inner graph are not on this path
            self.path.append(end)
        word = ENDS.get(event.choice.strip("_"), event.choice) if event.choice[:2] == "__" else event.choice
        draft.why.append(replace(event.reason, choice=word, confidence=event.confidence, basis=event.basis))
        if event.reason.cause == "rejected":
            draft.close(event.at, "rejected")

    def _step(self, span: str, at: float) -> SpanBuilder:
        """Return the span of a step, item or vote; open it, and its parents, if it does not exist."""
        found = self.drafts.get(span)
        if found is not None:
            return found
        parent = span_id.parent(span)
        if parent is None:
            self.path.append(span_id.name(span))
            return self._open(span, None, self.kinds.get(span_id.name(span), "call"), span_id.name(span), at)
        self._step(parent, at)
        # the approval of a tool call comes before the call's start event
        what = span_id.kind(span) or ("call" if span.startswith(f"{parent}/") else "tool")
        return self._open(span, parent, what, span_id.name(span), at)

    def _inside(self, call: str, at: float, kind: str) -> SpanBuilder:
        """Return the span of a model or tool call; open it if its start event is missing."""
        return self.drafts.get(call) or self._open(
            call, self._step(span_id.parent(call) or call, at).id, kind, kind, at
        )

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
        """The number of items of each top-level step, at its last visit."""
        steps = {d.id: d.name for d in self.drafts.values() if d.parent is None}
        return {steps[id_]: sum(d.kind == "item" for d in inner) for id_, inner in self.within.items() if id_ in steps}

    def end(self, finished: events.RunFinished) -> None:
        """Close open spans with their parent's status, else the run's; parents of a waiting span wait, too."""
        broken = any(d.status == "failed" for d in self.drafts.values() if d.parent is None)
        left = "failed" if finished.status == "failed" and not broken else "cancelled"
        waits = {d.id for d in self.drafts.values() if d.status == "waiting" and finished.status == "waiting"}
        waits |= {up.id for id_ in tuple(waits) for up in self._above(self.drafts[id_])}
        rejected = {up.id for d in self.drafts.values() if d.status == "rejected" for up in self._above(d)}
        for draft in self.drafts.values():  # parents come before their children
            if draft.end is None and draft.id in rejected:
                draft.close(finished.at, "rejected")
            if draft.end is None:
                parent = self.drafts[draft.parent] if draft.parent else None
                ended = parent is not None and parent.status != "waiting"
                at = parent.end if parent and parent.end is not None else finished.at
                status = parent.status if parent and ended else left
                draft.close(at, "waiting" if draft.id in waits else status)


def derive(happened: Sequence[events.Event], blank: Record) -> Record:
    """Return `blank` (name, limits, graph and the like) completed with all that the events say."""
    fold = _Fold(blank.picture)
    for event in happened:
        fold.add(event)
    ended = fold.finished or events.RunFinished(status="running", at=blank.seconds)
    if fold.finished:
        fold.end(ended)
    verified, doubt = judge(list(fold.drafts.values()))
    doubt = doubt if ended.status == "done" else ""
    spans = tuple(d.span() for d in fold.drafts.values())
    if ended.status == "failed":
        spans += tuple(_not_reached(name, kind, ended.at) for name, kind in _unreached(blank.picture, fold.path))
    asks = [s for s in spans if s.kind == "ask"]
    steps = [s for s in spans if s.parent is None]
    lost = _failed_parts(fold.drafts.values()) if ended.status == "done" else None
    return replace(
        blank,
        status=ended.status,
        seconds=ended.at,
        usage=sum((s.usage for s in steps), events.Usage()),
        cost=math.fsum(s.cost for s in steps if s.cost is not None),
        unpriced=sum(cost is None for cost in fold.paid),
        calls=sum(s.age is None and s.status in {"done", "retried"} and not _is_replayed(s) for s in asks),
        cached=sum(s.age is not None for s in asks),
        recalled=sum(_is_replayed(s) for s in asks),
        perhaps=sum(s.perhaps for s in steps),
        perhaps_cost=math.fsum(s.perhaps_cost for s in steps),
        inputs=fold.inputs,
        output=ended.output,
        error=ended.error,
        error_kind=ended.error_kind,
        reason=ended.reason or lost,
        picture=_walked(blank.picture, fold, steps, doubt, done=ended.status == "done"),
        spans=spans,
        verified=verified,
        doubt=doubt,
    )


def _not_reached(name: str, kind: str, at: float) -> Span:
    return Span(f"{name}#1", None, kind, name, "skipped", at, at, why=(Reason("not_reached"),))


def _is_replayed(ask: Span) -> bool:
    """Whether the answer came from the replayed run's journal, so that this run paid nothing."""
    return ask.recalled and ask.saved is not None


def _answered(reply: Any) -> Reason:
    """Return the reason for a person's reply: a decision with its explanation; a free text is not quoted."""
    if not (isinstance(reply, Mapping) and reply.get("action") in DECISIONS):
        return Reason("person")
    return Reason("person", choice=reply["action"], text=str(reply.get("why") or ""))


def _scores(output: Any) -> tuple[list[float], int] | None:
    """Return the scores of an output that is a list of rounds, oldest first, and the number of the best round.

    The best round is the one that %%refine returns: it met the condition if one did, then the score counts, of equal
    ones the latest.
    """
    if not (isinstance(output, list) and output):
        return None
    rounds = [r for r in output if isinstance(r, Mapping) and "round" in r and _is_number(r.get("score"))]
    if len(rounds) < len(output):
        return None
    order = [(bool(r.get("met")), r["score"]) for r in rounds]
    return [r["score"] for r in rounds], max(range(len(order)), key=lambda i: (order[i], i)) + 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _failed_parts(drafts: Iterable[SpanBuilder]) -> str | None:
    """Name the failed parts of a run that continued: `2 of 40 rows failed in map; personal failed`."""
    steps: dict[str, list[SpanBuilder]] = {}
    lost: list[str] = []
    for draft in drafts:
        if draft.kind == "item" and draft.parent:
            steps.setdefault(draft.parent, []).append(draft)
        elif draft.status == "failed" and draft.parent is None:
            lost.append(f"{draft.name} failed")
    some = []
    for parent, items in steps.items():
        failed = sum(i.status == "failed" for i in items)
        if failed:
            some.append(f"{failed:,} of {len(items):,} rows failed in {span_id.name(parent)}")
    return "; ".join(dict.fromkeys((*some, *lost))) or None


def _walked(picture: Picture, fold: _Fold, steps: Sequence[Span], doubt: str, *, done: bool) -> Picture:
    """Return the picture with the arrows taken, the number of items of each step, and the steps in trouble."""
    items = fold.items
    repeats = tuple((node, what, count or items.get(node, 0)) for node, what, count in picture.repeats)
    last = {s.name: "failed" if s.status == "failed" else s.doubt for s in steps}
    troubles = tuple((name, trouble) for name, trouble in last.items() if trouble)
    taken = _taken(picture, fold.path, done=done)
    return replace(picture, repeats=repeats, taken=taken, troubles=troubles, doubt=doubt)


def _taken(picture: Picture, path: Sequence[str], *, done: bool) -> tuple[tuple[str, str], ...]:
    """Return the arrows taken: into each visited node, from its most recently visited predecessor.

    A join is entered from all its sources; the first nodes are entered from the start node, if there is one.
    """
    arrows = {(source, target) for source, target, _ in picture.arrows}
    into: dict[str, list[str]] = {}
    for source, target, _ in picture.arrows:
        into.setdefault(target, []).append(source)
    kinds = dict(picture.nodes)
    found: dict[tuple[str, str], None] = {}
    seen: dict[str, int] = {n: -1 for n, kind in picture.nodes if kind == "start"}  # index of each node's last visit
    for i, node in enumerate(path):
        found.update(dict.fromkeys(_arrows_into(node, into.get(node, ()), seen, picture.joins)))
        seen[node] = i
    if done and path and kinds.get(path[-1]) not in ENDS:
        found.update(dict.fromkeys((s, t) for s, t in arrows if s == path[-1] and kinds.get(t) == "end"))
    return tuple(found)


def _unreached(picture: Picture, path: Sequence[str]) -> list[tuple[str, str]]:
    """Return the nodes (name, kind) reachable from the last visited node that were never visited."""
    kinds = dict(picture.nodes)
    reached = set([n for n in path if kinds.get(n) not in ENDS][-1:])
    while more := {t for s, t, _ in picture.arrows if s in reached} - reached:
        reached |= more
    return [(name, kind) for name, kind in picture.nodes if name in reached - set(path) and kind not in ENDS]


def _arrows_into(
    node: str, before: Sequence[str], seen: Mapping[str, int], joins: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    since = seen.get(node, -2)
    joined = [(s, t) for s, t in joins if t == node and seen.get(s, -3) > since]
    if joined:
        return joined
    visited = [s for s in before if s in seen]
    return [(max(visited, key=lambda s: seen[s]), node)] if visited else []
