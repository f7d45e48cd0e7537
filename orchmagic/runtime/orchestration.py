"""Orchestration: the callable that a cell defines. Runs its graph, estimates its cost and exports it as a module."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orchmagic.core.text_format import counted
from orchmagic.graph.composition import pauses
from orchmagic.graph.model import Call, Sub
from orchmagic.runtime.cell_reader import CellDefinition, CellReader
from orchmagic.runtime.inputs import bind_inputs, missing_names, nearest_variable
from orchmagic.runtime.run import Run
from orchmagic.runtime.run_factory import RunFactory
from orchmagic.runtime.run_plan import RunPlan

if TYPE_CHECKING:
    from orchmagic.graph.estimate import Estimate


class Orchestration:
    """A named graph of the notebook: `triage(ticket="…")` runs it and returns a Run.

    Inputs that are not passed are looked up in the notebook when it runs.
    """

    def __init__(self, cell: CellDefinition, factory: RunFactory, reader: CellReader) -> None:
        definition = cell.definition
        self.definition = definition
        self.options = cell.options
        self.last: Run | None = None
        self._execution = ""
        self._numbers: Counter[str] = Counter()
        self._factory = factory
        self._services = factory.services
        self._reader = reader
        self.__name__ = definition.name
        self.__doc__ = f"%%{definition.pattern} {definition.name}({', '.join(definition.inputs)})"

    @property
    def factory(self) -> RunFactory:
        """Creates the runs of this orchestration."""
        return self._factory

    @property
    def reader(self) -> CellReader:
        """Reads the cells of this notebook."""
        return self._reader

    @cached_property
    def graph(self) -> Any:
        """The compiled LangGraph: `await triage.graph.ainvoke({"ticket": "…"})` returns the final state."""
        return self._factory.compiled(self.definition, self.options)

    def refresh(self) -> None:
        """Updates the graph with the current definitions of its inner orchestrations."""
        now = self._reader.current(self.definition)
        if now is not self.definition:
            self.definition = now
            self.__dict__.pop("graph", None)

    def __call__(self, *args: object, **inputs: object) -> Run:
        """Runs until the end or until a person must answer.

        Called by the code of a step of another run, it is a part of that run; see `runtime.caller`.
        """
        self._services.loop.must_not_be_current()  # before anything is started and paid
        return self.start(*args, **inputs).wait()

    async def arun(self, *args: object, **inputs: object) -> Run:
        """Like `__call__`, for coroutines; cancelling it cancels the run."""
        return await self.start(*args, **inputs).ended()

    def start(self, *args: object, **inputs: object) -> Run:
        """Starts a run in the background and returns it; `run.wait()` waits for its end."""
        run = self.prepare(*args, **inputs)
        run.start()
        return run

    def prepare(self, *args: object, **inputs: object) -> Run:
        """Creates a run without starting it.

        Raises:
            InputError: an input is missing, unknown, or not JSON.
        """
        self.refresh()
        given = bind_inputs(self.definition, self._services.namespace, args, inputs)
        compiled = None if pauses(self.definition) else self.graph  # a graph that pauses needs durable checkpoints
        self.last = self._factory.new_run(
            RunPlan(self.definition, self.options, given, turn=self._turn(given)), compiled
        )
        return self.last

    def _turn(self, inputs: Mapping[str, Any]) -> str:
        """The key of a run's turn in a thread: the cell that runs, its inputs, and the how manieth such run this is.

        So "Run all" replaces the turns of the cells that it runs again. Without a kernel that names its cells, it is
        the cell that defines the orchestration.
        """
        cell, execution = self._services.cell()
        if execution != self._execution:
            self._execution, self._numbers = execution, Counter()
        text = json.dumps([cell or self.definition.source, self.definition.name, inputs], sort_keys=True, default=repr)
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self._numbers[key] += 1
        return f"{key}:{self._numbers[key]}"

    def map(
        self,
        table: Any,
        out: str | Path | None = None,
        *,
        concurrency: int | None = None,
        budget: float | None = None,
        on_error: Literal["keep", "raise"] = "keep",
        engine: object = None,
        watch: Callable[[Any], None] = lambda _: None,
    ) -> Any:
        """Runs on each row of a table, whose columns are the inputs; other inputs are notebook variables.

        Returns a table of the same kind (pandas with its index, polars, Arrow, data set, list of dicts), with the
        output beside the rows and `_status _error _verified _cost _seconds _run`. A path is a CSV, JSONL or Parquet
        file; it is streamed to the file `out`. What has an answer is not asked again. `budget` is in US dollars, for
        all rows together; `on_error="raise"` raises after the last row if one failed. `engine` is "processes", "dask",
        "dask://HOST:PORT", or any `concurrent.futures.Executor`, whose workers run the rows.

        Raises:
            InputError: it is no table, a row lacks an input, or something cannot travel to the workers.
        """
        from orchmagic.runtime.mapping import Mapped  # noqa: PLC0415 - on demand
        from orchmagic.runtime.row_runs import Subject  # noqa: PLC0415 - as above

        self._services.loop.must_not_be_current()
        self.refresh()
        subject = Subject(self.definition, self.options, self._factory)
        mapped = Mapped(subject, concurrency=concurrency, budget=budget, on_error=on_error, engine=engine, watch=watch)
        return mapped.over(table, out)

    def missing(self) -> list[str]:
        """The inputs and functions that are not defined in the notebook."""
        return missing_names(self.definition, self._services.namespace, {})

    def nearest_variable(self, name: str) -> str:
        """Returns `; did you mean 'ticket'?` if a notebook variable is close to the missing name, else ""."""
        return nearest_variable(name, self._services.namespace)

    def step(self, name: str) -> Orchestration:
        """A single step: `triage.step("extract")(ticket="…")`; values of other steps that it reads become inputs.

        Raises:
            InputError: there is no such step.
        """
        cell = CellDefinition(self.definition, self.options).step(name)
        return Orchestration(cell, self._factory, self._reader)

    def estimate(self, **inputs: object) -> Estimate:
        """Estimates minimum and maximum of calls, tokens and US dollars of one run; makes no call."""
        from orchmagic.graph.estimate import Models, estimate  # noqa: PLC0415 - on demand

        services, graph, space = self._services, self.definition, self._services.namespace
        known = {n: inputs.get(n, space.get(n)) for n in graph.inputs if n in inputs or n in space}
        models = Models(services.models.deployment, services.models.pool, services.settings.now, services.environ)
        return estimate(graph, known, space, models, services.call_defaults(self.options))

    def export(self, file: str | Path, *, overwrite: bool = False, langgraph_json: bool = False) -> Path:
        """Writes a module that runs without orchmagic; `langgraph_json` adds the file for LangGraph's server.

        Raises:
            ExportError: the graph cannot be exported, or `file` is not an unedited export and `overwrite` is off.
        """
        from orchmagic.export import write  # noqa: PLC0415 - on demand

        self.refresh()
        services = self._services
        return write(
            self.definition,
            services.namespace,
            services.models.deployment,
            services.call_defaults(self.options),
            Path(file),
            services.models.pool,
            thread=self.options.thread,
            overwrite=overwrite,
            langgraph_json=langgraph_json,
        )

    def __repr__(self) -> str:
        calls = sum(isinstance(n, Call | Sub) for n in self.definition.nodes)
        inputs = ", ".join(self.definition.inputs)
        return f"<%%{self.definition.pattern} {self.__name__}({inputs}): {counted(calls, 'model step')}>"
