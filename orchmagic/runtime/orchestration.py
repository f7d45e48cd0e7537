"""What a cell's name is bound to: a callable that runs its graph, looks into it, and writes it as a module."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.core.numbers import counted
from orchmagic.errors import InputError, nearest
from orchmagic.graph.model import Call, Graph, Sub
from orchmagic.graph.standard_types import STANDARD_TYPES
from orchmagic.language.magic_line import RunOptions
from orchmagic.runtime.context import as_json
from orchmagic.runtime.run import Run

if TYPE_CHECKING:
    from orchmagic.graph.estimate import Estimate
    from orchmagic.runtime.session import Session


class Orchestration:
    """A named graph of the notebook: `triage(ticket="…")` runs it and returns a Run.

    Inputs that are not passed are looked up in the notebook when it runs.
    """

    def __init__(self, definition: Graph, options: RunOptions, session: Session) -> None:
        self.definition = definition
        self.options = options
        self.last: Run | None = None
        self._session = session
        self.__name__ = definition.name
        self.__doc__ = f"%%{definition.pattern} {definition.name}({', '.join(definition.inputs)})"

    @cached_property
    def graph(self) -> Any:
        """The compiled LangGraph: `await triage.graph.ainvoke({"ticket": "…"})` returns the final state."""
        return self._session.compiled(self.definition, self.options)

    def refresh(self) -> None:
        """Take in what changed in the orchestrations that this one runs."""
        now = self._session.current(self)
        if now is not self.definition:
            self.definition = now
            self.__dict__.pop("graph", None)

    def __call__(self, *args: object, **inputs: object) -> Run:
        """Run to the end (or until a person is needed)."""
        return self.start(*args, **inputs).wait()

    async def arun(self, *args: object, **inputs: object) -> Run:
        """The same from a coroutine; cancelling it cancels the run."""
        return await self.start(*args, **inputs).ended()

    def start(self, *args: object, **inputs: object) -> Run:
        """Begin a run in the background and return it; `run.wait()` waits."""
        run = self.prepare(*args, **inputs)
        run.start()
        return run

    def prepare(self, *args: object, **inputs: object) -> Run:
        """A run that has not begun.

        Raises:
            InputError: an input is missing, unknown, or not JSON.
        """
        self.refresh()
        self.last = self._session.new_run(self, self.bind(args, inputs))
        return self.last

    def bind(self, args: tuple[object, ...] = (), given: Mapping[str, object] | None = None) -> dict[str, Any]:
        """The inputs of a run as JSON: what is passed, the rest from the notebook."""
        names = self.definition.inputs
        passed = dict(given or {})
        if len(args) > len(names):
            raise InputError(f"{self.__name__} takes {len(names)} inputs ({', '.join(names)}), not {len(args)}")
        passed |= dict(zip(names, args, strict=False))
        if unknown := [n for n in passed if n not in names]:
            raise InputError(
                f"{self.__name__} has no input {', '.join(map(repr, unknown))} (inputs: {', '.join(names) or 'none'})"
                f"{nearest(unknown[0], names)}"
            )
        if missing := self.missing(passed):
            raise InputError(
                f"{self.__name__} needs {', '.join(missing)}: define {missing[0]} in the notebook"
                + (f", or pass {missing[0]}=…" if missing[0] in names else "")
            )
        space = self._session.namespace
        return {n: as_json(passed[n] if n in passed else space[n], n) for n in names}

    def missing(self, passed: Mapping[str, object] | None = None) -> list[str]:
        """The inputs and functions that are neither passed nor in the notebook."""
        wanted = (*self.definition.inputs, *(n for n in self.definition.code if n not in STANDARD_TYPES))
        return [n for n in wanted if n not in (passed or {}) and n not in self._session.namespace]

    def step(self, name: str) -> Orchestration:
        """One step on its own: `triage.step("extract")(ticket="…")`; what it reads of other steps becomes inputs.

        Raises:
            InputError: there is no such step.
        """
        try:
            node = self.definition.node(name)
        except KeyError as error:
            raise InputError(error.args[0]) from None
        return Orchestration(self._session.alone(self.definition, node), self.options, self._session)

    def estimate(self, **inputs: object) -> Estimate:
        """Calls, tokens and dollars of one run, at least and at most; nothing is called."""
        return self._session.estimate(self.definition, self.options, inputs)

    def export(self, file: str | Path, *, overwrite: bool = False, langgraph_json: bool = False) -> Path:
        """Write the graph as a module that runs without orchmagic; `langgraph_json` for LangGraph's server, too.

        Raises:
            ExportError: something cannot leave the notebook, or the file is not ours to overwrite.
        """
        self.refresh()
        how = {"overwrite": overwrite, "langgraph_json": langgraph_json}
        return self._session.export(self.definition, self.options, Path(file), **how)

    def __repr__(self) -> str:
        calls = sum(isinstance(n, Call | Sub) for n in self.definition.nodes)
        inputs = ", ".join(self.definition.inputs)
        return f"<%%{self.definition.pattern} {self.__name__}({inputs}): {counted(calls, 'model step')}>"
