"""Runs a graph inside a graph: binds its inputs, applies its limits, and translates how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from orchmagic.errors import BudgetExceeded, Capped, InputError, Rejected, Stopped
from orchmagic.graph.model import CAP, REJECT, STOP, Sub
from orchmagic.language.usage import Use
from orchmagic.models import images
from orchmagic.runtime.context import Context, evaluate, result, taken
from orchmagic.runtime.json_state import is_one_shot
from orchmagic.runtime.used_parts import used_part
from orchmagic.trace.events import Decided, NodeFinished, NodeStarted
from orchmagic.trace.reasons import Reason

Inner: TypeAlias = Callable[[dict[str, Any], Context], Awaitable[Any]]
"""Runs the inner graph with its inputs and the context of the inner run."""


async def run_inner(node: Sub, ctx: Context, inner: Inner, span: str, seen: Mapping[str, object]) -> Any:
    """Runs the inner graph; returns `{"step": node that gave the output, "value": its JSON}`.

    Raises:
        Rejected: a person rejected a value in it. What it has so far is not a value to go on with.
        Stopped: its cell stopped it; likewise.
    """
    inputs = await _inputs(node, ctx.kinds.inner[node.name].uses, seen, ctx)
    if node.each is None:
        ctx.emit(NodeStarted(span=span, node=node.name, kind="sub", input=images.describe_images(inputs)))
    below = ctx.child(node, f"{span}/", counts=node.each is None)
    thread = node.graph.safety.thread if node.graph.safety else None
    if thread is not None:
        ctx.inner_turns[span] = (thread, [])  # in the order in which the items begin
    try:
        limit = await _limit_reached(inputs, below, inner)
    except Rejected as rejected:
        ctx.emit(Decided(span=span, choice=REJECT, reason=Reason("decision", cause="rejected", text=str(rejected))))
        raise
    except Stopped as stopped:
        stopped.inside = True
        ctx.emit(Decided(span=span, choice=STOP, reason=Reason("decision", cause="limit", detail=str(stopped))))
        ctx.emit(NodeFinished(span=span, output=None))
        raise
    if limit:
        ctx.emit(Decided(span=span, choice=CAP, reason=Reason("decision", cause="limit", detail=limit)))
    if thread is not None and not limit:
        ctx.inner_turns[span] = (thread, below.turn())
    step, value = result(node.graph, below.values)
    return {"step": step, "value": value}


async def _limit_reached(inputs: dict[str, Any], below: Context, inner: Inner) -> str | None:
    """Runs the inner graph; returns which of its own limits ended it. Limits of the outer run are raised."""
    seconds = below.graph.limits.deadline
    try:
        async with asyncio.timeout(seconds) as clock:
            await inner(inputs, below)
    except TimeoutError:
        if not clock.expired():
            raise
        return f"deadline: {seconds:g} s were not enough"
    except Capped as limit:
        if limit.whose is not None and limit.whose is not below:
            raise
        return str(limit)
    except BudgetExceeded as limit:
        if limit.budget is not below.budget:
            raise
        return str(limit)
    return None


def wrapped(before: Any, value: Any) -> Any:
    """Replaces an inner output (or a list of them) by a person's value; keeps the step that gave it."""
    if not isinstance(before, list):
        return {**before, "value": value}
    steps = [b["step"] for b in before if b]
    own = [b["step"] if b else steps[0] for b in before]
    return [v if v is None else {"step": step, "value": v} for v, step in zip(value, own, strict=True)]


async def _inputs(node: Sub, used: Mapping[str, Use], seen: Mapping[str, object], ctx: Context) -> dict[str, Any]:
    """The inputs of the inner graph as JSON; of each only what that graph uses."""
    given = dict(node.given)
    inputs: dict[str, Any] = {}
    for name in node.graph.inputs:
        if name not in given and name not in seen:
            raise InputError(f"step {node.name!r} needs {name!r}: write {node.graph.name}({name}=…)")
        value = await evaluate(given[name], seen, node.name, ctx) if name in given else seen[name]
        if is_one_shot(value):  # made by the expression
            value = await taken(value, name)
        inputs[name] = used_part(value, name, used[name])
    return inputs
