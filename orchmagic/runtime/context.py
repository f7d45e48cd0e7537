"""The run context that nodes receive, and the variable scope of templates and expressions."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from orchmagic.core.function_threads import in_thread
from orchmagic.core.portable import append_messages, as_text
from orchmagic.core.text_format import shorten
from orchmagic.core.user_code import described
from orchmagic.errors import Capped, CodeFailed, EndsRun, InputError, SettingsError, Waiting, error_kind
from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.model import DEFAULTS, Graph, Safety, Sub
from orchmagic.graph.resolution import CallDefaults, patient
from orchmagic.graph.standard_types import standard_classes
from orchmagic.graph.value_types import ValueTypes
from orchmagic.guards import rules
from orchmagic.guards.guardrails import Guardrails
from orchmagic.language import expression, template
from orchmagic.models import images, pipeline
from orchmagic.models.budget import Budget
from orchmagic.models.middleware.caching import discard
from orchmagic.models.pipeline import Deadline
from orchmagic.models.types import Deployment, Emit, Handler
from orchmagic.runtime import conversation
from orchmagic.runtime.async_functions import AsyncFunctions
from orchmagic.runtime.caller import Caller
from orchmagic.runtime.conversation import Conversation, Message, Said
from orchmagic.runtime.json_state import as_json, is_one_shot
from orchmagic.runtime.replay import FreshSpans
from orchmagic.runtime.services import Services
from orchmagic.runtime.used_parts import numbered
from orchmagic.storage.journal import Journal, NoJournal
from orchmagic.trace.events import InputRequested, NodeFailed

FEEDBACK = "@feedback"  # the state key of failed checks and typed reasons, by step; no variable can have its name
_SHOWN = 60  # characters of a template, as the name of a stuck call

State: TypeAlias = Mapping[str, Any]
Update: TypeAlias = dict[str, Any]

_SAID = ("#said", "--thread")  # the journal's entry for what a waiting run has for its turn of the conversation


@dataclass(slots=True)
class Context:
    """The context of one run, or of an inner graph's run; nodes use it for everything outside the state.

    Attributes:
        emit: receives the events of the run; `journal` holds its recorded answers and effects.
        budget: limit of spending; the budget of an inner graph is a child of the outer graph's.
        guardrails: check prompts, replies and tool results; `joined` are those of inner cells with rules of their own.
        values: copy of the state, so that a partial result survives any error.
        path: prefix of the span ids of an inner graph; `outer` is the context of the outer graph.
        questions: open questions to a person, by span.
        thread: the conversation whose earlier turns are sent; `threads` are those that inner cells name.
        said: messages for the turn that the run adds under `turn_key`, by span.
        inner_turns: (thread, turn) of inner cells with a thread of their own, by span.
        fresh: spans whose model calls skip caches and journal.
        has_images: whether one of the values is an image.
        run: id of the run.
        caller: the step of another run whose code started this run, and this run's span in it as `place`.
        repeated: for an item that equals earlier ones of its list, by span, how many there are.
        streamed: of many calls side by side, the span of the one whose answer is streamed.
        answered: keys of the cached answers of each call node, by its path and name.
        remark: gets what is said once at the end of the run.
        on_foreign_loop: the caller invokes the graph on its own loop; model calls still run on the session's loop.
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
    thread: Conversation = field(default_factory=Conversation)
    threads: dict[str, Conversation] = field(default_factory=dict)
    inner_turns: dict[str, tuple[str, list[Message]]] = field(default_factory=dict)
    said: dict[str, Said] = field(default_factory=dict)
    turn_key: str = ""
    counts: bool = True
    fresh: FreshSpans = field(default_factory=FreshSpans)
    has_images: bool = False
    repeated: dict[str, int] = field(default_factory=dict)
    streamed: set[str] = field(default_factory=set)
    answered: dict[str, set[str]] = field(default_factory=dict)
    on_foreign_loop: bool = False
    remark: Callable[[str], None] = lambda _: None
    run: str = ""
    caller: Caller | None = None
    place: str = ""
    joined: dict[tuple[Guardrails, tuple[str, ...]], Guardrails] = field(default_factory=dict)
    handler: Handler = field(init=False)

    @property
    def namespace(self) -> Mapping[str, object]:
        """The notebook's names."""
        return self.services.namespace

    def deployment(self, model: str) -> Deployment:
        """Looks up an alias or model name."""
        return self.services.models.deployment(model)

    def open_pipeline(self) -> None:
        """Creates the pipeline for model calls with the current settings."""
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
                keys=shared.keys,
                batches=shared.batches,
            )
        )
        self.handler = shared.loop.on_own_loop(handler) if self.on_foreign_loop else handler

    def count(self, node: str, span: str) -> None:
        """Counts a step here and in all outer contexts; a step resumed after a pause is not counted again.

        Raises:
            Capped: the step exceeds the limit of one of them.
        """
        level: Context | None = self
        in_item = False
        while level is not None:
            if not in_item or level.counts_items:
                level.visits += span not in level.met
                level.met.add(span)
            if level.visits > level.graph.limits.max_steps:
                most = level.graph.limits.max_steps
                raise Capped(f"max-steps: {most} steps were not enough", node=node, whose=level)
            if level.outer is None and level.caller is not None:
                level, span = level.caller.ctx, f"{level.place}/{span}"
            else:
                in_item = in_item or not level.counts
                level = level.outer

    @property
    def counts_items(self) -> bool:
        """Whether the steps in items of inner graphs count: not for the built-in limit, which is set for one run."""
        limit, safety = self.graph.limits.max_steps, self.graph.safety
        return limit != DEFAULTS.max_steps or (safety is not None and safety.max_steps is not None)

    def reset(self, unfit: frozenset[str] = frozenset()) -> None:
        """Clears the state before the run is resumed from the journal.

        The spans in `unfit` call the model again and skip journal and cache: their recorded answers were unusable.
        """
        self.fresh = self.fresh.with_exact(unfit)
        for span in unfit:
            self.journal.forget(span)
        self.visits = 0
        for memory in (
            self.values,
            self.met,
            self.questions,
            self.said,
            self.inner_turns,
            self.repeated,
            self.answered,
        ):
            memory.clear()
        self.budget.reset()

    def limit(self, **limits: Any) -> None:
        """Replaces limits of the run: `budget` in US dollars, `max_tokens`."""
        self.graph = replace(self.graph, limits=replace(self.graph.limits, **limits))
        self.budget.money, self.budget.max_tokens = self.graph.limits.budget, self.graph.limits.max_tokens

    def child(self, node: Sub, path: str, *, counts: bool) -> Context:
        """Creates the context of the inner graph of `node`; with `counts`, its steps also count here."""
        limits, safety = node.graph.limits, node.graph.safety or Safety()
        graph = node.graph
        if self.defaults.batch and graph.safety is not None:  # its built-in limits would end it in the first batch
            graph = replace(graph, limits=patient(limits))
        inner = replace(
            self,
            graph=graph,
            budget=Budget(max_tokens=limits.max_tokens, money=limits.budget, parent=self.budget),
            kinds=self.kinds.inner[node.name],
            defaults=self.defaults.within(node.graph),
            guardrails=self._guardrails_in(safety.guard),
            path=path,
            outer=self,
            counts=counts,
            thread=self.thread if safety.thread is None else self.threads.get(safety.thread, Conversation()),
            values={},
            visits=0,
            met=set(),
        )
        inner.open_pipeline()
        return inner

    def say(self, span: str, said: Said) -> None:
        """Notes messages for the turn of the run, if it has a thread."""
        if self.thread.name or self.threads:
            self.said[span] = said

    def keep_said(self) -> None:
        """Keeps what was said so far in the journal, for a kernel that resumes the waiting run."""
        if self.said or self.inner_turns:
            self.journal.keep(*_SAID, {"said": {s: asdict(m) for s, m in self.said.items()}, "inner": self.inner_turns})

    def recall_said(self) -> None:
        """Restores what `keep_said` kept."""
        if (kept := self.journal.recall(*_SAID)) is not None:
            self.said.update({span: Said(**said) for span, said in kept.value["said"].items()})
            self.inner_turns.update({span: (name, turn) for span, (name, turn) in kept.value["inner"].items()})

    def turn(self) -> list[Message]:
        """The messages that this graph adds to a thread; those of inner cells with a thread of their own are not."""
        name, value = result(self.graph, self.values)
        apart = tuple(f"{span}/" for span in self.inner_turns if span.startswith(self.path))
        inside = {s: m for s, m in self.said.items() if s.startswith(self.path) and not s.startswith(apart)}
        said = {span.removeprefix(self.path): messages for span, messages in inside.items()}
        answer = {"role": "assistant", "content": as_text(self.kinds.typed(name, value))}
        return [*conversation.turn(said, name), answer]

    def _guardrails_in(self, words: tuple[str, ...]) -> Guardrails:
        """The guardrails inside a cell with these rules: its own, and those around it; the stricter hold."""
        if not words:
            return self.guardrails
        key = (self.guardrails, words)
        if key not in self.joined:
            both = rules.together(self.guardrails.rules, self.services.guard_rules(words))
            self.joined[key] = Guardrails(both, self.guardrails.emit)
        return self.joined[key]

    async def refuse(self, names: Iterable[str]) -> None:
        """Deletes the answers of the steps `names` from the cache: they failed a check, or a person rejected them."""
        paths = [f"{self.path}{name}" for name in names]
        refused = [node for node in self.answered if any(node == p or node.startswith(f"{p}#") for p in paths)]
        await discard(self.services.caches.answers, [key for node in refused for key in self.answered.pop(node)])

    def await_reply(self, waiting: Waiting) -> Any:
        """Returns a person's answer.

        Raises:
            Waiting: there is none yet; the run pauses with status waiting.
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
    """Records an exception as the failure of the span and re-raises it; those in `but` are only re-raised."""
    try:
        yield
    except but:
        raise
    except Exception as error:
        ctx.emit(NodeFailed(span=span, error=str(error) or type(error).__name__, error_kind=error_kind(error)))
        raise


def scope(state: State, ctx: Context) -> dict[str, object]:
    """The names that templates and expressions can use: notebook names, inputs and typed node values so far."""
    seen: dict[str, object] = {**FUNCTIONS}
    seen |= {n: standard for n, standard in standard_classes().items() if n in ctx.graph.code}
    seen |= {n: ctx.namespace[n] for n in ctx.graph.code if n in ctx.namespace}
    values = {name: state.get(name) for name in (*ctx.graph.inputs, *(n.name for n in ctx.graph.nodes))}
    values |= {name: numbered(values[name], use) for name, use in ctx.kinds.uses.items()}
    if ctx.has_images:
        values = {name: images.seen(value) for name, value in values.items()}
    seen |= values
    seen |= {n.name: ctx.kinds.typed(n.name, values[n.name]) for n in ctx.graph.nodes}
    seen |= {n.name: ctx.kinds.given(n.name, values[n.name]) for n in ctx.graph.given if n.name in values}
    empty: dict[str, object] = {"messages": [], "visits": {}, "errors": {}}
    return seen | {n: state.get(n, none) for n, none in empty.items() if n not in ctx.graph.inputs}


def result(graph: Graph, values: Mapping[str, Any]) -> tuple[str, Any]:
    """Returns (node, JSON) of the output: the last result node with a value, else the last message."""
    for name in reversed(graph.results):
        if values.get(name) is not None:
            return name, values[name]
    texts = [m.get("content") for m in values.get(graph.own_key("messages"), []) if m.get("content")]
    return "", texts[-1] if texts else None


async def evaluate(source: str, seen: Mapping[str, object], node: str, ctx: Context) -> object:
    """Evaluates an expression, within the run's --timeout if it has one.

    What may call notebook code runs in a thread, and what it awaits on the loop of the async functions: nothing of it
    blocks the loop of the runs, or a cancel. Async functions are awaited wherever they stand: `valid(x) and check(y)`
    reads the results of both.
    """
    seconds, calls = ctx.defaults.code_timeout, _AsyncCalls(ctx.services.functions, source)
    try:
        async with asyncio.timeout(seconds) as clock:
            if _runs_code(source, seen):
                return await in_thread(partial(expression.evaluate, source, seen, calls.settle), source)
            value = expression.evaluate(source, seen)
            return await ctx.services.functions.run(value, source) if inspect.isawaitable(value) else value
    except asyncio.CancelledError:
        calls.cancel()
        raise
    except Exception as error:
        if isinstance(error, EndsRun | InputError | SettingsError):  # ours: the message already says what to write
            raise
        if isinstance(error, TimeoutError) and clock.expired():
            raise CodeFailed(f"step {node!r}: `{source}` gave no value within {seconds:g} s", node=node) from error
        raise CodeFailed(f"step {node!r}: `{source}` raised {described(error)}", node=node) from error


async def render(text: str, seen: Mapping[str, object], node: str, ctx: Context) -> str:
    """Fills in a template, like `evaluate`: in a thread if it calls functions, since they may be of the notebook."""
    if not template.calls(text):
        return template.render(text, seen)
    seconds = ctx.defaults.code_timeout
    try:
        async with asyncio.timeout(seconds):
            return await in_thread(partial(template.render, text, seen), shorten(text, _SHOWN))
    except TimeoutError as error:
        raise CodeFailed(f"step {node!r}: its prompt was not filled in within {seconds:g} s", node=node) from error


async def taken(value: object, name: str) -> Any:
    """The value of an expression as JSON. An iterator is read here, once, in a thread: it runs code of the notebook."""
    read = partial(as_json, value, name, once=True)
    return await in_thread(read, name) if is_one_shot(value) else read()


def _runs_code(source: str, seen: Mapping[str, object]) -> bool:
    """Whether an expression may run a function of the notebook, which may take long or be async."""
    passed = map(seen.get, expression.names(source))
    return expression.calls(source) or any(inspect.iscoroutinefunction(value) for value in passed)


class _AsyncCalls:
    """Awaits what an expression calls in its thread; made on the loop of the expression's run."""

    def __init__(self, functions: AsyncFunctions, name: str) -> None:
        self._functions = functions
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._open: set[concurrent.futures.Future[object]] = set()

    def settle(self, value: object) -> object:
        """The value of a call; of an awaitable its result."""
        if not inspect.isawaitable(value):
            return value
        future = asyncio.run_coroutine_threadsafe(self._functions.run(value, self._name), self._loop)
        self._open.add(future)
        try:
            return future.result()
        finally:
            self._open.discard(future)

    def cancel(self) -> None:
        """Cancels what is still awaited."""
        for future in tuple(self._open):
            future.cancel()


def mirror(ctx: Context, update: Mapping[str, Any]) -> None:
    for name, value in update.items():
        if isinstance(value, list) and name == "messages":
            ctx.values[name] = append_messages(ctx.values.get(name), value)
        else:
            ctx.values[name] = value
