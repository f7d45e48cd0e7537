"""What an audit log says of a run: events as plain data, without a word of a prompt, an answer or a person."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from orchmagic.trace import events
from orchmagic.trace.otel_spans import error_type
from orchmagic.trace.questions import DECISIONS
from orchmagic.trace.record import Record, Span

_VOTE = "vote agreement"  # the basis of a choice that is itself an answer
_FALSE = re.compile(r".*? is false(?= \(|;|$)", re.DOTALL)  # a gate's expression, without the values it read
_UNSURE = re.compile(r"not sure enough|no known label|no arm")
_OURS = re.compile(r"score .*|a probe\b.*|\S+ left alone for \d+ s(?= after)")  # clauses of a choice that quote nobody


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
        "why": record.reason if record.status == "capped" else error_type(record.error) if record.error else None,
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


def _decided(event: events.Decided) -> dict[str, Any]:
    sure = {} if event.confidence is None else {"confidence": event.confidence, "basis": event.basis}
    if event.basis == _VOTE:  # what was chosen is an answer
        return {"event": "decided", "step": event.span, "choice": None, "why": event.reason, **sure}
    return {"event": "decided", "step": event.span, "choice": event.choice, "why": _reason(event.reason), **sure}


def _reason(text: str) -> str:
    """Why a run went where it went, without the values that were looked at."""
    found = _FALSE.match(text) or _UNSURE.match(text)
    return found[0] if found else text.partition("; ")[0]


def _asked(event: events.Asked) -> dict[str, Any]:
    """A person is asked: whether a tool may run, or something else."""
    value = event.value
    tool = isinstance(value, Mapping) and event.question == f"Run {value.get('tool')}?"
    told = {"tool": value["tool"]} if tool else {}
    return {"event": "asked", "step": event.span, "choices": event.choices, **told}


def _answered(event: events.Answered) -> dict[str, Any]:
    said = event.reply.get("action") if isinstance(event.reply, Mapping) else None
    return {"event": "answered", "step": event.span, "answer": said if said in DECISIONS else "a text"}


def _guarded(event: events.Guarded) -> dict[str, Any]:
    found = {"rule": event.rule, "action": event.action, "where": event.where, "found": event.what}
    return {"event": "guarded", "step": event.call, **found}


def _chosen(event: events.Chosen) -> dict[str, Any]:
    first, *rest = event.reason.split("; ")
    why = "; ".join([first, *(found[0] for r in rest if (found := _OURS.match(r)))])
    return {"event": "chosen", "step": event.call, "alias": event.alias, "model": event.deployment, "why": why}


def _fell_back(event: events.FellBack) -> dict[str, Any]:
    return {"event": "fell back", "step": event.call, "from": event.source, "model": event.target, "why": event.kind}


def _failed(event: events.AttemptFailed) -> dict[str, Any]:
    wait = None if event.wait is None else round(event.wait, 3)
    why = error_type(event.error)
    return {"event": "attempt failed", "step": event.call, "model": event.model, "why": why, "again_after": wait}


def _hit(event: events.CacheHit) -> dict[str, Any]:
    how = "semantic" if event.score is not None else "shared" if event.shared else "exact"
    more = {} if event.score is None else {"score": round(event.score, 4), "hit": event.hit}
    told = {"how": how, "age": round(event.age, 1), "saved": event.cost, **more}
    return {"event": "cache hit", "step": event.call, **told}


_LINES: Mapping[type[events.Event], Callable[[Any], dict[str, Any]]] = {
    events.RunStarted: lambda x: {"event": "begun", "inputs": sorted(x.inputs)},
    events.Decided: _decided,
    events.NodeSkipped: lambda x: {"event": "skipped", "step": x.span, "why": x.reason},
    events.Asked: _asked,
    events.Answered: _answered,
    events.Guarded: _guarded,
    events.Chosen: _chosen,
    events.FellBack: _fell_back,
    events.AttemptFailed: _failed,
    events.CacheHit: _hit,
    events.Audited: lambda x: {"event": "hit checked", "step": x.call, "score": round(x.score, 4), "agreed": x.agreed},
    events.Recalled: lambda x: {"event": "recalled", "step": x.call, "why": "paid before" if x.paid else "a replay"},
    events.ToolStarted: lambda x: {"event": "tool begun", "step": x.call, "tool": x.tool},
    events.ToolFinished: lambda x: {"event": "tool ended", "step": x.call, "failed": x.error is not None},
}
