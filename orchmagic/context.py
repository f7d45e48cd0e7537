"""What a node works with: the run as it sees it, the scope of its templates and expressions, JSON state."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from orchmagic import expression
from orchmagic.errors import CodeFailed, InputError
from orchmagic.graph import Call, Graph
from orchmagic.models import Deployment, Emit, Handler
from orchmagic.schema import OutputType, resolve

State: TypeAlias = Mapping[str, Any]
Update: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallDefaults:
    """What a call uses when its step says nothing. `ttl` and `timeout` in seconds.

    `retries` counts attempts after a failed one: the pipeline makes them, exported modules name them.
    """

    model: str = "default"
    fallback: tuple[str, ...] = ()
    timeout: float | None = 60.0
    max_tokens: int = 1024
    cache: str = "use"
    ttl: float | None = None
    stream: bool = False
    retries: int = 2


@dataclass(slots=True)
class Context:
    """One run, as its nodes see it. `values` mirrors the state, so that a partial result survives any end."""

    graph: Graph
    handler: Handler
    emit: Emit
    namespace: Mapping[str, object]
    deployment: Callable[[str], Deployment]
    defaults: CallDefaults = field(default_factory=CallDefaults)
    ttl: Callable[[str], float | None] = lambda _: None
    types: dict[str, OutputType] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    visits: int = 0
    asked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for node in self.graph.nodes:
            if isinstance(node, Call):
                self.types[node.name] = resolve(node.name, node.output, self.namespace, confidence=node.confidence)


def scope(state: State, ctx: Context) -> dict[str, object]:
    """What templates and expressions see: the notebook's code, inputs, and typed values of the nodes so far."""
    seen: dict[str, object] = {n: ctx.namespace[n] for n in ctx.graph.code if n in ctx.namespace}
    seen |= {name: state.get(name) for name in ctx.graph.inputs}
    for node in ctx.graph.nodes:
        value = state.get(node.name)
        seen[node.name] = ctx.types[node.name].rebuild(value) if node.name in ctx.types else value
    seen["messages"] = state.get("messages", [])
    return seen


async def evaluate(source: str, seen: Mapping[str, object], node: str) -> object:
    """Calls of notebook functions run in a thread, so that a slow one never blocks the loop or a cancel."""
    try:
        if expression.called(source):
            found = await asyncio.to_thread(expression.evaluate, source, seen)
        else:
            found = expression.evaluate(source, seen)
        return await found if inspect.isawaitable(found) else found
    except Exception as error:
        if isinstance(error, InputError):
            raise
        raise CodeFailed(f"step {node!r}: `{source}` raised {type(error).__name__}: {error}", node=node) from error


def as_json(value: object, name: str) -> Any:
    """The value as plain JSON, since the state of a run is JSON.

    Raises:
        InputError: it cannot be; names the value and its type.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    from pydantic_core import PydanticSerializationError, to_jsonable_python  # noqa: PLC0415 - heavy

    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, RecursionError):
        raise InputError(
            f"{name!r} is of type {type(value).__name__}, which is not JSON: pass text, numbers, lists, dicts or "
            "records, or use it inside a notebook function"
        ) from None


def mirror(ctx: Context, update: Mapping[str, Any]) -> None:
    for name, value in update.items():
        if isinstance(value, list) and name == "messages":
            ctx.values.setdefault(name, []).extend(value)
        else:
            ctx.values[name] = value
