"""Runs a graph inside a graph: binds its inputs, applies its limits, and translates how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from orchmagic.errors import BudgetExceeded, Capped, InputError, Stopped
from orchmagic.graph.model import CAP, STOP, Sub
from orchmagic.models import images
from orchmagic.runtime.context import Context, evaluate, result
from orchmagic.runtime.json_state import as_json
from orchmagic.trace.events import Decided, NodeStarted
from orchmagic.trace.reasons import Reason

Inner: TypeAlias = Callable[[dict[str, Any], Context], Awaitable[Any]]
"""Runs the inner graph with its inputs and the context of the inner run."""


async def run_inner(node: Sub, ctx: Context, inner: Inner, span: str, seen: Mapping[str, object]) -> Any:
    """Runs the inner graph; returns `{"step": node that gave the output, "value": its JSON}`."""
    inputs = await _inputs(node, seen)
    if node.each is None:
        ctx.emit(NodeStarted(span=span, node=node.name, kind="sub", input=images.describe_images(inputs)))
    below = ctx.child(node, f"{span}/", counts=node.each is None)
    ended = await _ended(node, inputs, below, inner)
    if ended:
        ctx.emit(Decided(span=span, choice=ended[0], reason=Reason("decision", cause="limit", detail=ended[1])))
    step, value = result(node.graph, below.values)
    return {"step": step, "value": value}


async def _ended(node: Sub, inputs: dict[str, Any], below: Context, inner: Inner) -> tuple[str, str] | None:
    """Runs the inner graph; (CAP or STOP, reason) if it ended early. Limits of the outer run are raised."""
    seconds = node.graph.limits.deadline
    try:
        async with asyncio.timeout(seconds) as clock:
            await inner(inputs, below)
    except TimeoutError:
        if not clock.expired():
            raise
        return CAP, f"deadline: {seconds:g} s were not enough"
    except Stopped as stopped:
        return STOP, str(stopped)
    except Capped as limit:
        if limit.whose is not None and limit.whose is not below:
            raise
        return CAP, str(limit)
    except BudgetExceeded as limit:
        if limit.budget is not below.budget:
            raise
        return CAP, str(limit)
    return None


def wrapped(before: Any, value: Any) -> Any:
    """Replaces an inner output (or a list of them) by a person's value; keeps the step that gave it."""
    if not isinstance(before, list):
        return {**before, "value": value}
    steps = [b["step"] for b in before if b]
    own = [b["step"] if b else steps[0] for b in before]
    return [v if v is None else {"step": step, "value": v} for v, step in zip(value, own, strict=True)]


async def _inputs(node: Sub, seen: Mapping[str, object]) -> dict[str, Any]:
    given = dict(node.given)
    inputs: dict[str, Any] = {}
    for name in node.graph.inputs:
        if name not in given and name not in seen:
            raise InputError(f"step {node.name!r} needs {name!r}: write {node.graph.name}({name}=…)")
        value = await evaluate(given[name], seen, node.name) if name in given else seen[name]
        inputs[name] = as_json(value, name)
    return inputs
