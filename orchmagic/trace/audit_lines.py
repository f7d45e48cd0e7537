"""What an audit log says of a run: events as plain data, without a word of a prompt, an answer or a person."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from orchmagic.trace import events
from orchmagic.trace.decisions import DECISIONS
from orchmagic.trace.reasons import AGREEMENT, because, words
from orchmagic.trace.record import Record, Span


def line(event: events.Event) -> dict[str, Any] | None:
    """A line of the log; None for what is no decision."""
    found = _LINES.get(type(event))
    return None if found is None else found(event)


def end(record: Record) -> dict[str, Any]:
    """How a run ended, or that it waits. `cost` in US dollars, null when an answer's price is unknown."""
    known = {} if not record.unpriced else {"known_cost": record.cost, "unpriced": record.unpriced}
    return {
        "event": "ended",
        "status": record.status,
        # a limit is told in our own words; other reasons may quote
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


def _models(record: Record) -> dict[str, dict[str, Any]]:
    """What each model took: of its attempts, and of answers that an earlier life of the run paid."""
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
    choice = None if event.basis == AGREEMENT else event.choice  # what most voted for is an answer
    why = because(event.reason, quoted=False) or event.choice
    return {"event": "decided", "step": event.span, "choice": choice, "why": why, **sure}


def _asked(event: events.InputRequested) -> dict[str, Any]:
    """A person is asked: whether a tool may run, or something else."""
    tool = {"tool": event.tool} if event.tool else {}
    return {"event": "asked", "step": event.span, "choices": event.choices, **tool}


def _answered(event: events.InputReceived) -> dict[str, Any]:
    action = event.reply.get("action") if isinstance(event.reply, Mapping) else None
    return {"event": "answered", "step": event.span, "answer": action if action in DECISIONS else "a text"}


def _guarded(event: events.GuardTriggered) -> dict[str, Any]:
    found = {"rule": event.rule, "action": event.action, "where": event.where, "found": event.what}
    return {"event": "guarded", "step": event.call, **found}


def _chosen(event: events.DeploymentChosen) -> dict[str, Any]:
    why = words(event.reason, quoted=False)
    return {"event": "chosen", "step": event.call, "alias": event.alias, "model": event.deployment, "why": why}


def _fell_back(event: events.FellBack) -> dict[str, Any]:
    models = {"from": event.source, "model": event.target}
    return {"event": "fell back", "step": event.call, **models, "why": event.error_kind}


def _failed(event: events.AttemptFailed) -> dict[str, Any]:
    wait = None if event.wait is None else round(event.wait, 3)
    failed = {"event": "attempt failed", "step": event.call, "model": event.model}
    return {**failed, "why": _kind(event), "again_after": wait}


def _hit(event: events.CacheHit) -> dict[str, Any]:
    how = "semantic" if event.score is not None else "shared" if event.shared else "exact"
    more = {} if event.score is None else {"score": round(event.score, 4), "hit": event.hit}
    told = {"how": how, "age": round(event.age, 1), "saved": event.cost, **more}
    return {"event": "cache hit", "step": event.call, **told}


_LINES: Mapping[type[events.Event], Callable[[Any], dict[str, Any]]] = {
    events.RunStarted: lambda x: {"event": "begun", "inputs": sorted(x.inputs)},
    events.Decided: _decided,
    events.NodeSkipped: lambda x: {"event": "skipped", "step": x.span, "why": words(x.reason, quoted=False)},
    events.InputRequested: _asked,
    events.InputReceived: _answered,
    events.GuardTriggered: _guarded,
    events.DeploymentChosen: _chosen,
    events.FellBack: _fell_back,
    events.AttemptFailed: _failed,
    events.CacheHit: _hit,
    events.CacheHitChecked: lambda x: {
        "event": "hit checked",
        "step": x.call,
        "score": round(x.score, 4),
        "agreed": x.agreed,
    },
    events.JournalHit: lambda x: {"event": "recalled", "step": x.call, "why": "paid before" if x.paid else "a replay"},
    events.ToolStarted: lambda x: {"event": "tool begun", "step": x.call, "tool": x.tool},
    events.ToolFinished: lambda x: {"event": "tool ended", "step": x.call, "failed": x.error is not None},
}
