"""A node once per item of a list, side by side; the order is kept, and an item that fails leaves the others alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, KeysView, Mapping, ValuesView
from itertools import islice
from typing import Any

from orchmagic.errors import BudgetExceeded, Capped, InputError, RunError, Waiting, error_kind
from orchmagic.graph.model import Call, Sub
from orchmagic.models import images
from orchmagic.runtime.context import Context, Update, evaluate
from orchmagic.runtime.json_state import as_json
from orchmagic.trace.events import NodeFailed, NodeFinished, NodeStarted

_LAZY = (range, Iterator, KeysView, ValuesView)  # a list that is made while it is read
_MOST = 100_000  # items of one node: a list that long is a mistake, or a job for a batch


async def fan_out(
    node: Call | Sub,
    span: str,
    seen: Mapping[str, object],
    ctx: Context,
    one: Callable[[str, Mapping[str, object]], Awaitable[Any]],
) -> Update:
    """`one(span, scope)` for each item, at most `limits.concurrency` at once.

    Raises:
        Waiting: an item needs a person; the others have ended.
        RunError: every item failed.
    """
    assert node.each is not None
    items = await _items(node, seen)
    kind = "sub" if isinstance(node, Sub) else "call"
    told = {"over": node.each.over, "items": len(items)}
    ctx.emit(NodeStarted(span=span, node=node.name, kind=kind, input=told))
    slots = asyncio.Semaphore(ctx.graph.limits.concurrency)
    name = node.each.item
    ended: list[Any] = [None] * len(items)

    async def run(number: int, item: Any) -> None:
        async with slots:
            there = {**seen, name: images.seen(item) if ctx.has_images else item}
            ended[number - 1] = await _item(node, f"{span}/{number}", item, there, ctx, one)

    whole = False
    try:
        found = await asyncio.gather(*(run(i, item) for i, item in enumerate(items, 1)), return_exceptions=True)
        update = _collected(node, found, ended)
        whole = True
    finally:
        if not whole and any(value is not None for value in ended):
            ctx.values[node.name] = ended  # the partial result of a run that ends here
    return update


async def _item(
    node: Call | Sub,
    span: str,
    item: Any,
    seen: Mapping[str, object],
    ctx: Context,
    one: Callable[[str, Mapping[str, object]], Awaitable[Any]],
) -> Any:
    ctx.emit(
        NodeStarted(
            span=span, node=node.name, kind="item", input=images.describe_images(item) if ctx.has_images else item
        )
    )
    try:
        value = await one(span, seen)
    except Waiting:
        raise
    except Exception as error:
        ctx.emit(NodeFailed(span=span, error=str(error) or type(error).__name__, error_kind=error_kind(error)))
        raise
    ctx.emit(NodeFinished(span=span, output=value))
    return value


def _collected(node: Call | Sub, found: list[BaseException | None], values: list[Any]) -> Update:
    """The values in order; what ends the whole run is raised, other failures are told in `errors`."""
    stops = [f for f in found if isinstance(f, BaseException) and not isinstance(f, Exception)]
    for kind in (BudgetExceeded, Capped, Waiting):
        stops += [f for f in found if isinstance(f, kind)]
    if stops:
        raise stops[0]
    failed = {str(i): str(f) for i, f in enumerate(found, 1) if isinstance(f, Exception)}
    if failed and len(failed) == len(found):
        first = next(f for f in found if isinstance(f, Exception))
        text = f"step {node.name!r}: all {len(found)} items failed; the first: {first}"
        raise RunError(text, node=node.name) from first
    return {node.name: values, "errors": {node.name: failed}}


async def _items(node: Call | Sub, seen: Mapping[str, object]) -> list[Any]:
    assert node.each is not None
    value = await evaluate(node.each.over, seen, node.name)
    found = as_json([*islice(value, _MOST + 1)] if isinstance(value, _LAZY) else value, node.each.over)
    if isinstance(found, dict):
        found = [{"key": k, "value": v} for k, v in found.items()]
    if not isinstance(found, list):
        raise InputError(f"step {node.name!r}: over={node.each.over} is {type(value).__name__}, not a list")
    if len(found) > _MOST:
        raise InputError(f"step {node.name!r}: over={node.each.over} has {len(found):,} items, at most {_MOST:,} fit")
    return found
