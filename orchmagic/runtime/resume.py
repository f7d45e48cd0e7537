"""Loads runs of this or an earlier kernel from the history, to show, answer, resume or replay them."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import replace
from typing import TYPE_CHECKING

from orchmagic.errors import CellError, InputError
from orchmagic.runtime.cell_reader import CellDefinition, CellReader, split
from orchmagic.runtime.inputs import missing_names
from orchmagic.runtime.replay import ReplaySpec
from orchmagic.runtime.run_factory import RunFactory
from orchmagic.runtime.run_plan import RunPlan

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.storage.runs import Stored
    from orchmagic.trace.record import Record


class RunLookup:
    """Finds runs by their ids."""

    def __init__(self, factory: RunFactory, reader: CellReader) -> None:
        self._factory = factory
        self._reader = reader

    def run(self, number: str) -> Run:
        """Returns a run that is in memory, or restores it from the history.

        Raises:
            InputError: there is no such run, or its notebook functions are not defined here.
        """
        for run in self._factory.runs:
            if run.id == number:
                return run
        services = self._factory.services
        stored = services.history.store.run(number)
        cell = self._definition(stored)
        if missing := missing_names(replace(cell.definition, inputs=()), services.namespace, {}):
            raise InputError(f"run {number} needs {', '.join(missing)} of its notebook: run the cell that defines it")
        replay = ReplaySpec(**(stored.options or {}))
        plan = RunPlan(replay.graph(cell.definition), cell.options, stored.inputs, stored.parent, replay)
        return self._factory.stored_run(stored, plan)

    def latest(self, limit: int = 50, name: str | None = None) -> list[Stored]:
        """The latest runs of the history, newest first; runs in memory with their current status."""
        at_hand = {run.id: run for run in self._factory.runs}
        rows = self._factory.services.history.store.runs(limit, name)
        return [_now(row, at_hand[row.id].record) if row.id in at_hand else row for row in rows]

    def _definition(self, stored: Stored) -> CellDefinition:
        """Reads its stored cell; inner orchestrations that the notebook lacks are defined for this run only."""
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


def _now(stored: Stored, record: Record) -> Stored:
    return replace(
        stored,
        status=record.status,
        seconds=record.seconds,
        tokens=record.usage.total,
        cost=record.cost,
        unpriced=record.unpriced,
    )
