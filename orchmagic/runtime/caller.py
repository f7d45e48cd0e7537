"""The step that notebook code works for. An orchestration that this code calls is a part of that step's run: its cost,
limits and steps count there, its events are spans there, and it ends with the step.

The step travels in a context variable: into coroutines, tasks and `asyncio.to_thread` by Python itself, into threads
and executors of the notebook by `carried`. It does not reach other processes.
"""

from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import json
import math
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from orchmagic.errors import BudgetExceeded, Capped, RunError, StoreError, WriteUnknown
from orchmagic.trace.events import (
    AttemptFailed,
    AttemptFinished,
    Event,
    JournalHit,
    NodeFailed,
    NodeFinished,
    NodeStarted,
    RunFinished,
    RunStarted,
    Usage,
)

if TYPE_CHECKING:
    from orchmagic.runtime.context import Context
    from orchmagic.runtime.run import Run

P = ParamSpec("P")
T = TypeVar("T")
_IDS = ("span", "call")  # fields of events that hold the id of a span


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """The run that the same call of the same step started before a resume, or in the replayed run (not `paid`)."""

    id: str
    paid: bool


class Caller:
    """A step, item or tool call, while its code runs. `span` is its id in the run of `ctx`.

    `limit`: what stopped a run inside it and ends the calling run, too; raised when the code returns.
    """

    def __init__(self, ctx: Context, span: str) -> None:
        self.ctx = ctx
        self.span = span
        self.limit: BaseException | None = None
        self.runs: list[Run] = []
        self.stopped = False
        self.over = False
        self._numbers: Counter[str] = Counter()
        self._paid: list[tuple[str, dict[str, int], float | None]] = []
        self._lock = threading.Lock()  # notebook code may call from several threads

    def is_ended_by(self, error: BaseException | None) -> bool:
        """Whether it ends the calling run: a limit of that run or of the kernel, a write of unknown end."""
        if isinstance(error, BudgetExceeded):
            return error.budget in self.ctx.budget.chain
        if isinstance(error, Capped):
            return any(error.whose is ctx for ctx in _upwards(self.ctx))
        return isinstance(error, WriteUnknown | StoreError)

    def next_span(self, name: str) -> str:
        """The span of the next run of `name` inside the step: `lookup#1/triage#2`."""
        with self._lock:
            self._numbers[name] += 1
            return f"{self.span}/{name}#{self._numbers[name]}"

    def entry(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, str]:
        """(id, key) in the journal for the next run of `name` with these inputs; the order of other calls is free."""
        key = hashlib.sha256(json.dumps([name, inputs], sort_keys=True, default=repr).encode()).hexdigest()
        with self._lock:
            self._numbers[key] += 1
            return f"{self.span}/{name}:{key[:16]}:{self._numbers[key]}", key

    def adopt(self, run: Run, entry: tuple[str, str]) -> None:
        """Makes the run end with the step, and records it under `entry`."""
        self.runs.append(run)
        self.ctx.journal.keep(*entry, run.id)

    @contextmanager
    def starting(self, name: str) -> Iterator[None]:
        """Starts a run inside the step: before the step is stopped, which then stops the run too, or not at all.

        Raises:
            RunError: the step was stopped.
        """
        with self._lock:
            if self.stopped:
                raise self.too_late(name)
            yield

    def stop(self) -> None:
        """Lets no run begin any more; those that began are in `runs`."""
        with self._lock:
            self.stopped = True

    def too_late(self, name: str) -> RunError:
        """The error of a run that the code of a stopped step wants to start."""
        return RunError(f"{name} was not started: the step {self.span} of run {self.ctx.run}, which calls it, ended")

    def earlier(self, entry: tuple[str, str]) -> EarlierRun | None:
        """The run of this entry before the calling run was resumed or replayed."""
        known = self.ctx.journal.recall(*entry)
        return EarlierRun(str(known.value), known.own) if known else None

    def relay(self, span: str, event: Event) -> None:
        """Adds an event of a run inside to the calling run's trace, as one of the inner graph `span`."""
        if isinstance(event, AttemptFinished | AttemptFailed) or (isinstance(event, JournalHit) and event.paid):
            self._paid.append((f"{span}/{event.call}", asdict(event.usage), event.cost))
        elif isinstance(event, RunFinished) and self._paid:
            self.ctx.journal.keep(f"{self.span}~paid", "", self._paid)
        match event:
            case RunStarted():
                name = span.rpartition("/")[2].partition("#")[0]
                event = NodeStarted(span=span, node=name, kind="sub", input=event.inputs)
            case RunFinished(status="failed"):
                event = NodeFailed(span=span, error=event.error or "", error_kind=event.error_kind)
            case RunFinished(status="cancelled"):
                event = NodeFailed(span=span, error="cancelled", error_kind="cancelled")
            case RunFinished():
                event = NodeFinished(span=span, output={"step": "", "value": event.output})
            case _:
                inside: dict[str, Any] = {n: f"{span}/{getattr(event, n)}" for n in _IDS if hasattr(event, n)}
                event = replace(event, **inside)
        loop = self.ctx.services.loop
        if loop.is_current:
            self.ctx.emit(event)
        else:  # a compiled graph of the notebook, on another loop
            loop.loop.call_soon_threadsafe(self.ctx.emit, event)


def _upwards(ctx: Context | None) -> Iterator[Context]:
    while ctx is not None:
        yield ctx
        ctx = ctx.outer or (ctx.caller.ctx if ctx.caller else None)


def paid_again(ctx: Context, span: str) -> None:
    """Counts what the runs inside a step cost, when the step's own value comes from the journal."""
    entry = ctx.journal.recall(f"{span}~paid", "")
    if entry is None:
        return
    by_call: dict[str, list[JournalHit]] = defaultdict(list)
    for call, usage, cost in entry.value:
        by_call[call].append(JournalHit(call=call, usage=Usage(**usage), cost=cost, paid=entry.own))
    for call, hits in by_call.items():
        tokens, cost = sum(h.usage.total for h in hits), math.fsum(h.cost or 0.0 for h in hits)
        if not (entry.own and ctx.budget.count_once(call, tokens, cost)):
            for hit in hits:
                ctx.emit(hit)


_CALLER: ContextVar[Caller | None] = ContextVar("orchmagic_caller", default=None)
_CARRIED: list[ContextVar[Any]] = [_CALLER]


def current(name: str) -> Caller | None:
    """The step whose code calls the orchestration `name`; None outside a run.

    Raises:
        OrchError: the calling run has reached a limit, or the step was stopped: nothing more is started for it.
    """
    caller = _CALLER.get()
    if caller is None or (caller.over and not caller.stopped):
        return None
    if caller.limit is not None:
        raise caller.limit
    if caller.stopped:
        raise caller.too_late(name)
    return caller


def is_inherited(ctx: Context) -> bool:
    """Whether `ctx` is the context of the step whose code runs here, not one made for an orchestration it calls."""
    caller = _CALLER.get()
    return caller is not None and caller.ctx is ctx


@asynccontextmanager
async def calling(ctx: Context, span: str) -> AsyncIterator[None]:
    """Runs the code of a step: orchestrations that it calls are a part of it.

    Runs that it left in the background are awaited. If the step is stopped or fails, they are stopped.

    Raises:
        BudgetExceeded, Capped: a limit of the calling run stopped a run inside the step.
    """
    _carry_into_threads()
    caller = Caller(ctx, span)
    token = _CALLER.set(caller)
    try:
        yield
        for run in caller.runs:
            await run.ended()
    except BaseException as error:
        caller.stop()
        for run in caller.runs:
            await run.stop()
        if caller.is_ended_by(error.__cause__):  # the code let it pass
            caller.limit = error.__cause__
        if caller.limit is not None and isinstance(error, Exception):
            raise caller.limit from None
        raise
    finally:
        caller.over = True
        _CALLER.reset(token)
    if caller.limit is not None:
        raise caller.limit


def carried(var: ContextVar[Any]) -> ContextVar[Any]:
    """Makes threads and executors that notebook code starts inside a step inherit the variable."""
    _CARRIED.append(var)
    return var


def _inheriting(function: Callable[P, T]) -> Callable[P, T]:
    """Wraps a function so that it sees the present values of the carried variables in any thread."""
    present = [(var, var.get(None)) for var in _CARRIED]

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        tokens = [(var, var.set(value)) for var, value in present if value is not None]
        try:
            return function(*args, **kwargs)
        finally:
            for var, token in tokens:
                var.reset(token)

    return run


@functools.cache
def _carry_into_threads() -> None:
    """Replaces `Thread.start` and `ThreadPoolExecutor.submit`: before Python 3.14 threads start without context.

    Outside a step both do what they did before.
    """
    start, submit = threading.Thread.start, concurrent.futures.ThreadPoolExecutor.submit

    @functools.wraps(start)
    def start_inside(self: threading.Thread) -> None:
        if _CALLER.get() is not None:
            self.run = _inheriting(self.run)  # type: ignore[method-assign]  # of this thread only
        start(self)

    def submit_inside(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        if _CALLER.get() is None:
            return submit(self, fn, *args, **kwargs)
        work = _inheriting(fn)
        token = _CALLER.set(None)  # the pool's threads may outlive the step
        try:
            return submit(self, work, *args, **kwargs)
        finally:
            _CALLER.reset(token)

    threading.Thread.start = start_inside  # type: ignore[method-assign]  # for every thread of the process
    concurrent.futures.ThreadPoolExecutor.submit = submit_inside  # type: ignore[method-assign]  # as above
