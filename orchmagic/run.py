"""A run: one pass through a graph, from its inputs to a status, a result and a trace.

Statuses: done, capped (a limit was reached; the partial result is kept), failed, cancelled, waiting (for a
person). Whatever ends it, the trace is complete and readable.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchmagic.bridge import Bridge, settle
from orchmagic.context import Context, as_json
from orchmagic.errors import BudgetExceeded, Capped, InputError, OrchError, Stopped, nearest
from orchmagic.events import Event, RunFinished, RunStarted, Status
from orchmagic.graph import Graph
from orchmagic.trace import Record, Trace

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]  # optional, and without stubs

    from orchmagic.models.middleware.budget import Budget


class Run:
    """One run of an orchestration. The values of its steps are attributes: `run.extract.severity`.

    Attributes:
        id: short name, unique in this session.
        inputs: what it was started with (JSON).
        status: running, done, capped, failed, cancelled or waiting.
        output: the result, typed as the cell declared; the partial result when capped.
        error: what went wrong, in one line, or None.
        reason: why it ended as it did, when it did not simply end.
    """

    def __init__(
        self,
        id_: str,
        context: Context,
        compiled: Any,
        trace: Trace,
        budget: Budget,
        inputs: Mapping[str, Any],
        bridge: Bridge,
    ) -> None:
        self.id = id_
        self.inputs = inputs
        self.status: Status = "running"
        self.error: str | None = None
        self.reason: str | None = None
        self.trace = trace
        self._context = context
        self._compiled = compiled
        self._budget = budget
        self._bridge = bridge
        self._done = threading.Event()
        self._future: concurrent.futures.Future[None] | None = None

    @property
    def graph(self) -> Graph:
        """What was run."""
        return self._context.graph

    @property
    def name(self) -> str:
        """The name of the orchestration."""
        return self.graph.name

    @property
    def output(self) -> Any:
        """The result: the value of the last result step that ran."""
        for name in reversed(self.graph.results):
            if self._context.values.get(name) is not None:
                return self._typed(name)
        said = [m.get("content") for m in self._context.values.get("messages", []) if m.get("content")]
        return said[-1] if said else None

    @property
    def record(self) -> Record:
        """The run as plain data, for views and files."""
        return self.trace.snapshot()

    @property
    def cost(self) -> float:
        """US dollars spent, as far as prices are known."""
        return self.record.cost

    @property
    def tokens(self) -> int:
        """Tokens spent, in and out."""
        return self.record.usage.total

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = [n.name for n in self.graph.nodes]
        if name in known:
            return self._typed(name)
        raise AttributeError(f"a run has no {name!r} (steps: {', '.join(known)}){nearest(name, known)}")

    def __getitem__(self, step: str) -> Any:
        """The value of a step whose name is also one of the run's own attributes: `run["status"]`."""
        self.graph.node(step)
        return self._typed(step)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(n.name for n in self.graph.nodes)})

    def __repr__(self) -> str:
        record = self.record
        return f"<Run {self.id} {self.name} {self.status} {record.seconds:.2f} s {record.usage.total} tokens>"

    def receipt(self) -> list[dict[str, Any]]:
        """Every answer of the run: step, model, provider, why that model, tokens, dollars, seconds, cache."""
        from orchmagic.receipt import rows  # noqa: PLC0415 - read on demand

        return rows(self.record)

    def df(self) -> DataFrame:
        """The receipt as a pandas DataFrame.

        Raises:
            ImportError: pandas is not installed; says what to write.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - optional
        except ImportError:
            raise ImportError("run.df() needs pandas: pip install pandas; run.receipt() works without") from None
        return pd.DataFrame(self.receipt())

    def watch(self, listener: Callable[[Event], None]) -> None:
        """Tell `listener` every event from now on; answers are then streamed."""
        self.trace.listeners.append(listener)
        self._context.defaults = replace(self._context.defaults, stream=True)

    def start(self, payload: Any = None) -> None:
        """Begin on the session's loop and return at once."""
        self._done.clear()
        self.status = "running"
        self._future = self._bridge.submit(self._drive(dict(self.inputs) if payload is None else payload))

    def wait(self) -> Run:
        """Wait for the end; an interrupt cancels the run, leaves its partial trace, and is raised again."""
        if self._future is not None:
            try:
                self._bridge.wait(self._future)
            except KeyboardInterrupt:
                settle(self._done)
                raise
        return self

    def settled(self) -> Run:
        """`wait`, but an interrupt ends it with status cancelled instead of being raised again."""
        with suppress(KeyboardInterrupt):
            self.wait()
        return self

    async def ended(self) -> Run:
        """`wait` for coroutines: cancelling it cancels the run."""
        if self._future is not None:
            try:
                await asyncio.wrap_future(self._future)
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self

    def cancel(self) -> None:
        """Stop the run; what it found so far stays."""
        if self._future is not None and not self._done.is_set():
            self._future.cancel()
            settle(self._done)

    def resume(self, answer: object) -> Run:
        """Answer the question that the run waits with, and go on to its end.

        Raises:
            InputError: the run does not wait.
        """
        if self.status != "waiting":
            raise InputError(f"run {self.id} is {self.status}: only a waiting run can be resumed")
        from orchmagic import compile as compiling  # noqa: PLC0415 - heavy

        self.start(compiling.resume(as_json(answer, "answer")))
        return self.wait()

    def _typed(self, name: str) -> Any:
        value = self._context.values.get(name)
        types = self._context.types
        return types[name].rebuild(value) if name in types else value

    async def _drive(self, payload: Any) -> None:
        if not self.trace.events:
            self.trace.add(RunStarted(inputs=self.inputs))
        try:
            status, error, reason = await self._bounded(payload)
        except asyncio.CancelledError:
            status, error, reason = "cancelled", None, "interrupted"
        except OrchError as raised:
            status, error, reason = "failed", str(raised), None
        except Exception as raised:  # noqa: BLE001 - a run never loses its trace, whatever went wrong
            status, error, reason = "failed", f"{type(raised).__name__}: {raised}", None
        self._finish(status, error, reason)

    async def _bounded(self, payload: Any) -> tuple[Status, str | None, str | None]:
        limits = self.graph.limits
        try:
            async with asyncio.timeout(limits.deadline) as clock:
                state = await self._compiled.ainvoke(
                    payload,
                    context=self._context,
                    config={"recursion_limit": limits.max_steps + 10, "configurable": {"thread_id": self.id}},
                )
        except TimeoutError:
            if not clock.expired():
                raise
            return "capped", None, f"deadline: {limits.deadline:g} s were not enough"
        except (Capped, BudgetExceeded) as limit:
            return "capped", None, str(limit)
        except Stopped as stopped:
            return "done", None, str(stopped)
        if pauses := state.get("__interrupt__"):
            return "waiting", None, str(pauses[0].value["question"])
        return "done", None, None

    def _finish(self, status: Status, error: str | None, reason: str | None) -> None:
        self.status, self.error, self.reason = status, error, reason
        try:
            output = as_json(self.output, "output")
        except InputError:
            output = repr(self.output)
        self.trace.add(RunFinished(status=status, output=output, error=error, reason=reason))
        self._done.set()
