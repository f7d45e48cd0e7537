"""Loads runs of this or an earlier kernel from the history, to show, answer, resume or replay them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from orchmagic.errors import CellError, InputError, SettingsError
from orchmagic.graph.model import Code, Graph
from orchmagic.language.magic_line import RunOptions
from orchmagic.runtime.cell_reader import CellDefinition, CellReader, split
from orchmagic.runtime.inputs import bound_again, missing_names
from orchmagic.runtime.replay import ReplaySpec
from orchmagic.runtime.run_factory import RunFactory
from orchmagic.runtime.run_plan import RunPlan

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.storage.runs import Stored
    from orchmagic.trace.record import Record


class RunLookup:
    """Finds runs by their ids."""

    def __init__(
        self, factory: RunFactory, reader: CellReader, bind: Callable[[CellDefinition, Run], None] = lambda *_: None
    ) -> None:
        """`bind` gets the cell of a run that is resumed, to bind its name in the notebook."""
        self._bind = bind
        self._factory = factory
        self._reader = reader

    def run(self, number: str) -> Run:
        """Returns a run that is in memory, or restores it from the history.

        A run whose notebook functions are not defined here can be shown, compared and replayed; `Run.lacks` says what
        is missing to resume it.

        Raises:
            InputError: there is no such run.
        """
        for run in self._factory.runs:
            if run.id == number:
                return run
        services = self._factory.services
        services.learn_keys()
        stored = services.history.store.run(number)
        cell, inputs, lacks = self._runnable(stored)
        if cell is None:
            plan = RunPlan(_shown_graph(stored), RunOptions(), stored.inputs, stored.parent)
            return self._factory.stored_run(stored, plan, lacks=lacks)
        replay = _replay_spec(stored)
        plan = RunPlan(replay.graph(cell.definition), cell.options, inputs, stored.parent, replay)
        run = self._factory.stored_run(stored, plan)
        run.on_resume = partial(self._bind, cell)
        return run

    def latest(self, limit: int = 50, name: str | None = None) -> list[Stored]:
        """The latest runs of the history, newest first; runs in memory with their current status."""
        at_hand = {run.id: run for run in self._factory.runs}
        rows = self._factory.services.history.store.runs(limit, name)
        return [_now(row, at_hand[row.id].record) if row.id in at_hand else row for row in rows]

    def _runnable(self, stored: Stored) -> tuple[CellDefinition | None, Mapping[str, Any], str]:
        """The cell and the inputs of a run, or None and what is missing to run it."""
        try:
            cell = self._definition(stored)
            again = partial(bound_again, cell.definition, self._factory.services.namespace)
            inputs = self._factory.services.history.store.inputs(stored, again)
            _replay_spec(stored)
        except (InputError, SettingsError) as error:
            return None, {}, str(error)
        missing = missing_names(replace(cell.definition, inputs=()), self._factory.services.namespace, {})
        if missing:
            lacks = f"run {stored.id} needs {', '.join(missing)} of its notebook: run the cell that defines it"
            return None, {}, lacks
        return cell, inputs, ""

    def _definition(self, stored: Stored) -> CellDefinition:
        """Reads its stored cell; inner orchestrations that the notebook lacks are defined for this run only."""
        if stored.keyless:
            raise InputError(f"run {stored.id}: its cell held an API key, which is not stored: run the cell again")
        namespace = self._factory.services.namespace
        space: ChainMap[str, object] = ChainMap({}, namespace)
        try:
            for name, text in stored.sources.items():
                if name not in namespace:
                    space[name] = self._reader.read(*split(text), space)
            return self._reader.read_source(stored.source, stored.name, space)
        except CellError as error:
            problems = "; ".join(p.found for p in error.problems)
            raise InputError(f"run {stored.id} ({stored.name}) does not fit this notebook: {problems}") from None


def _replay_spec(stored: Stored) -> ReplaySpec:
    """How the run differs from the one that it replays.

    Raises:
        InputError: another version of orchmagic stored it in another form.
    """
    try:
        return ReplaySpec(**(stored.options or {}))
    except TypeError as error:
        raise InputError(f"run {stored.id} does not fit: another version of orchmagic began it ({error})") from None


def _shown_graph(stored: Stored) -> Graph:
    """A graph with the steps of the record, for a run that cannot be run here: their values need no notebook."""
    spans = (stored.record or {}).get("spans", ())
    names = dict.fromkeys(str(s["name"]) for s in spans if s.get("parent") is None) or {"nothing": None}
    nodes = tuple(Code(name, "None") for name in names)
    return Graph(stored.name, stored.pattern, nodes, (), tuple(names), tuple(stored.inputs), source=stored.source)


def _now(stored: Stored, record: Record) -> Stored:
    return replace(
        stored,
        status=record.status,
        seconds=record.seconds,
        tokens=record.usage.total,
        cost=record.cost,
        unpriced=record.unpriced,
    )
