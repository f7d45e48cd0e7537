"""What a node works with: the run as it sees it, and the scope of its templates and expressions."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from orchmagic.errors import Capped, CodeFailed, InputError, SettingsError, Waiting, error_kind
from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.model import Graph, Sub
from orchmagic.graph.resolution import CallDefaults
from orchmagic.graph.standard_types import standard_classes
from orchmagic.graph.value_types import ValueTypes
from orchmagic.guards.guardrails import Guardrails
from orchmagic.language import expression
from orchmagic.models import images, pipeline
from orchmagic.models.budget import Budget
from orchmagic.models.pipeline import Deadline
from orchmagic.models.types import Deployment, Emit, Handler
from orchmagic.runtime.replay import FreshSpans
from orchmagic.runtime.services import Services
from orchmagic.storage.journal import Journal, NoJournal
from orchmagic.trace.events import InputRequested, NodeFailed

State: TypeAlias = Mapping[str, Any]
Update: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class Context:
    """One run (or the run of an inner graph inside it), as its nodes see it.

    Attributes:
        emit: hears the events of the run; `journal` holds what was paid and done so far.
        budget: what it may spend; that of an inner graph is below that of the graph around it.
        guardrails: judge questions, answers, and what tools return.
        values: mirror of the state, so that a partial result survives any end.
        path: stands before the span ids of an inner graph; `outer` is the context around it.
        questions: those that wait for a person, by span.
        thread: the earlier turns of the conversation; `turns` the messages of each call.
        fresh: spans that are asked again, whatever the cache has.
        has_images: there is one among its values.
        on_foreign_loop: its graph is driven by somebody else; model calls still run on the session's loop.
    """

    graph: Graph
    services: Services
    emit: Emit
    budget: Budget
    kinds: ValueTypes
    defaults: CallDefaults = field(default_factory=CallDefaults)
    guardrails: Guardrails = field(default_factory=Guardrails)
    journal: Journal = field(default_factory=NoJournal)
    deadline: Deadline = field(default_factory=Deadline)
    values: dict[str, Any] = field(default_factory=dict)
    visits: int = 0
    met: set[str] = field(default_factory=set)
    questions: dict[str, Waiting] = field(default_factory=dict)
    path: str = ""
    outer: Context | None = None
    thread: tuple[Mapping[str, Any], ...] = ()
    turns: dict[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    counts: bool = True
    fresh: FreshSpans = field(default_factory=FreshSpans)
    has_images: bool = False
    on_foreign_loop: bool = False
    handler: Handler = field(init=False)

    @property
    def namespace(self) -> Mapping[str, object]:
        """The notebook's names."""
        return self.services.namespace

    def deployment(self, model: str) -> Deployment:
        """The endpoint behind an alias or model name."""
        return self.services.models.deployment(model)

    def open_pipeline(self) -> None:
        """Make the pipeline of its model calls, by the settings of now."""
        shared = self.services
        handler = pipeline.build(
            pipeline.PipelineParts(
                emit=self.emit,
                models=shared.models,
                budget=self.budget,
                journal=self.journal,
                flights=shared.flights,
                retry=shared.settings.now.retry,
                health=shared.models.health,
                cache=shared.caches.answers,
                semantic=shared.caches.semantic,
                guardrails=self.guardrails,
                deadline=self.deadline,
            )
        )
        self.handler = shared.loop.on_own_loop(handler) if self.on_foreign_loop else handler

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

        Their spans are asked again, of the model and not of the cache.
        """
        self.fresh = self.fresh.with_exact(unfit)
        for span in unfit:
            self.journal.forget(span)
        self.visits = 0
        for memory in (self.values, self.met, self.questions, self.turns):
            memory.clear()
        self.budget.reset()

    def child(self, node: Sub, path: str, *, counts: bool) -> Context:
        """The context of the graph inside `node`; `counts`: its steps are steps of this run too."""
        limits = node.graph.limits
        inner = replace(
            self,
            graph=node.graph,
            budget=Budget(max_tokens=limits.max_tokens, money=limits.budget, parent=self.budget),
            kinds=self.kinds.inner[node.name],
            defaults=self.defaults.within(node.graph),
            path=path,
            outer=self,
            counts=counts,
            values={},
            visits=0,
            met=set(),
        )
        inner.open_pipeline()
        return inner

    def await_reply(self, waiting: Waiting) -> Any:
        """What a person answered.

        Raises:
            Waiting: nobody did yet; the run ends as waiting.
        """
        answered = self.journal.recall(waiting.span, waiting.key)
        if answered is not None:
            return answered.value
        is_new, self.questions[waiting.span] = waiting.span not in self.questions, waiting
        if is_new:
            about = {"choices": waiting.choices, "value": waiting.value, "tool": waiting.tool}
            self.emit(InputRequested(span=waiting.span, question=waiting.question, **about))
        raise waiting


@contextmanager
def failure_recorded(span: str, ctx: Context, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """What is raised inside is recorded as the failure of the span, and raised; `but` these end or pause the run."""
    try:
        yield
    except but:
        raise
    except Exception as error:
        ctx.emit(NodeFailed(span=span, error=str(error) or type(error).__name__, error_kind=error_kind(error)))
        raise


def scope(state: State, ctx: Context) -> dict[str, object]:
    """What templates and expressions see: the notebook's code, inputs, and typed values of the nodes so far."""
    seen: dict[str, object] = {**FUNCTIONS}
    seen |= {n: standard for n, standard in standard_classes().items() if n in ctx.graph.code}
    seen |= {n: ctx.namespace[n] for n in ctx.graph.code if n in ctx.namespace}
    values = {name: state.get(name) for name in (*ctx.graph.inputs, *(n.name for n in ctx.graph.nodes))}
    if ctx.has_images:
        values = {name: images.seen(value) for name, value in values.items()}
    seen |= values
    seen |= {n.name: ctx.kinds.typed(n.name, values[n.name]) for n in ctx.graph.nodes}
    seen |= {"messages": state.get("messages", []), "visits": state.get("visits", {})}
    return seen | {"errors": state.get("errors", {})}


def result(graph: Graph, values: Mapping[str, Any]) -> tuple[str, Any]:
    """(node, JSON) of the output: the last result node that has a value, else the last message."""
    for name in reversed(graph.results):
        if values.get(name) is not None:
            return name, values[name]
    texts = [m.get("content") for m in values.get("messages", []) if m.get("content")]
    return "", texts[-1] if texts else None


async def evaluate(source: str, seen: Mapping[str, object], node: str) -> object:
    """Calls of notebook functions run in a thread, so that a slow one never blocks the loop or a cancel."""
    try:
        if expression.called(source):
            value = await asyncio.to_thread(expression.evaluate, source, seen)
        else:
            value = expression.evaluate(source, seen)
        return await value if inspect.isawaitable(value) else value
    except Exception as error:
        if isinstance(error, InputError | SettingsError):  # of our own functions: they say what to write
            raise
        raise CodeFailed(f"step {node!r}: `{source}` raised {type(error).__name__}: {error}", node=node) from error


def mirror(ctx: Context, update: Mapping[str, Any]) -> None:
    for name, value in update.items():
        if isinstance(value, list) and name == "messages":
            ctx.values.setdefault(name, []).extend(value)
        else:
            ctx.values[name] = value
