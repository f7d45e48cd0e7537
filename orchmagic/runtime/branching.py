"""Chooses the next node at a branch and records the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchmagic.errors import Capped, GateFailed, Rejected, Stopped
from orchmagic.graph.model import CAP, END, FAIL, REJECT, STOP, Approve, Arm, Branch, Call, Code
from orchmagic.runtime import nodes
from orchmagic.runtime.caller import calling
from orchmagic.runtime.context import FEEDBACK, Context, State, evaluate, scope
from orchmagic.trace.events import Decided
from orchmagic.trace.reasons import Reason, because

EXITS = {FAIL: GateFailed, STOP: Stopped, CAP: Capped, REJECT: Rejected}
"""Branch targets that end the run, each with the exception to raise."""
_WORDS = {END: "done", FAIL: "failed", STOP: "stopped", CAP: "capped", REJECT: "rejected"}


async def decide(link: Branch, state: State, ctx: Context) -> tuple[str, str]:
    """Returns (target, reason) of the first arm whose label matches and whose limit is not reached."""
    seen = scope(state, ctx)
    visits = state.get(ctx.graph.own_key("visits"), {}).get(link.source, 0)
    span = f"{ctx.path}{link.source}#{visits}"
    async with calling(ctx, f"{span}/choice#1"):
        value = await evaluate(link.on, seen, link.source, ctx)
    arm = next((a for a in link.arms if a.label == value and (a.limit is None or visits <= a.limit)), None)
    target = arm.target if arm else link.otherwise
    typed = state.get(FEEDBACK, {}).get(link.source) or ""  # by the person who rejected
    if isinstance(ctx.graph.node(link.source), Approve):
        reason = None if value else _rejection(link, arm, typed)
    else:
        failed = state.get(ctx.graph.own_key("errors"), {})
        reason = _reason(link, arm, value, {**seen, "errors": failed}, ctx)
    if reason is None:
        return target, ""
    routed = seen.get(link.source)
    confidence, choice = _part(routed, "confidence"), _WORDS.get(target, target)
    basis = _code_text(routed, "basis") or _basis(link, confidence, ctx)
    ctx.emit(Decided(span=span, choice=choice, reason=reason, confidence=confidence, basis=basis))
    return target, typed or link.why if target == REJECT else because(reason)


def _reason(link: Branch, arm: Arm | None, value: object, seen: Mapping[str, object], ctx: Context) -> Reason | None:
    """The reason for the choice; None for a gate that passed and for the end of a loop."""
    source = ctx.graph.node(link.source)
    if isinstance(source, Code) and source.gate:
        return None if value else _gate_reason(link, arm, source, seen)
    routed = seen.get(link.source)
    if arm is not None:
        if not isinstance(value, str):
            return None
        explained = _code_text(routed, "why")
        return Reason("decision", cause="explained" if explained else "label", text=explained)
    if link.otherwise in EXITS:
        errors = seen.get("errors")
        known = errors if isinstance(errors, dict) and link.otherwise == FAIL else {}
        failed = "; ".join(f"{name}: {e}" for name, e in known.items() if isinstance(e, str))
        return Reason("decision", cause="limit", detail=link.why, text=failed)
    if value is None:
        label = _part(routed, "label")
        return Reason("decision", cause="unsure" if label else "no_label", text=str(label or ""), limit=link.least or 0)
    return Reason("decision", cause="no_arm", text=repr(value))


def _rejection(link: Branch, arm: Arm | None, typed: str) -> Reason:
    """The reason after a rejection: it ends the run, or a limit does, or the run goes on at another step."""
    if arm is None and link.otherwise == CAP:
        return Reason("decision", cause="limit", detail=link.why, text=typed)
    ends = arm is None and link.otherwise == REJECT
    return Reason("decision", cause="rejected" if ends else "sent_back", text=typed)


def _gate_reason(link: Branch, arm: Arm | None, source: Code, seen: Mapping[str, object]) -> Reason:
    if arm is None and link.otherwise in {STOP, CAP}:
        return Reason("decision", cause="limit", detail=link.why)
    return Reason("decision", cause="gate", expression=source.expression, text=nodes.because(source, seen))


def _part(value: object, name: str) -> Any:
    """Another value of a router's result: an attribute of a model's reply, or a key of a dict from code."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _code_text(value: object, name: str) -> str:
    """A reason in a dict from code, else ""; in a model's reply the name may have another meaning."""
    return str(value.get(name) or "") if isinstance(value, dict) else ""


def _basis(link: Branch, confidence: float | None, ctx: Context) -> str:
    if confidence is None:
        return ""
    node = ctx.graph.node(link.source)
    measured = isinstance(node, Call) and ctx.deployment(ctx.defaults.models(node)[0]).logprobs
    return "logprobs" if measured else "self-report"
