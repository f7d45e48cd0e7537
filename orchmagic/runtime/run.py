"""Run: one pass through a graph, from its inputs to a status, a result and a trace.

Final statuses: done, capped (a limit was reached; the partial result is kept), rejected (by a person; no output),
failed, cancelled, waiting (for a person). The trace is complete in every case, and `resume` continues without paying
twice.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from orchmagic.core.function_threads import Owner
from orchmagic.core.user_code import described
from orchmagic.errors import (
    BudgetExceeded,
    Capped,
    InputError,
    OrchError,
    Rejected,
    RunError,
    Stopped,
    Waiting,
    error_kind,
)
from orchmagic.models import images
from orchmagic.models.pipeline import Deadline
from orchmagic.runtime.context import Context
from orchmagic.runtime.conversation import summarise
from orchmagic.runtime.event_loop import PATIENCE, settle
from orchmagic.runtime.feedback import Feedback, checked
from orchmagic.runtime.garbage import rarely_collected
from orchmagic.runtime.json_state import as_json
from orchmagic.runtime.pause import checked_reply
from orchmagic.runtime.recovery import spans_to_reask, spans_to_retry
from orchmagic.runtime.run_result import RunResult, values
from orchmagic.storage.checkpoints import UnreadableCheckpointError
from orchmagic.trace.decisions import APPROVE, EDIT, REJECT
from orchmagic.trace.events import Event, RunFinished, RunStarted, Status, from_json
from orchmagic.trace.questions import PendingQuestion, pending_questions, question_to_answer
from orchmagic.trace.recalled import hits
from orchmagic.trace.record import Record, RecordError
from orchmagic.trace.run_trace import Trace

if TYPE_CHECKING:
    from orchmagic.runtime.caller import Caller
    from orchmagic.runtime.run_plan import RunPlan
    from orchmagic.runtime.tools import WriteScope
    from orchmagic.storage.runs import Stored


_EXAMPLES = {"budget": "US dollars, such as budget=0.50", "max_tokens": "a number, such as max_tokens=100_000"}
_POLLS = 90  # of a cancelled run's end, within PATIENCE
_RESULT = ("#result", "-o")  # the journal's entry for the variable of `-o`


class RunHistory(Protocol):
    """The interface of a run to the history; `writes` is the scope of its tools that write."""

    @property
    def writes(self) -> WriteScope: ...
    def save(self, run: Run) -> None: ...
    def flush(self) -> None: ...
    def claim(self, run: Run) -> None: ...
    def forget_checkpoint(self, run: Run) -> None: ...
    def copy(self, run: Run) -> Run: ...
    def replay(self, run: Run, step: str | int | None, model: str | None, changed: Mapping[str, object]) -> Run: ...
    def retry(self, run: Run, parts: frozenset[str]) -> Run: ...
    def judge(self, run: Run, feedback: Feedback) -> None: ...
    def feedback(self, run: Run) -> Feedback | None: ...


class Run(RunResult):
    """One run of an orchestration. The values of its steps are attributes: `run.extract.severity`.

    Attributes:
        id: short name, unique in the history of this user; `uid` is unique everywhere and names the checkpoints.
        inputs: what it was started with (JSON).
        status: running, done, capped, rejected, failed, cancelled or waiting.
        output: the result, typed as the cell declared; the partial result when capped; None when rejected.
        cost: US dollars, None if no price is known (`orchmagic.money(run.cost)` formats it); `tokens` in and out.
        error: the error in one line, or None.
        reason: why the run ended early, or None.
        waiting: the first open question, or None; `questions` are all of them.
    """

    def __init__(
        self, id_: str, plan: RunPlan, context: Context, compiled: Any, trace: Trace, history: RunHistory, uid: str
    ) -> None:
        super().__init__(id_, plan.inputs, context, trace)
        self.uid = uid
        self.waiting: PendingQuestion | None = None
        self._compiled = compiled
        self._loop = context.services.loop
        self._history = history
        self._interrupts: dict[str, str] = {}  # LangGraph's interrupt ids by node
        self._functions = Owner(trace.remark)
        self._done = threading.Event()
        self._future: concurrent.futures.Future[None] | None = None
        self.result_name: str | None = None  # the variable of `-o`
        self.lacks = ""  # what of the notebook is missing to run it; it can be shown, compared and replayed
        self.on_resume: Callable[[Run], None] = _ignore
        self._turn = threading.Lock()  # serialises answers and resumes: the second caller finds the run running

    def watch(self, listener: Callable[[Event], None]) -> None:
        """Sends `listener` every event from now on, and turns on streaming of answers."""
        self.trace.listeners.append(listener)
        self._context.defaults = replace(self._context.defaults, stream=True)

    def keep_output_as(self, name: str) -> None:
        """Binds the output to this variable of the notebook when the run has ended, by whatever way it is answered."""
        self._context.journal.keep(*_RESULT, name)  # for a kernel that resumes the run
        self.result_name = name

    def start(self, payload: Any = None) -> None:
        """Starts the run on the session's loop and returns immediately."""
        if self._caller is None:
            self._begin(payload, Deadline(self.graph.limits.deadline))
            return
        try:
            with self._caller.starting(self.name):
                self._begin(payload, Deadline(self.graph.limits.deadline).within(self._caller.ctx.deadline))
        except RunError as too_late:
            self.status, self.reason = "cancelled", str(too_late)
            self._history.save(self)
            self._done.set()
            raise

    def _begin(self, payload: Any, deadline: Deadline) -> None:
        self._done.clear()
        self._context.deadline = deadline
        self._context.open_pipeline()  # settings (prices, keys) may have changed since a stop
        self.status, self.waiting, self._stored = "running", None, None
        self._future = self._loop.submit(self._drive(dict(self.inputs) if payload is None else payload))

    async def drive(self) -> None:
        """Runs to the end in the caller's task, on the session's loop. Cancelling the task ends the run."""
        self._done.clear()
        self._context.deadline = Deadline(self.graph.limits.deadline)
        self._context.open_pipeline()
        await self._drive(dict(self.inputs))

    @property
    def state(self) -> Mapping[str, Any]:
        """The values of the steps that ran, as JSON by name."""
        return self._context.values

    def wait(self) -> Run:
        """Waits for the end; an interrupt cancels the run, keeps its partial trace, and is raised again."""
        if self._future is not None:
            try:
                self._loop.wait(self._future)
            except concurrent.futures.CancelledError:  # cancelled by another caller
                settle(self._done)
            except KeyboardInterrupt:
                settle(self._done)
                raise
            self._history.flush()
        return self

    async def ended(self) -> Run:
        """Like `wait`, for coroutines: cancelling it cancels the run."""
        if self._future is not None:
            try:
                await self._loop.waited(self._future)
            except asyncio.CancelledError:
                stopped = self._future.cancelled()  # by another caller: this coroutine continues
                await self.stop()
                if not stopped:
                    raise
        return self

    async def stop(self) -> None:
        """Like `cancel`, for coroutines on any loop; waits at most as long for the record."""
        if self._future is not None:
            self._future.cancel()
            for _ in range(_POLLS):
                if self._done.is_set():
                    break
                await asyncio.sleep(PATIENCE / _POLLS)

    def cancel(self) -> None:
        """Stops the run; its partial result is kept."""
        if self._future is not None and not self._done.is_set():
            self._future.cancel()
            settle(self._done)

    @property
    def questions(self) -> tuple[PendingQuestion, ...]:
        """The open questions in order; an answer is for the first one, or for the one with its `span`."""
        return pending_questions(self.record) if self.status == "waiting" else ()

    def resume(
        self,
        answer: object = None,
        *,
        span: str | None = None,
        budget: float | None = None,
        max_tokens: int | None = None,
    ) -> Run:
        """Resumes a waiting run with the answer to its question (of `span`), or a stopped run from where it stopped.

        Recorded answers and effects come from the journal. `budget` (US dollars) and `max_tokens` replace the run's
        limits: a capped run goes on with a higher one.

        Raises:
            InputError: the run is done or running, the answer is missing or has the wrong form, or a limit is none.
        """
        if self.status == "waiting" or answer is not None:
            if budget is not None or max_tokens is not None:
                raise InputError(
                    f"run {self.id} is {self.status}: answer it first; a limit is changed of a run that stopped"
                )
            return self.respond(answer, span).wait()
        return self.begin_again(budget=budget, max_tokens=max_tokens).wait()

    def begin_again(self, **limits: float | None) -> Run:
        """Resumes a stopped run without waiting for its end; `limits` as in `resume`.

        Raises:
            InputError: it is done, running, or waits for a person.
        """
        given = _limits(limits)
        with self._turn:
            if self.status in {"done", "rejected", "running", "waiting"}:
                raise InputError(f"run {self.id} is {self.status}: there is nothing to resume (replay() runs it again)")
            self._need_notebook()
            self._history.claim(self)
            self.on_resume(self)
            self._history.forget_checkpoint(self)
            self._context.reset(spans_to_reask(self.record))
            self.trace.limits |= given
            self._context.limit(**given)
            self.trace.restart()
            self.start()
        return self

    def approve(self, *, span: str | None = None) -> Run:
        """Approves the value that the run asks about, and resumes. `span` selects the question, here and below."""
        return self.respond({"action": APPROVE}, span).wait()

    def edit(self, value: object, *, span: str | None = None) -> Run:
        """Replaces the value that the run asks about, and resumes."""
        return self.respond({"action": EDIT, "value": value}, span).wait()

    def reject(self, why: str = "", *, span: str | None = None) -> Run:
        """Rejects the value: an agent receives the reason `why`; a chain ends, and so does the run around it."""
        return self.respond({"action": REJECT, "why": why}, span).wait()

    def respond(self, reply: object, span: str | None = None) -> Run:
        """Answers a waiting run and resumes it in the background.

        Raises:
            InputError: the run (or the question of `span`) does not wait, or the reply is none of the choices. A
                waiting run still waits.
        """
        from orchmagic.runtime import compiler  # noqa: PLC0415 - heavy

        with self._turn:
            self._need_notebook()
            if self.status != "waiting" or self.waiting is None:
                raise InputError(f"run {self.id} is {self.status}: only a waiting run can be answered")
            question = question_to_answer(self.record, span)
            answer = checked_reply(reply, question, self._context, self.id)
            self._history.claim(self)
            self.on_resume(self)
            self.start(compiler.resume(self._interrupts[question.node], question.span, answer))
        return self

    def replay(self, *, from_step: str | int | None = None, model: str | None = None, **inputs: object) -> Run:
        """Starts a new run from the record of this one.

        Without changes it is a copy: no call is made and no code runs, however this run ended. `from_step` (a name, or
        the number of a step, from 1) runs that step and all after it again; `model` and changed inputs run what they
        affect. This run is not changed.

        Raises:
            InputError: there is no such step or input, or this run has not ended.
        """
        if self.status == "running":
            raise InputError(f"run {self.id} has not ended: wait for it, or stop it, before you replay it")
        if from_step is None and model is None and not inputs:
            return self._history.copy(self)
        self._need_notebook()
        return self._history.replay(self, from_step, model, inputs).wait()

    def retry(self) -> Run:
        """Starts a new run that repeats failed items (dead letters) and their dependents; the rest is replayed."""
        self._need_notebook()
        return self._history.retry(self, spans_to_retry(self.record)).wait()

    def feedback(self, verdict: str | None = None, /, *, note: str = "", **corrections: object) -> Feedback | None:
        """Says that this run is "right" or "wrong", in the history; a later call replaces what an earlier one said.

        `corrections` are by step what would have been right, of a step with fields also only some of them:
        `run.feedback("wrong", extract={"severity": "high"}, note="read too fast")`. `orchmagic.rows` gives them as
        `expect`. Without arguments returns what was said, None if nothing was.

        Raises:
            InputError: there is no such verdict or step, a correction does not fit its step, the run has not ended, or
                it is not in the history.
        """
        if verdict is None and not note and not corrections:
            return self._history.feedback(self)
        if self.status == "running":
            raise InputError(f"run {self.id} has not ended: wait for it, or stop it, before you judge it")
        said = checked(verdict, note, corrections, self.record, self._context.kinds)
        self._history.judge(self, said)
        return said

    def become(self, run: Run, record: Record) -> None:
        """Makes this new run a replay of `run` with this `record`, which needs no code."""
        self.lacks = run.lacks
        self._replayed, self._stored, self._has_output = run, record, run._has_output
        self.status, self.error, self.reason = record.status, record.error, record.reason
        self._context.values.update(run._context.values)
        self.trace.announce(hits(record))
        self._history.save(self)
        self._done.set()

    @property
    def compiled(self) -> Any:
        """The compiled LangGraph."""
        return self._compiled

    def _need_notebook(self) -> None:
        if self.lacks:
            raise InputError(self.lacks)

    @property
    def checkpoint(self) -> dict[str, Any]:
        """LangGraph's config: a recursion limit above our own step limit, and the checkpoint id."""
        return {"recursion_limit": self.graph.limits.supersteps, "configurable": {"thread_id": self.uid}}

    async def _drive(self, payload: Any) -> None:
        if not self.trace.events:
            self.trace.add(RunStarted(inputs=images.describe_images(self.inputs)))
        kind = ""
        try:
            with rarely_collected(), self._history.writes.during(), self._functions.calling():
                status, error, reason = await self._bounded(payload)
        except asyncio.CancelledError:
            status, error, reason = "cancelled", None, f"interrupted{await self._functions.unfinished()}"
        except OrchError as raised:
            self._pass_up(raised)
            status, error, reason, kind = "failed", str(raised), None, error_kind(raised)
        except BaseException as raised:  # noqa: BLE001 - the trace is kept after any error
            status, error, reason = "failed", described(raised), None
            kind = error_kind(raised)
        self._finish(status, error, reason, kind)

    async def _bounded(self, payload: Any) -> tuple[Status, str | None, str | None]:
        limits = self.graph.limits
        try:
            async with asyncio.timeout(limits.deadline) as clock:
                # the journal has each step's values already, so one checkpoint at a pause is enough
                how = {"durability": "exit"} if self._compiled.checkpointer else {}
                await self._summarise_threads()
                with _without_langsmith():
                    state = await self._compiled.ainvoke(payload, context=self._context, config=self.checkpoint, **how)
        except TimeoutError:
            if not clock.expired():
                raise
            return (
                "capped",
                None,
                f"deadline: {limits.deadline:g} s were not enough{await self._functions.unfinished()}",
            )
        except (Capped, BudgetExceeded) as limit:
            self._pass_up(limit)
            return "capped", None, str(limit)
        except Stopped as stopped:
            self._is_stopped, self._has_output = True, not stopped.inside
            return "done", None, str(stopped)
        except Rejected as rejected:
            self._has_output = False
            return "rejected", None, str(rejected)
        if interrupts := state.get("__interrupt__"):
            return "waiting", None, self._wait_for_person(interrupts).question
        return "done", None, None

    async def _summarise_threads(self) -> None:
        for number, conversation in enumerate((self._context.thread, *self._context.threads.values()), 1):
            await summarise(conversation, number, self._context)

    @property
    def _caller(self) -> Caller | None:
        """The step of another run whose code started this run."""
        return self._context.caller

    def _pass_up(self, error: OrchError) -> None:
        """Lets an error that ends the calling run end it, too, when the code that called this run returns."""
        if self._caller is not None and self._caller.is_ended_by(error):
            self._caller.limit = error

    def _wait_for_person(self, interrupts: Sequence[Any]) -> PendingQuestion:
        """Returns the first open question. A node has one LangGraph interrupt but may ask several questions."""
        self._interrupts = {i.value["span"].partition("#")[0]: i.id for i in interrupts}
        self.waiting = question_to_answer(self.trace.snapshot())
        return self.waiting

    async def wake(self, stored: Stored) -> None:
        """Restores the state of a run from the history; a waiting run from its checkpoint."""
        kept = self._context.journal.recall(*_RESULT) if stored.parent is None else None
        self.result_name = kept.value if kept else None
        try:
            self._stored = Record.from_json(stored.record) if stored.record else None
        except RecordError as error:
            raise RecordError(f"run {self.id} cannot be read here: {error}") from None
        self.status = "cancelled" if stored.status in {"lost", "running"} else stored.status  # type: ignore[assignment]  # a Status
        if self._stored is not None:
            self.error, self.reason = self._stored.error, self._stored.reason
            self._context.values.update(values(self._stored, self.graph))
        if self.status != "waiting" or self.lacks:
            return
        try:
            state = await self._compiled.aget_state(self.checkpoint)
        except UnreadableCheckpointError as error:
            self.status, self.reason = "cancelled", f"{error}: resume() starts again from the record"
            return
        if not state.interrupts or any(state.values.get(n) != v for n, v in self.inputs.items()):
            self.status = "cancelled"  # without its own checkpoint, resume() starts again from the journal
            return
        try:
            events = [from_json(e) for e in stored.events]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            self.status = "cancelled"
            self.reason = f"its events were stored in another form ({error}): resume() starts again from the record"
            return
        self.trace.load(events)
        self._context.values.update(state.values)
        self._context.recall_said()
        self._context.visits = sum(state.values.get(self.graph.own_key("visits"), {}).values())
        self._wait_for_person(state.interrupts)
        self._context.questions.update({q.span: _waiting(q) for q in pending_questions(self.trace.snapshot())})

    def _finish(self, status: Status, error: str | None, reason: str | None, kind: str = "") -> None:
        reason = reason or "; ".join(self.trace.remarks) or None
        try:
            output = self._shown_output()
        except OrchError as raised:  # a value of the state that its class does not take
            output = None
            status, error, kind = (
                ("failed", str(raised), error_kind(raised)) if error is None else (status, error, kind)
            )
        self.trace.clean_again()
        error, reason = self.trace.clean(error), self.trace.clean(reason)
        self.status, self.error, self.reason = status, error, reason
        self.trace.add(RunFinished(status=status, output=output, error=error, error_kind=kind, reason=reason))
        if status == "waiting":
            self._context.keep_said()
        try:
            self._history.save(self)
        finally:
            self._done.set()

    def _shown_output(self) -> Any:
        try:
            return as_json(self.output, "output")
        except InputError:
            return repr(self.output)


def _limits(limits: Mapping[str, float | None]) -> dict[str, Any]:
    """The limits that are given.

    Raises:
        InputError: one is no positive number.
    """
    given = {name: limit for name, limit in limits.items() if limit is not None}
    for name, limit in given.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < math.inf:
            raise InputError(f"{name}={limit!r} is no limit: write {_EXAMPLES[name]}")
    return given


def _ignore(_: Run) -> None:
    """Does nothing when a run of this kernel is resumed: its name is bound."""


def _waiting(question: PendingQuestion) -> Waiting:
    return Waiting(question.question, span=question.span, choices=question.choices, value=question.value)


def _without_langsmith() -> AbstractContextManager[None]:
    """Turns LangGraph's own tracing off: LANGSMITH_TRACING=true would post the state before any guard has redacted it.

    What the guards let through is sent by OpenTelemetry, which LangSmith takes.
    """
    from langsmith.run_helpers import tracing_context  # noqa: PLC0415 - comes with LangGraph

    return tracing_context(enabled=False)
