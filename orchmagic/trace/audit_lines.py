"""Convert events to lines of the audit log, without any text of a prompt, an answer or a person."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from orchmagic.trace import events
from orchmagic.trace.decisions import DECISIONS
from orchmagic.trace.reasons import AGREEMENT, because, words
from orchmagic.trace.record import Record, Span


def line(event: events.Event) -> dict[str, Any] | None:
    """Return the log line for an event; None if the event is not logged."""
    if type(event) not in LINES:
        return None
    word, facts = LINES[type(event)]
    step = getattr(event, "call", None) or getattr(event, "span", None)
    return {"event": word, **({"step": step} if step else {}), **facts(event)}


def end(record: Record) -> dict[str, Any]:
    """Return the line for a run that ended or waits. `cost` in US dollars, None if a price is unknown."""
    known = {} if not record.unpriced else {"known_cost": record.cost, "unpriced": record.unpriced}
    return {
        "event": "ended",
        "status": record.status,
        **verdict(record),
        # the reason for "capped" is our own text; other reasons may quote a prompt or an answer
        "why": record.reason if record.status == "capped" else _kind(record) if record.error else None,
        "seconds": round(record.seconds, 3),
        "tokens": record.usage.total,
        "cost": None if record.unpriced else record.cost,
        **known,
        "calls": record.calls,
        "cached": record.cached,
        "recalled": record.recalled,
        "models": _models(record),
    }


def verdict(what: Record | Span) -> dict[str, Any]:
    """`verified` and `doubt` of a run or span, where they are known."""
    found = {} if what.verified is None else {"verified": what.verified}
    return {**found, "doubt": what.doubt} if what.doubt else found


def _models(record: Record) -> dict[str, dict[str, Any]]:
    """Attempts, tokens and cost by model, including answers paid before the run was resumed."""
    found: dict[str, list[Span]] = {}
    for span in record.spans:
        if span.kind == "attempt" or (span.kind == "ask" and span.recalled and span.saved is None):
            found.setdefault(span.model, []).append(span)
    return {model: _sum(spans) for model, spans in found.items()}


def _sum(spans: list[Span]) -> dict[str, Any]:
    costs = [s.cost for s in spans]
    known = None if None in costs else math.fsum(c for c in costs if c is not None)
    return {"attempts": len(spans), "tokens": sum(s.usage.total for s in spans), "cost": known}


def _kind(failed: Record | events.AttemptFailed) -> str:
    return failed.error_kind or "_OTHER"


def _decided(event: events.Decided) -> dict[str, Any]:
    sure = {} if event.confidence is None else {"confidence": event.confidence, "basis": event.basis}
    choice = None if event.basis == AGREEMENT else event.choice  # the choice of a vote is a model's answer
    return {"choice": choice, "why": because(event.reason, quoted=False) or event.choice, **sure}


def _answered(event: events.InputReceived) -> dict[str, Any]:
    action = event.reply.get("action") if isinstance(event.reply, Mapping) else None
    return {"answer": action if action in DECISIONS else "a text"}


def _failed(event: events.AttemptFailed) -> dict[str, Any]:
    wait = None if event.wait is None else round(event.wait, 3)
    return {"model": event.model, "why": _kind(event), "again_after": wait}


def _hit(event: events.CacheHit) -> dict[str, Any]:
    how = "semantic" if event.score is not None else "shared" if event.shared else "exact"
    similar = {} if event.score is None else {"score": round(event.score, 4), "hit": event.hit}
    return {"how": how, "age": round(event.age, 1), "saved": event.cost, **similar}


LINES: Mapping[type[events.Event], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    events.RunStarted: ("begun", lambda x: {"inputs": sorted(x.inputs)}),
    events.Decided: ("decided", _decided),
    events.NodeSkipped: ("skipped", lambda x: {"why": words(x.reason, quoted=False)}),
    events.InputRequested: ("asked", lambda x: {"choices": x.choices, **({"tool": x.tool} if x.tool else {})}),
    events.InputReceived: ("answered", _answered),
    events.GuardTriggered: (
        "guarded",
        lambda x: {"rule": x.rule, "action": x.action, "where": x.where, "found": x.what},
    ),
    events.DeploymentChosen: (
        "chosen",
        lambda x: {"alias": x.alias, "model": x.deployment, "why": words(x.reason, quoted=False)},
    ),
    events.FellBack: ("fell back", lambda x: {"from": x.source, "model": x.target, "why": x.error_kind}),
    events.AttemptFailed: ("attempt failed", _failed),
    events.CacheHit: ("cache hit", _hit),
    events.CacheHitChecked: ("hit checked", lambda x: {"score": round(x.score, 4), "agreed": x.agreed}),
    events.JournalHit: ("recalled", lambda x: {"why": "paid before" if x.paid else "a replay"}),
    events.ToolStarted: ("tool begun", lambda x: {"tool": x.tool}),
    events.ToolFinished: ("tool ended", lambda x: {"failed": x.error is not None}),
}
"""Logged events: event type -> (its name in the log, its fields other than the step)."""
