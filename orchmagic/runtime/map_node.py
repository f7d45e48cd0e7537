"""Runs a node once per list item, concurrently. Results keep the order; a failed item does not stop the others."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias

from orchmagic.core.text_format import counted
from orchmagic.errors import InputError, Rejected, RunError, Stopped, Waiting, ending
from orchmagic.graph.model import Call, Sub
from orchmagic.models import images
from orchmagic.runtime.caller import calling
from orchmagic.runtime.context import Context, Update, evaluate, failure_recorded, taken
from orchmagic.runtime.json_state import MOST, is_blank
from orchmagic.runtime.used_parts import numbered, used_part
from orchmagic.runtime.waves import say_room
from orchmagic.trace.events import NodeFinished, NodeStarted

_LISTED = 5  # numbers of items in a remark

Item: TypeAlias = Callable[[str, Mapping[str, object]], Awaitable[Any]]
"""Computes the value of one item from its span id and its scope."""


async def fan_out(
    node: Call | Sub,
    span: str,
    seen: Mapping[str, object],
    ctx: Context,
    one: Item,
) -> Update:
    """Awaits `one(span, scope)` for each item, at most `limits.concurrency` at once.

    Raises:
        Waiting: an item waits for a person; all others have ended.
        Rejected: a person rejected an item.
        Stopped: every item was stopped by its own cell; or one was, and the node is a worker or a section.
        RunError: every item failed.
    """
    assert node.each is not None
    items = await _items(node, seen, ctx)
    _remark_blanks(node, items, ctx)
    say_room(node, len(items), ctx)
    kind = "sub" if isinstance(node, Sub) else "call"
    shown = {"over": node.each.over, "items": len(items)}
    ctx.emit(NodeStarted(span=span, node=node.name, kind=kind, input=shown))
    ctx.repeated.update(_repeated(span, items))
    slots = asyncio.Semaphore(ctx.graph.limits.concurrency)
    name = node.each.item
    values: list[Any] = [None] * len(items)

    async def run(number: int, item: Any) -> None:
        async with slots:
            there = {**seen, name: images.seen(item) if ctx.has_images else numbered(item, ctx.kinds.items[node.name])}
            values[number - 1] = await _item(node, f"{span}/{number}", item, there, ctx, one)

    try:
        outcomes = await asyncio.gather(*(run(i, item) for i, item in enumerate(items, 1)), return_exceptions=True)
        return _collected(node, outcomes, values, ctx.graph.own_key("errors"))
    except BaseException:
        if any(value is not None for value in values):
            ctx.values[node.name] = values  # partial result of a run that ends here
        raise


def _repeated(span: str, items: list[Any]) -> Iterator[tuple[str, int]]:
    """For each item that equals earlier ones: its span, and how many there are."""
    earlier = Counter[str]()
    for number, item in enumerate(items, 1):
        text = json.dumps(item, sort_keys=True, default=str)
        if earlier[text]:
            yield f"{span}/{number}", earlier[text]
        earlier[text] += 1


def _remark_blanks(node: Call | Sub, items: list[Any], ctx: Context) -> None:
    """Says once which items hold nothing: they are asked about like the others."""
    if blank := [str(i) for i, item in enumerate(items, 1) if is_blank(item)]:
        listed = ", ".join([*blank[:_LISTED], *(["…"] if len(blank) > _LISTED else [])])
        which = f"{len(blank)} of {counted(len(items), 'item')}"
        ctx.remark(f"{node.name}: {which} hold nothing (None, NaN or no text): {listed}")


async def _item(
    node: Call | Sub,
    span: str,
    item: Any,
    seen: Mapping[str, object],
    ctx: Context,
    one: Item,
) -> Any:
    shown = used_part(item, "item", ctx.kinds.items[node.name])
    shown = images.describe_images(shown) if ctx.has_images else shown
    ctx.emit(NodeStarted(span=span, node=node.name, kind="item", input=shown))
    with failure_recorded(span, ctx, but=(Waiting, Rejected, Stopped)):
        async with calling(ctx, span):
            value = await one(span, seen)
    ctx.emit(NodeFinished(span=span, output=value))
    return value


def _collected(node: Call | Sub, outcomes: list[BaseException | None], values: list[Any], errors: str) -> Update:
    """Returns the values in order and lists failed items under the key `errors`; raises what ends the run."""
    stopped = [e for e in outcomes if isinstance(e, Stopped)]
    goes_on = not node.isolated and len(stopped) < len(outcomes)  # without the values of items that stopped themselves
    if stop := ending(e for e in outcomes if not (goes_on and isinstance(e, Stopped))):
        raise stop
    failed = {str(i): e for i, e in enumerate(outcomes, 1) if isinstance(e, Exception)}
    if failed and len(failed) == len(outcomes):
        first = next(iter(failed.values()))
        text = f"step {node.name!r}: all {len(outcomes)} items failed; the first: {first}"
        raise RunError(text, node=node.name) from first
    return {node.name: values, errors: {node.name: {i: str(e) for i, e in failed.items()}}}


async def _items(node: Call | Sub, seen: Mapping[str, object], ctx: Context) -> list[Any]:
    assert node.each is not None
    value = await evaluate(node.each.over, seen, node.name, ctx)
    items = await taken(value, node.each.over)
    if isinstance(items, dict):
        items = [{"key": k, "value": v} for k, v in items.items()]
    if not isinstance(items, list):
        raise InputError(f"step {node.name!r}: over={node.each.over} is {type(value).__name__}, not a list")
    if len(items) > MOST:
        raise InputError(f"step {node.name!r}: over={node.each.over} has {len(items):,} items, at most {MOST:,} fit")
    return items
