"""What a node works with: the run as it sees it, the scope of its templates and expressions, JSON state."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from orchmagic.core.portable import table_rows
from orchmagic.errors import Capped, CodeFailed, InputError, SettingsError, Waiting
from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.model import Graph, Limits, Sub
from orchmagic.graph.resolution import CallDefaults
from orchmagic.graph.standard_types import STANDARD_TYPES
from orchmagic.graph.value_types import Kinds
from orchmagic.guards.guardrails import Guardrails
from orchmagic.language import expression
from orchmagic.models import Deployment, Emit, Handler, images
from orchmagic.storage.journal import Journal, NoJournal
from orchmagic.trace.events import InputRequested

State: TypeAlias = Mapping[str, Any]
Update: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class Context:
    """One run (or the run of an inner graph inside it), as its nodes see it.

    `values` mirrors the state, so that a partial result survives any end. `path` stands before the span ids of an
    inner graph. `journal` holds what was paid and done so far. `nested` makes the pipeline of an inner graph, under
    a budget of its own, `pipeline` that of this one anew, by the settings of then. `thread` are the earlier turns of
    the conversation, `turns` what each call asked. `asked` are the questions that wait for a person, by
    span. `policy` judges what tools return.
    What `fresh` names by its span is asked anew, whatever the cache has. `pictures`: there is an image among its
    values.
    """

    graph: Graph
    handler: Handler
    emit: Emit
    namespace: Mapping[str, object]
    deployment: Callable[[str], Deployment]
    kinds: Kinds
    defaults: CallDefaults = field(default_factory=CallDefaults)
    values: dict[str, Any] = field(default_factory=dict)
    visits: int = 0
    met: set[str] = field(default_factory=set)
    asked: dict[str, Waiting] = field(default_factory=dict)
    journal: Journal = field(default_factory=NoJournal)
    nested: Callable[[Limits, Any], tuple[Handler, Any]] | None = None
    budget: Any = None
    path: str = ""
    outer: Context | None = None
    thread: tuple[Mapping[str, Any], ...] = ()
    turns: dict[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    counts: bool = True
    fresh: Callable[[str], bool] = lambda _: False
    pictures: bool = False
    policy: Guardrails = field(default_factory=Guardrails)
    pipeline: Callable[[], Handler] | None = None

    def count(self, node: str, span: str) -> None:
        """One more step, here and in all that this graph is inside of; not one that goes on after a pause.

        Raises:
            Capped: it is one too many for one of them.
        """
        level: Context | None = self
        while level is not None:
            level.visits += span not in level.met
            level.met.add(span)
            if level.visits > level.graph.limits.max_steps:
                most = level.graph.limits.max_steps
                raise Capped(f"max-steps: {most} steps were not enough", node=node, whose=level)
            level = level.outer if level.counts else None

    def reset(self, unfit: frozenset[str] = frozenset()) -> None:
        """Forget a life that ended: the next one starts with what the journal holds, but for answers that were `unfit`.

        Their spans are asked anew, of the model and not of the cache.
        """
        before = self.fresh
        self.fresh = lambda span: span in unfit or before(span)
        for span in unfit:
            self.journal.forget(span)
        self.visits = 0
        for kept in (self.values, self.met, self.asked, self.turns):
            kept.clear()
        if self.budget is not None:
            self.budget.reset()

    def child(self, node: Sub, path: str, *, counts: bool) -> Context:
        """The context of the graph inside `node`; `counts`: its steps are steps of this run too."""
        handler, budget = self.nested(node.graph.limits, self.budget) if self.nested else (self.handler, self.budget)
        kinds = self.kinds.inner[node.name]
        return replace(
            self,
            graph=node.graph,
            handler=handler,
            budget=budget,
            kinds=kinds,
            defaults=self.defaults.within(node.graph),
            path=path,
            outer=self,
            counts=counts,
            values={},
            visits=0,
            met=set(),
        )

    def await_reply(self, waiting: Waiting) -> Any:
        """What a person answered.

        Raises:
            Waiting: nobody did yet; the run ends as waiting.
        """
        found = self.journal.recall(waiting.span, waiting.key)
        if found is not None:
            return found.value
        is_new, self.asked[waiting.span] = waiting.span not in self.asked, waiting
        if is_new:
            about = {"choices": waiting.choices, "value": waiting.value, "tool": waiting.tool}
            self.emit(InputRequested(span=waiting.span, question=waiting.question, **about))
        raise waiting


def scope(state: State, ctx: Context) -> dict[str, object]:
    """What templates and expressions see: the notebook's code, inputs, and typed values of the nodes so far."""
    seen: dict[str, object] = {**FUNCTIONS}
    seen |= {n: STANDARD_TYPES[n] for n in ctx.graph.code if n in STANDARD_TYPES}
    seen |= {n: ctx.namespace[n] for n in ctx.graph.code if n in ctx.namespace}
    shown = images.seen if ctx.pictures else _as_it_is
    seen |= {name: shown(state.get(name)) for name in ctx.graph.inputs}
    for node in ctx.graph.nodes:
        seen[node.name] = ctx.kinds.typed(node.name, shown(state.get(node.name)))
    seen |= {"messages": state.get("messages", []), "visits": state.get("visits", {})}
    return seen | {"errors": state.get("errors", {})}


def _as_it_is(value: Any) -> Any:
    return value


def result(graph: Graph, values: Mapping[str, Any]) -> tuple[str, Any]:
    """(node, JSON) of the output: the last result node that has a value, else what was said last."""
    for name in reversed(graph.results):
        if values.get(name) is not None:
            return name, values[name]
    said = [m.get("content") for m in values.get("messages", []) if m.get("content")]
    return "", said[-1] if said else None


async def evaluate(source: str, seen: Mapping[str, object], node: str) -> object:
    """Calls of notebook functions run in a thread, so that a slow one never blocks the loop or a cancel."""
    try:
        if expression.called(source):
            found = await asyncio.to_thread(expression.evaluate, source, seen)
        else:
            found = expression.evaluate(source, seen)
        return await found if inspect.isawaitable(found) else found
    except Exception as error:
        if isinstance(error, InputError | SettingsError):  # of our own functions: they say what to write
            raise
        raise CodeFailed(f"step {node!r}: `{source}` raised {type(error).__name__}: {error}", node=node) from error


def as_json(value: object, name: str) -> Any:
    """The value as plain JSON, since the state of a run is JSON.

    Raises:
        InputError: it cannot be; names the value and its type.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if (image := images.encode(value)) is not None:
        return image
    from pydantic_core import PydanticSerializationError, to_jsonable_python  # noqa: PLC0415 - heavy

    if (odd := _odd_key(value)) is not None:
        raise InputError(f"{name!r} has the key {odd!r}, and keys in JSON are text: write {str(odd)!r}")
    try:
        return to_jsonable_python(table_rows(value), fallback=images.encoded)
    except UnicodeDecodeError:  # bytes that are no text
        return _with_images(value, name)
    except (PydanticSerializationError, ValueError, RecursionError):
        raise InputError(
            f"{name!r} is of type {type(value).__name__}, which is not JSON: pass text, numbers, lists, dicts or "
            "records, or use it inside a notebook function"
        ) from None


def _odd_key(value: object) -> object:
    """A key that is no text, which JSON would change without a word; None when there is none."""
    if isinstance(value, dict):
        found = next((k for k in value if not isinstance(k, str) and not hasattr(k, "value")), None)
        return found if found is not None else next((o for v in value.values() if (o := _odd_key(v)) is not None), None)
    if isinstance(value, list | tuple):
        return next((o for v in value if (o := _odd_key(v)) is not None), None)
    return None


def _with_images(value: object, name: str) -> Any:
    if isinstance(value, dict):
        return {str(k): _with_images(v, name) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_with_images(v, name) for v in value]
    if isinstance(value, bytes) and images.encode(value) is None:
        raise InputError(f"{name!r} holds bytes that are no image, which is not JSON: decode them, or pass text")
    return as_json(value, name)


def mirror(ctx: Context, update: Mapping[str, Any]) -> None:
    for name, value in update.items():
        if isinstance(value, list) and name == "messages":
            ctx.values.setdefault(name, []).extend(value)
        else:
            ctx.values[name] = value
