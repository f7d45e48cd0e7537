"""Creates runs, each with its own trace, journal, budget and pipeline, from the session's services."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from orchmagic.core.limits import THREAD_TOKENS
from orchmagic.core.text_format import counted
from orchmagic.errors import InputError, SettingsError
from orchmagic.graph.composition import nested, pauses
from orchmagic.graph.model import Graph, Safety
from orchmagic.graph.resolution import bound
from orchmagic.graph.value_types import ValueTypes
from orchmagic.language.magic_line import RunOptions
from orchmagic.models.routing import api_keys
from orchmagic.runtime.caller import current
from orchmagic.runtime.cost_reference import cost_reference, models_of
from orchmagic.runtime.feedback import Feedback
from orchmagic.runtime.inputs import bind_inputs
from orchmagic.runtime.replay import ReplaySpec
from orchmagic.runtime.run_plan import RunPlan
from orchmagic.runtime.services import Services
from orchmagic.storage.journal import Journal, NoJournal
from orchmagic.trace.events import Event
from orchmagic.trace.run_trace import Trace

if TYPE_CHECKING:
    from orchmagic.models.budget import SharedBudget
    from orchmagic.models.types import Emit
    from orchmagic.runtime.caller import Caller
    from orchmagic.runtime.context import Context
    from orchmagic.runtime.conversation import Conversation
    from orchmagic.runtime.run import Run
    from orchmagic.runtime.tools import WriteScope
    from orchmagic.storage.runs import Store, Stored
    from orchmagic.storage.writes import Write
    from orchmagic.trace.audit import Audit

# ruff: noqa: PLC0415 - local imports are delayed until the first run, so that the first command is fast

_TURN = ("#turn", "--thread")  # the journal's entry for the key of the run's turn


class RunFactory:
    """Creates runs and keeps them in `runs`: all active ones and the latest ended ones."""

    def __init__(self, services: Services, runs: list[Run] | None = None, seen_cells: set[str] | None = None) -> None:
        self.services = services
        self.runs: list[Run] = [] if runs is None else runs
        self.seen_cells: set[str] = (
            set() if seen_cells is None else seen_cells
        )  # the texts of cells that were run or shown in this kernel

    def new_run(self, plan: RunPlan, compiled: Any = None) -> Run:
        """Creates a run without starting it. `compiled` is its compiled LangGraph, if the caller has one.

        Raises:
            SettingsError: a model that it may call is unknown, or has no API key; a guard of an inner cell is wrong.
        """
        self.check_models(plan.graph, plan.options)
        for graph in nested(plan.graph):
            self.services.guard_rules(graph.safety.guard if graph.safety else ())
        compiled = compiled or self._durable(plan)
        caller = current(plan.graph.name)
        run = self.begun(plan, compiled) if caller is None else self._inside(caller, plan, compiled)
        self.hold(run)
        return run

    def _inside(self, caller: Caller, plan: RunPlan, compiled: Any) -> Run:
        """Creates a run that the code of another run's step starts: a part of that run."""
        entry = caller.entry(plan.graph.name, plan.inputs)
        plan = replace(plan, caller=caller, earlier=None if plan.parent else caller.earlier(entry))
        run = self.begun(plan, compiled)
        caller.adopt(run, entry)
        return run

    def begun(self, plan: RunPlan, compiled: Any) -> Run:
        """Enters a run in the history and builds it."""
        self.services.learn_keys()
        uid = uuid.uuid4().hex
        return self._assemble(self.services.history.begin(plan, uid), plan, compiled, uid, new=True)

    def stored_run(self, stored: Stored, plan: RunPlan, lacks: str = "") -> Run:
        """Restores a run from the history. `lacks` says what of the notebook is missing to run it."""
        run = self._assemble(stored.id, plan, None if lacks else self._durable(plan), stored.uid or stored.id)
        run.lacks = lacks
        self.services.loop.run(run.wake(stored))
        if not lacks:
            self.hold(run)
        return run

    def _durable(self, plan: RunPlan) -> Any:
        return self.compiled(plan.graph, plan.options, durable=pauses(plan.graph))

    def _assemble(self, number: str, plan: RunPlan, compiled: Any, uid: str, *, new: bool = False) -> Run:
        """Builds the run with its initial state. `uid` names its checkpoints; `new`: it begins now."""
        from orchmagic.models import images
        from orchmagic.runtime.run import Run
        from orchmagic.runtime.tools import WriteScope

        history = self.services.history
        trace = self._trace(number, plan.graph, plan.options)
        if history.audit is not None and plan.caller is None:
            history.audit.follow(trace)
        fresh = plan.replay.fresh(plan.graph)
        before = plan.earlier
        journal = history.store.journal(
            number,
            before.id if before else plan.parent,
            fresh.__contains__,
            paid=before is not None and before.paid,
            new=new,
        )
        context = self.context(plan.graph, plan.options, trace.add, journal, plan.caller)
        context.run = number
        if plan.caller is not None:
            trace.listeners.append(partial(plan.caller.relay, context.place))
        context.fresh = fresh
        context.remark = trace.remark
        context.has_images = images.among(plan.inputs)
        self._open_threads(context, plan, trace.remark)
        writes = WriteScope(history.store.ledger, number, _WriteListener(trace, history.audit).on_write)
        return Run(number, plan, context, compiled, trace, RecordedRun(self, plan, writes), uid)

    def _open_threads(self, context: Context, plan: RunPlan, remark: Callable[[str], None]) -> None:
        """Reads the threads of the run and of its inner cells."""
        own = plan.graph.safety or Safety()
        inside = [g.safety for g in nested(plan.graph) if g.safety and g.safety.thread]
        if own.thread is None and not inside:
            return
        kept = context.journal.recall(*_TURN)
        context.turn_key = kept.value if kept else plan.turn or context.run
        context.journal.keep(*_TURN, context.turn_key)
        threads = _Threads(self.services.history.store, context.journal, context.turn_key, remark)
        context.thread = threads.conversation("#thread", own)
        context.threads = {s.thread: threads.conversation(f"#thread:{s.thread}", s) for s in inside if s.thread}

    def hold(self, run: Run) -> None:
        """Adds a run to `runs`; removes the oldest ended one if there are too many."""
        self.runs.append(run)
        if len(self.runs) > self.services.history.room:
            over = next((r for r in self.runs if r.status not in {"running", "waiting"}), None)
            if over is not None:
                self.runs.remove(over)

    def compiled(self, graph: Graph, options: RunOptions, *, durable: bool = False) -> Any:
        """Compiles `graph` to LangGraph; invoked without a context, it runs untraced on the caller's loop.

        `durable`: its pauses outlive the kernel, and it must run on the session's loop.
        """
        from orchmagic.runtime.compiler import compile_graph

        saver = self.services.history.saver if durable else None
        return compile_graph(graph, _UntracedContexts(self, graph, options), saver)

    def context(
        self,
        graph: Graph,
        options: RunOptions,
        emit: Emit,
        journal: Journal,
        caller: Caller | None = None,
        *,
        kinds: ValueTypes | None = None,
        shared: SharedBudget | None = None,
    ) -> Context:
        """Creates the context of one run; its pipeline is not open yet. `caller`: the step that starts it, if any.

        `kinds` are the graph's value types and `shared` is the budget above the run's own, if the caller has them.
        """
        from orchmagic.guards.guardrails import Guardrails
        from orchmagic.models.budget import Budget
        from orchmagic.runtime.context import Context

        services, limits = self.services, graph.limits
        place = caller.next_span(graph.name) if caller else ""
        parent = caller.ctx.budget if caller else shared or services.budget.of(graph.name)
        return Context(
            graph=graph,
            services=services,
            emit=emit,
            budget=Budget(limits.max_tokens, limits.budget, parent=parent, place=f"{place}/" * bool(place)),
            caller=caller,
            place=place,
            kinds=kinds or ValueTypes(graph, services.namespace),
            defaults=services.call_defaults(options).within(graph),
            guardrails=Guardrails(services.guard_rules(options.guard), emit),
            journal=journal,
        )

    def _trace(self, number: str, graph: Graph, options: RunOptions) -> Trace:
        return new_trace(number, graph, self.trace_fields(graph, options))

    def trace_fields(self, graph: Graph, options: RunOptions) -> dict[str, Any]:
        """What the traces of all runs of a graph have in common, for `new_trace`."""
        from orchmagic.graph.draw import picture

        models = models_of(graph, self.services.call_defaults(options))
        self.services.learn_keys()
        return {
            "picture": picture(graph),
            "limits": asdict(graph.limits),
            **cost_reference(graph.pattern, models, self.services.models.resolve),
            "secrets": self.services.keys,
        }

    def check_models(self, graph: Graph, options: RunOptions) -> None:
        """Raises SettingsError for an unknown alias or a missing API key, before anything starts."""
        for name in set(models_of(graph, self.services.call_defaults(options))):
            deployment = self.services.models.deployment(name)
            if lack := api_keys.missing_key(deployment, self.services.environ):
                raise SettingsError(f"model {name!r} cannot be called: {lack}; or name another model")


def new_trace(number: str, graph: Graph, fields: Mapping[str, Any]) -> Trace:
    """The empty trace of a run that starts now; `fields` are those of `RunFactory.trace_fields`."""
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Trace(number, graph.name, graph.pattern, started=started, **fields)


@dataclass(frozen=True, slots=True)
class _Threads:
    """Reads threads at the start of a run, whose turn has the key `turn` (that of an earlier run of its cell)."""

    store: Store
    journal: Journal
    turn: str
    remark: Callable[[str], None]

    def conversation(self, entry: str, safety: Safety) -> Conversation:
        """The thread of a cell; kept in the journal under `entry`, so that resume and replay use the same."""
        from orchmagic.runtime.conversation import Conversation

        name = safety.thread
        if name is None:
            return Conversation()
        kept = self.journal.recall(entry, name)
        if kept is not None:
            found = Conversation(**kept.value) if isinstance(kept.value, dict) else Conversation(name, kept.value)
        else:
            most = bound(THREAD_TOKENS if safety.thread_tokens is None else safety.thread_tokens)
            turns = self.store.turns(name, before=self.turn)
            found = Conversation.fitting(name, turns, most, summarises=safety.thread_summary)
        self.journal.keep(entry, name, asdict(found))
        if found.left and not found.summarises:
            count = counted(len(found.left), "earlier message")
            self.remark(f"{count} of thread {name!r} not sent: more than --thread-tokens, see --thread-summary")
        return found


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """Implements `RunHistory` with the session's history."""

    factory: RunFactory
    plan: RunPlan
    writes: WriteScope

    def save(self, run: Run) -> None:
        """Stores status and record, binds the variable of `-o`; if the run is done, adds its turns to the threads."""
        self._bind(run)
        history = self.factory.services.history
        is_part = self.plan.caller is not None
        events = run.trace.events if run.status == "waiting" else ()
        history.save(run.record, events, self.plan.thread, is_part=is_part)
        if self.plan.parent is None:
            for thread, turns in run.turns_by_thread(self.plan.thread).items():
                history.store.extend(thread, run.turn_key, turns, run.summary_of(thread))

    def _bind(self, run: Run) -> None:
        """Gives the variable of `-o` the output; while the run waits, the variable does not exist."""
        namespace, name = self.factory.services.namespace, run.result_name
        if name is not None and run.status == "waiting":
            namespace.pop(name, None)
        elif name is not None:
            namespace[name] = run.output

    def flush(self) -> None:
        """Waits a moment until the record of the run is on disk: a cell that is done can be resumed."""
        self.factory.services.history.store.database.flush(1.0)

    def claim(self, run: Run) -> None:
        """Claims a run before it is resumed, so that no two kernels resume it; shows its cell, if it is from elsewhere.

        Raises:
            InputError: another kernel resumed it; the copy in memory is dropped.
        """
        self._show_cell(run)
        history, runs = self.factory.services.history, self.factory.runs
        was = {"cancelled", "lost", "waiting"} if run.status == "cancelled" else {run.status}
        if not history.is_on or history.store.take(run.id, was):
            return
        if run in runs:
            runs.remove(run)
        status = history.store.run(run.id).status
        raise InputError(f"another kernel went on with run {run.id}: it is {status} there, see %orch show {run.id}")

    def forget_checkpoint(self, run: Run) -> None:
        """Deletes the checkpoints of a run that can pause, before it starts again from the journal."""
        if pauses(run.graph):
            self.factory.services.history.forget_checkpoint(run.uid)

    def judge(self, run: Run, feedback: Feedback) -> None:
        """Keeps what a person said of a run."""
        self.factory.services.history.store.judge(run.id, feedback.to_json())

    def feedback(self, run: Run) -> Feedback | None:
        """What a person said of a run."""
        return Feedback.from_json(self.factory.services.history.store.run(run.id).feedback)

    def copy(self, run: Run) -> Run:
        """Returns a new run with the record of `run`, and with its journal, so that it can be forked alone."""
        from orchmagic.trace.recalled import recalled

        history = self.factory.services.history
        plan = replace(self.plan, parent=run.id, caller=None, earlier=None)
        copied = self.factory.begun(plan, run.compiled)
        history.store.copy_journal(run.id, copied.id)
        record = recalled(run.record, copied.id, copied.record.started)
        if record.status == "waiting":  # nobody can answer a copy
            reason = f"a replay of run {run.id}, which waits for a person: answer that one"
            record = replace(record, status="cancelled", reason=reason)
        copied.become(run, record)
        self.factory.hold(copied)
        return copied

    def replay(self, run: Run, step: str | int | None, model: str | None, changed: Mapping[str, object]) -> Run:
        """Starts a replay that runs `step` and all after it again, and all that the `changed` inputs affect."""
        spec = ReplaySpec.from_step(run.graph, step, model, self.plan.replay)
        inputs = run.inputs
        if changed:
            given = {**inputs, **changed}
            inputs = {**inputs, **bind_inputs(run.graph, self.factory.services.namespace, (), given)}
        return self._start(run, spec, inputs)

    def retry(self, run: Run, parts: frozenset[str]) -> Run:
        """Starts a replay that runs only the spans `parts` again."""
        return self._start(run, ReplaySpec(None, tuple(sorted(parts)), self.plan.replay.models), run.inputs)

    def _show_cell(self, run: Run) -> None:
        """Shows the stored cell of a run before it is executed, if this kernel has neither run nor shown it."""
        sources = [g.source for g in (*nested(run.graph), run.graph) if g.source]
        new = [s for s in dict.fromkeys(sources) if s not in self.factory.seen_cells]
        self.factory.seen_cells.update(new)
        if new:
            text = "\n\n".join(new)
            self.factory.services.notify(f"Run {run.id} goes on with this cell of the run history:\n{text}")

    def _start(self, run: Run, spec: ReplaySpec, inputs: Mapping[str, Any]) -> Run:
        self._show_cell(run)
        plan = RunPlan(spec.graph(run.graph), self.plan.options, inputs, run.id, spec)
        started = self.factory.new_run(plan)
        started.start()
        return started


@dataclass(frozen=True, slots=True)
class _UntracedContexts:
    """Creates a context for callers that invoke the compiled graph without one."""

    factory: RunFactory
    graph: Graph
    options: RunOptions

    def __call__(self) -> Context:
        caller = current(self.graph.name)
        context = self.factory.context(self.graph, self.options, _ignore, NoJournal(), caller)
        if caller is not None:
            context.emit = partial(caller.relay, context.place)
            context.deadline = caller.ctx.deadline
        context.on_foreign_loop = True
        context.open_pipeline()
        return context


@dataclass(frozen=True, slots=True)
class _WriteListener:
    """Records each write of a run in the audit log, and notes in the trace if another run had done it before."""

    trace: Trace
    audit: Audit | None

    def on_write(self, write: Write, state: str) -> None:
        if self.audit is not None:
            self.audit.wrote(self.trace, write.tool, write.id, state)
        if state == "served" and write.run != self.trace.run:
            self.trace.remark(f"{write.call} was done before, by run {write.run}: its result was served")


def _ignore(_: Event) -> None:
    """Drops the events of an untraced graph."""
