"""Runs orchestrations on many rows: of an evaluation, or of `map`.

Rows are not runs of the history. Each has an outcome and a record in the row history, found by a key: the fingerprint
of what is run, the inputs, and the number of the repeat. A row that has an answer there is not run again; one that was
interrupted goes on from its journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from orchmagic.errors import InputError, SettingsError
from orchmagic.graph.composition import nested
from orchmagic.graph.model import Graph
from orchmagic.graph.value_types import ValueTypes
from orchmagic.language.magic_line import RunOptions
from orchmagic.models import images
from orchmagic.models.batching import AT_ONCE
from orchmagic.models.budget import SharedBudget, Spend
from orchmagic.models.wire.urls import base
from orchmagic.runtime.context import result
from orchmagic.runtime.feedback import Feedback
from orchmagic.runtime.fingerprint import digest, fingerprint, tools_of
from orchmagic.runtime.inputs import bind_inputs
from orchmagic.runtime.row_engine import RowEngine, engine_of
from orchmagic.runtime.row_outcome import Outcome
from orchmagic.runtime.run import Run
from orchmagic.runtime.run_factory import RunFactory, new_trace
from orchmagic.runtime.run_plan import RunPlan
from orchmagic.runtime.services import Services
from orchmagic.runtime.tools import WriteScope, writes
from orchmagic.runtime.waves import in_batches
from orchmagic.storage.journal import Journal, NoJournal

CONCURRENCY = 16


class RowBudget(SharedBudget):
    """The budget of all rows of one evaluation or `map`. `money` is in US dollars, None: no limit."""

    def advice(self, option: str, needed: float) -> tuple[str, str]:
        """(name of the limit, what to write)."""
        _, more = super().advice(option, needed)
        return "budget of all rows", f"raise --budget and run the cell again: {more.partition(' ')[2] or 'it goes on'}"

    @property
    def left(self) -> tuple[float | None, int | None]:
        """(US dollars, tokens) that are neither spent nor reserved, here and in the kernel's budget; None: no limit."""
        money = [b.money - b.spent_cost - b.reserved_cost
                 for b in self.chain if b.money is not None]  # fmt: skip
        tokens = [b.max_tokens - b.spent_tokens - b.reserved_tokens
                  for b in self.chain if b.max_tokens is not None]  # fmt: skip
        return max(0.0, min(money)) if money else None, max(0, min(tokens)) if tokens else None

    def limits(self, share: Spend) -> list[list[Any]]:
        """This budget and the kernel's as JSON, so far spent that `share` is what is left of each: for `restored`."""
        return [
            [
                b.money, b.spent_cost if b.money is None else b.money - (share.cost or 0.0),
                b.max_tokens, b.spent_tokens if b.max_tokens is None else b.max_tokens - share.tokens,
            ]
            for b in self.chain
        ]  # fmt: skip

    @classmethod
    def restored(cls, limits: Sequence[Sequence[Any]]) -> RowBudget:
        """The budget of a worker, from `limits`."""
        whole = SharedBudget()
        found = cls(whole)
        for budget, (money, cost, most, tokens) in zip((found, whole), limits, strict=True):
            budget.money, budget.spent_cost, budget.max_tokens, budget.spent_tokens = money, cost, most, tokens
        return found


def address(services: Services) -> str:
    """The address of the OpenAI-compatible endpoint for models that name none; "" if it cannot be read."""
    try:
        return base(services.environ) or ""
    except SettingsError:
        return ""


class Subject:
    """What is run on rows: a graph with its options, compiled once."""

    def __init__(self, graph: Graph, options: RunOptions, factory: RunFactory) -> None:
        self.graph = graph
        self.options = options
        self.factory = factory
        self._traces: dict[str, Any] = {}

    @cached_property
    def kinds(self) -> ValueTypes:
        """The types of its values."""
        return ValueTypes(self.graph, self.factory.services.namespace)

    @cached_property
    def fingerprint(self) -> str:
        """Equal as long as a stored answer may be used again."""
        return fingerprint(self.graph, self.options, self.factory.services)

    @cached_property
    def in_batches(self) -> bool:
        """Whether its calls may go through a Batch API."""
        return in_batches(self.graph, self.options, self.factory.services)

    @cached_property
    def compiled(self) -> Any:
        """The compiled LangGraph."""
        return self.factory.compiled(self.graph, self.options)

    @cached_property
    def trace_fields(self) -> dict[str, Any]:
        """What all its traces have in common."""
        return self.factory.trace_fields(self.graph, self.options)

    @cached_property
    def repeated(self) -> RunOptions:
        """The options of a repeat, which must not be answered from the cache."""
        return replace(self.options, no_cache=True)

    @property
    def writers(self) -> list[str]:
        """The names of the notebook's functions that it may call and that are marked `writes=True`."""
        space = self.factory.services.namespace
        names = (n for g in (*nested(self.graph), self.graph) for n in (*tools_of(g), *g.code))
        return [n for n in dict.fromkeys(names) if writes(space.get(n))]

    def inputs(self, row: Mapping[str, object]) -> dict[str, Any]:
        """The inputs of a run on a row, as JSON: its columns, the rest from notebook variables.

        Raises:
            InputError: one is missing, or is not JSON.
        """
        given = {n: row[n] for n in self.graph.inputs if n in row}
        return bind_inputs(self.graph, self.factory.services.namespace, (), given)

    def output(self, outcome: Outcome) -> Any:
        """The output of a run, typed as the cell declared; None if it has none."""
        name, value = result(self.graph, outcome.values)
        return self.kinds.typed(name, value) if name else outcome.output

    def value(self, outcome: Outcome, step: str) -> Any:
        """The value of a step, typed as the cell declared."""
        return self.kinds.typed(step, outcome.values.get(step))


@dataclass(frozen=True, slots=True)
class Case:
    """One run on one row. `repeat` counts from 1; equal cases have equal keys, and run once."""

    subject: Subject
    inputs: Mapping[str, Any]
    repeat: int = 1

    @property
    def key(self) -> str:
        """The key of the row in the row history."""
        return digest([self.subject.fingerprint, self.inputs, self.repeat])


@dataclass(slots=True)
class Progress:
    """How far the rows are: `total` cases, of which `done` have an answer or failed, `stored` were there before."""

    total: int = 0
    stored: int = 0
    done: int = 0
    unanswered: int = 0
    paid: float = 0.0
    cached: int = 0


class RowRuns:
    """Runs cases, at most `concurrency` at once, and stores their outcomes.

    `watch` is called on the session's loop after each case. `may_write`: tools that write may be called. `engine` names
    workers, or is an executor, see `row_engine`; None: the rows run in this process. `close` ends the workers.
    """

    def __init__(
        self,
        factory: RunFactory,
        *,
        concurrency: int | None = None,
        budget: float | RowBudget | None = None,
        may_write: bool = False,
        engine: object = None,
        watch: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._factory = factory
        self._services = factory.services
        self._at_once = concurrency
        self._may_write = may_write
        self._open_engine = None if engine is None else engine_of(engine)
        self._engine: RowEngine | None = None
        self._job: tuple[list[Subject], dict[str, Any]] = ([], {})
        self._refused = "" if may_write else "rows run without writes; give a stand-in for it"
        if isinstance(budget, RowBudget):
            self._budget = budget
        else:
            self._budget = RowBudget(self._services.budget.whole)
            self._budget.money = budget
        self._watch = watch
        self.progress = Progress()

    def stored(self, cases: Sequence[tuple[str, Case]]) -> dict[str, Outcome]:
        """The outcomes that the row history has, by key."""
        found = self._services.history.rows.outcomes(key for key, _ in cases)
        outcomes = {key: Outcome.from_json(data) for key, data in found.items()}
        return {key: outcome for key, outcome in outcomes.items() if outcome.has_answer}

    def run(self, cases: Sequence[tuple[str, Case]]) -> dict[str, Outcome]:
        """Runs the cases (key, case) that have no stored answer and returns the outcomes of all, by key.

        An interrupt stops the open ones and is raised; what is done is stored.

        Raises:
            SettingsError: a model is unknown or has no API key.
        """
        open_cases, found = self._open(cases)
        if open_cases:
            found |= self._services.loop.run(self._all(open_cases))
        return found

    async def arun(self, cases: Sequence[tuple[str, Case]]) -> dict[str, Outcome]:
        """Like `run`, for coroutines on another loop, such as the kernel's; cancelling it stops the open cases."""
        open_cases, found = self._open(cases)
        if open_cases:
            future = self._services.loop.submit(self._all(open_cases))
            try:
                done = await self._services.loop.waited(future)
            except asyncio.CancelledError:
                future.cancel()
                raise
            found |= done
        return found

    def _open(self, cases: Sequence[tuple[str, Case]]) -> tuple[dict[str, Case], dict[str, Outcome]]:
        found = self.stored(cases)
        rest = {key: case for key, case in cases if key not in found}
        self.progress.total += len(found) + len(rest)
        self.progress.stored += len(found)
        subjects = [*{id(c.subject): c.subject for c in rest.values()}.values()]
        for subject in subjects:
            self._factory.check_models(subject.graph, subject.options)
        if rest and self._open_engine is not None and any(s.in_batches for s in subjects):
            raise InputError("rows that wait for batches run in this kernel, which gathers them: leave the engine out")
        if rest and self._open_engine is not None:
            from orchmagic.runtime.row_blocks import job_of  # noqa: PLC0415 - it imports this module

            self._job = subjects, job_of(subjects, self._services, may_write=self._may_write)
            self._engine = self._engine or self._open_engine()
        elif rest:
            _ = [(s.compiled, s.kinds, s.trace_fields) for s in subjects]
        return rest, found

    def close(self) -> None:
        """Ends the workers of an engine that was started here. Safe to call twice."""
        engine, self._engine = self._engine, None
        if engine is not None:
            self._services.loop.finish(engine.close())

    async def _all(self, cases: Mapping[str, Case]) -> dict[str, Outcome]:
        if self._engine is not None:
            return await self._on_engine(self._engine, cases)
        rows = self._services.history.rows
        name = next(iter(cases.values())).subject.graph.name
        numbers = await asyncio.to_thread(rows.begin, name, cases)
        waits = any(case.subject.in_batches for case in cases.values())
        room = asyncio.Semaphore(self._at_once or (AT_ONCE if waits else CONCURRENCY))
        found = dict[str, Outcome]()

        async def one(key: str, case: Case) -> None:
            async with room:
                found[key] = await self._case(numbers.get(key), case)

        tasks = [asyncio.ensure_future(one(key, case)) for key, case in cases.items()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(rows.database.flush)
        return found

    async def _on_engine(self, engine: RowEngine, cases: Mapping[str, Case]) -> dict[str, Outcome]:
        from orchmagic.runtime.row_blocks import RowBlocks  # noqa: PLC0415 - it imports this module

        rows, found = self._services.history.rows, dict[str, Outcome]()

        def done(key: str, case: Case, outcome: Outcome, record: Any) -> None:
            found[key] = outcome
            if record is not None and (number := rows.begin(case.subject.graph.name, [key]).get(key)) is not None:
                rows.save(number, outcome.to_json(), record, final=outcome.has_answer)
            self._count(outcome)

        subjects, job = self._job
        at_once = self._at_once or CONCURRENCY * engine.slots
        try:
            await RowBlocks(engine, job, subjects, at_once, self._budget, done).run(cases)
        finally:
            await asyncio.to_thread(rows.database.flush)
        return found

    async def _case(self, number: int | None, case: Case) -> Outcome:
        rows = self._services.history.rows
        run = self._new_run(case, number, NoJournal() if number is None else rows.journal(number))
        await run.drive()
        if run.status == "cancelled" and (task := asyncio.current_task()) and task.cancelling():
            raise asyncio.CancelledError
        record = run.record
        outcome = Outcome.of(run, record)
        if number is not None:
            rows.save(number, outcome.to_json(), record.to_json(), final=outcome.has_answer)
        self._count(outcome)
        return outcome

    def _count(self, outcome: Outcome) -> None:
        now = self.progress
        now.done += 1
        now.unanswered += not outcome.has_answer
        now.paid += outcome.paid
        now.cached += bool(outcome.cached and not outcome.asked)
        self._watch(now)

    def _new_run(self, case: Case, number: int | None, journal: Journal) -> Run:
        subject, services = case.subject, self._services
        options = subject.options if case.repeat == 1 else subject.repeated
        id_ = "row" if number is None else f"row{number}"
        trace = new_trace(id_, subject.graph, subject.trace_fields)
        if (audit := services.history.audit) is not None:
            audit.follow(trace)
        context = subject.factory.context(
            subject.graph, options, trace.add, journal, kinds=subject.kinds, shared=self._budget
        )
        context.run = id_
        context.remark = trace.remark
        context.has_images = images.among(case.inputs)
        scope = WriteScope(services.history.store.ledger, id_, refused=self._refused)
        plan = RunPlan(subject.graph, options, case.inputs)
        return Run(id_, plan, context, subject.compiled, trace, _RowHistory(scope), f"{id_}-{id(context)}")


@dataclass(frozen=True, slots=True)
class _RowHistory:
    """Implements `RunHistory` for a row: its outcome is stored by RowRuns, and it is not resumed as a run."""

    writes: WriteScope

    def save(self, run: Run) -> None:
        """Nothing: the row is not a run of the history."""

    def flush(self) -> None:
        """Nothing, as above."""

    def claim(self, run: Run) -> None:
        raise InputError(f"{run.id} is a row: evaluate it again, or run {run.name} on its inputs")

    def forget_checkpoint(self, run: Run) -> None:
        """Nothing: it has none that outlives it."""

    def copy(self, run: Run) -> Run:
        raise InputError(f"{run.id} is a row: run {run.name} on its inputs")

    def replay(self, run: Run, *_: object) -> Run:
        raise InputError(f"{run.id} is a row: run {run.name} on its inputs")

    def retry(self, run: Run, *_: object) -> Run:
        raise InputError(f"{run.id} is a row: evaluate it again")

    def judge(self, run: Run, _: Feedback) -> None:
        raise InputError(f"{run.id} is a row: run {run.name} on its inputs, and judge that run")

    def feedback(self, _: Run) -> None:
        """Nothing: nobody can judge a row."""
