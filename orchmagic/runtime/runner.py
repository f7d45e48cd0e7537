"""Runs of a session: put together, replayed, and taken up again from the history."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from orchmagic.errors import CellError, InputError, SettingsError, nearest
from orchmagic.graph.composition import downstream, pauses
from orchmagic.graph.model import Graph, Limits
from orchmagic.graph.standard_types import STANDARD_TYPES
from orchmagic.graph.value_types import Kinds
from orchmagic.guards.guardrails import Guardrails
from orchmagic.language.magic_line import RunOptions
from orchmagic.models import Handler, images
from orchmagic.models.routing import api_keys
from orchmagic.runtime.context import Context
from orchmagic.runtime.fork import ReplaySpec
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.reference import cost_reference, models_of
from orchmagic.runtime.run import Run, RunHistory
from orchmagic.storage.journal import Journal, NoJournal
from orchmagic.trace.events import Event
from orchmagic.trace.trace import Trace

if TYPE_CHECKING:
    from orchmagic.models.budget import Budget
    from orchmagic.models.middleware.single_flight import SingleFlight
    from orchmagic.runtime.event_loop import EventLoopThread
    from orchmagic.runtime.session import Session
    from orchmagic.runtime.tools import Repeated
    from orchmagic.storage.runs import Stored


class Runner:
    """Makes runs from the parts of its session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._flights: SingleFlight | None = None
        self._forks: dict[str, ReplaySpec] = {}

    def new_run(
        self,
        made: Orchestration,
        inputs: Mapping[str, Any],
        *,
        parent: str | None = None,
        fork: ReplaySpec | None = None,
    ) -> Run:
        """A run that has not begun, with its own budget, trace, journal and pipeline.

        `parent` is the run that it replays, `fork` says what is different.
        """
        self._check_models(made.definition, made.options)
        graph = self._graph(made)
        number = self._session.history.begin(made.definition, inputs, parent, fork)
        run = self._assembled(number, made, graph, inputs, parent, fork)
        self._session.history.hold(self._session.runs, run)
        return run

    def _assembled(
        self,
        number: str,
        made: Orchestration,
        compiled: Any,
        inputs: Mapping[str, Any],
        parent: str | None,
        fork: ReplaySpec | None = None,
    ) -> Run:
        from orchmagic.graph.draw import picture  # noqa: PLC0415 - only runs are drawn
        from orchmagic.runtime.tools import WriteScope  # noqa: PLC0415 - first run

        graph, options = made.definition, made.options
        trace = Trace(
            number,
            graph.name,
            graph.pattern,
            picture=picture(graph),
            limits=asdict(graph.limits),
            **cost_reference(graph.pattern, models_of(graph, self._session.defaults(options)), self._session.known),
            started=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        self._session.history.follow(trace)
        fresh = fork.fresh(graph) if fork else None
        if fork:
            self._forks[number] = fork
        journal = self._session.history.store.journal(number, parent, fresh)
        context = self.context(graph, options, trace.add, journal, _left(graph.limits.deadline, trace))
        context.fresh = fresh or context.fresh
        context.pictures = images.among(inputs)
        context.thread = self._said(options.thread, journal)
        past = RunHistory(
            save=lambda run: self._session.history.save(run, None if parent else options.thread),
            again=lambda run, step, model, given, parts=None: self._replay(made, run, step, model, given, parts),
            writes=WriteScope(
                self._session.history.store.ledger, number, partial(_served, trace), self._session.history.wrote(trace)
            ),
            take=self._take,
            renew=self._renew,
        )
        return Run(number, context, compiled, trace, inputs, self._session.bridge, past)

    def _said(self, thread: str | None, journal: Journal) -> tuple[Mapping[str, Any], ...]:
        """The conversation as it was when the run began; one that goes on, or replays it, reads just that."""
        if thread is None:
            return ()
        found = journal.recall("#thread", thread)
        turns = self._session.history.store.thread(thread) if found is None else found.value
        journal.keep("#thread", thread, turns)
        return tuple(turns)

    def _graph(self, made: Orchestration) -> Any:
        """The LangGraph of a run; where it can pause, its checkpoints survive the kernel."""
        if not pauses(made.definition):
            return made.graph
        return self.compiled(made.definition, made.options, durable=True)

    def _take(self, run: Run) -> None:
        """Before a run goes on: nobody else has gone on with it.

        Raises:
            InputError: another kernel has; what it made of the run is looked up anew.
        """
        was = {"cancelled", "lost", "waiting"} if run.status == "cancelled" else {run.status}
        if self._session.settings.history == "on" and not self._session.history.store.take(run.id, was):
            if run in self._session.runs:
                self._session.runs.remove(run)
            status = self._session.history.store.run(run.id).status
            raise InputError(f"another kernel went on with run {run.id}: it is {status} there, see %orch show {run.id}")

    def _renew(self, run: Run) -> None:
        """Before another life of a run: no checkpoint is left of the one before."""
        if pauses(run.graph) and (saver := self._session.history.saver) is not None:
            self._session.bridge.run(saver.adelete_thread(run.id))

    def _replay(
        self,
        made: Orchestration,
        run: Run,
        step: str | None,
        model: str | None,
        given: Mapping[str, object],
        parts: frozenset[str] | None = None,
    ) -> Run:
        names = [n.name for n in run.graph.nodes]
        if step is not None and step not in names:
            raise InputError(f"{run.name} has no step {step!r} (steps: {', '.join(names)}){nearest(step, names)}")
        anew = names if step is None else [n for n in names if n in downstream(run.graph, step)]
        models = {**self._forks.get(run.id, ReplaySpec()).models, **(dict.fromkeys(anew, model) if model else {})}
        fork = ReplaySpec(step, tuple(sorted(parts or ())), models)
        again = Orchestration(fork.graph(made.definition), made.options, self._session)
        inputs = {**run.inputs, **again.bind((), {**run.inputs, **given})} if given else run.inputs
        found = self.new_run(again, inputs, parent=run.id, fork=fork)
        found.start()
        return found

    def revive(self, number: str) -> Run:
        """A run of this session or of the history, ready to be looked at, answered, resumed or replayed.

        Raises:
            InputError: there is no such run, or its notebook functions are not defined here.
        """
        for run in self._session.runs:
            if run.id == number:
                return run
        stored = self._session.history.store.run(number)
        try:
            made = self._redefined(stored)
        except CellError as error:
            found = "; ".join(p.found for p in error.problems)
            raise InputError(f"run {number} ({stored.name}) does not fit this notebook: {found}") from None
        if missing := [n for n in made.definition.code if n not in self._session.namespace and n not in STANDARD_TYPES]:
            raise InputError(f"run {number} needs {', '.join(missing)} of its notebook: run the cell that defines it")
        fork = ReplaySpec(**stored.options) if stored.options else None
        if fork:
            made = Orchestration(fork.graph(made.definition), made.options, self._session)
        run = self._assembled(number, made, self._graph(made), stored.inputs, stored.parent, fork)
        self._session.bridge.run(run.wake(stored))
        self._session.history.hold(self._session.runs, run)
        return run

    def _redefined(self, stored: Stored) -> Orchestration:
        """The orchestration of a stored cell; those nested in it that the notebook lacks are defined for it alone."""
        space = ChainMap({}, self._session.namespace)
        for name, text in stored.sources.items():
            if name not in self._session.namespace:
                space[name] = self._session.read(*split(text), space)
        return self._session.reread(stored.source, stored.name, space)

    def context(
        self,
        graph: Graph,
        options: RunOptions,
        emit: Callable[[Event], None],
        journal: Journal,
        left: Callable[[], float | None] = lambda: None,
    ) -> Context:
        """What the nodes of one run work with."""
        from orchmagic.models.budget import Budget  # noqa: PLC0415 - first run

        policy = Guardrails(self._session.rules(options), emit)

        def nested(limits: Limits, above: Budget | None) -> tuple[Handler, Budget]:
            budget = Budget(max_tokens=limits.max_tokens, money=limits.budget, parent=above)
            return self.handler(emit, budget, journal, left, policy), budget

        handler, budget = nested(graph.limits, self._session.purse.of(graph.name))
        return Context(
            graph=graph,
            handler=handler,
            emit=emit,
            namespace=self._session.namespace,
            deployment=self._session.deployment,
            kinds=Kinds(graph, self._session.namespace),
            defaults=self._session.defaults(options).within(graph),
            journal=journal,
            nested=nested,
            budget=budget,
            policy=policy,
            pipeline=lambda: self.handler(emit, budget, journal, left, policy),
        )

    def compiled(self, graph: Graph, options: RunOptions, *, durable: bool = False) -> Any:
        """The LangGraph of `graph`; called without a context it runs untraced, on the caller's own loop.

        `durable`: its pauses survive the kernel; it belongs to the session's loop then.
        """
        from orchmagic.runtime.compiler import compile_graph  # noqa: PLC0415 - heavy

        return compile_graph(
            graph, lambda: self._untraced(graph, options), self._session.history.saver if durable else None
        )

    def _untraced(self, graph: Graph, options: RunOptions) -> Context:
        context = self.context(graph, options, lambda _: None, NoJournal())
        context.handler = self._session.bridge.on_own_loop(context.handler)
        nested = context.nested
        assert nested is not None
        context.nested = lambda limits, above: _across(self._session.bridge, *nested(limits, above))
        return context

    def handler(
        self,
        emit: Callable[[Event], None],
        budget: Budget,
        journal: Journal,
        left: Callable[[], float | None],
        policy: Guardrails,
    ) -> Handler:
        """The pipeline of one run, outermost first: tracing … provider."""
        from orchmagic.models import pipeline  # noqa: PLC0415 - first run
        from orchmagic.models.middleware.single_flight import SingleFlight  # noqa: PLC0415 - first run
        from orchmagic.models.routing import price_advice  # noqa: PLC0415 - first run

        if self._flights is None:
            self._flights = SingleFlight()
        return pipeline.build(
            emit=emit,
            resolve=self._session.deployment,
            provider=self._session.provider,
            cache=self._session.cache,
            flights=self._flights,
            budget=budget,
            journal=journal,
            retry=self._session.settings.retry,
            policy=policy,
            memory=self._session.memory,
            pool=self._session.pool,
            health=self._session.health,
            unpriced=lambda d: price_advice.advice(d, self._session.settings, self._session.environ),
            time_left=left,
        )

    def _check_models(self, graph: Graph, options: RunOptions) -> None:
        """An unknown alias or an unset key is one clear line before anything starts."""
        for name in set(models_of(graph, self._session.defaults(options))):
            deployment = self._session.deployment(name)
            if said := api_keys.missing_key(deployment, self._session.environ):
                raise SettingsError(f"model {name!r} cannot be asked: {said}; or name another model")


def _served(trace: Trace, done: Repeated) -> None:
    """A write was not done again. What this run did itself before it went on is no news."""
    if done.run != trace.run:
        trace.remark(f"{done.call} was done before, by run {done.run}: its result was served")


def _left(deadline: float | None, trace: Trace) -> Callable[[], float | None]:
    """Seconds until the deadline: no wait is begun that would pass it."""
    return lambda: None if deadline is None else deadline - (trace.now - trace.began)


def split(source: str) -> tuple[str, str, str]:
    """(magic, line, body) of the text of a cell."""
    head, _, body = source.partition("\n")
    magic, _, line = head.removeprefix("%%").partition(" ")
    return magic, line, body


def _across(bridge: EventLoopThread, handler: Handler, budget: Budget) -> tuple[Handler, Budget]:
    return bridge.on_own_loop(handler), budget
