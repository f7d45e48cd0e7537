"""`%%orchtest`: the gates that one run must pass, of a whole orchestration or of one of its steps.

The run is a row, as those of an evaluation: it is stored by its inputs, asks no model twice, and is no run of the
history.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchmagic.core.text_format import counted, shorten, table
from orchmagic.core.user_code import described
from orchmagic.errors import InputError, OrchtestFailed, nearest
from orchmagic.evaluation.evaluate import check_writes, with_stand_ins
from orchmagic.evaluation.scope import OWN, Scope
from orchmagic.graph.model import Call
from orchmagic.language import expression
from orchmagic.runtime.inputs import missing_names
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.row_outcome import Outcome
from orchmagic.runtime.row_runs import Case, RowRuns, Subject

_WIDEST = 60  # characters of a value


@dataclass(frozen=True, slots=True)
class TriedGate:
    """A gate, whether it holds, and the values that it read."""

    source: str
    holds: bool
    values: Mapping[str, object]

    @property
    def read(self) -> str:
        """`product is 'billing'`."""
        return ", ".join(f"{name} is {shorten(repr(value), _WIDEST)}" for name, value in self.values.items())


@dataclass(frozen=True, slots=True)
class GateTable:
    """The gates of one run of `name`. Its text has no clock and no price: the same answer gives the same text."""

    name: str
    gates: tuple[TriedGate, ...]

    @property
    def failed(self) -> list[TriedGate]:
        return [gate for gate in self.gates if not gate.holds]

    def __str__(self) -> str:
        failed = f"{len(self.failed)} of {counted(len(self.gates), 'gate')} failed"
        rows = [("  holds" if g.holds else "  failed", g.source, g.read) for g in self.gates]
        return f"{self.name}: {failed}\n{table(rows)}"

    def check(self) -> None:
        """Raises OrchtestFailed if a gate does not hold."""
        if self.failed:
            first, more = self.failed[0], len(self.failed) - 1
            found = f": {first.read}" * bool(first.values) + f" (and {counted(more, 'more gate')})" * bool(more)
            raise OrchtestFailed(f"{self.name}: gate {first.source} failed{found}")


class GateTest:
    """A test that can be run: `sources` are the gates, `given` the inputs by name; other inputs are notebook variables.

    Raises:
        InputError: there is no gate, an input is missing or unknown, a gate reads an unknown name, or a tool writes.
    """

    def __init__(
        self,
        made: Orchestration,
        given: Mapping[str, Any],
        sources: Iterable[str],
        *,
        stand_in: Mapping[str, Callable[..., Any]] | None = None,
        budget: float | None = None,
        allow_writes: bool = False,
    ) -> None:
        made.refresh()
        self._factory = with_stand_ins(made.factory, stand_in or {})
        self._subject = Subject(made.definition, made.options, self._factory)
        self._given = dict(given)
        self._sources = tuple(sources)
        self.name = made.definition.name
        if not self._sources:
            raise InputError(f"{self.name} is tested by no gate: write gate output == …")
        self._check_inputs()
        check_writes(self.name, self._subject, 1, allow_writes=allow_writes)
        if (fields := self._declared()) is not None:
            self._check_names(fields)
        case = Case(self._subject, self._subject.inputs(self._given))
        self._cases = [(case.key, case)]
        self._runner = RowRuns(self._factory, budget=budget, may_write=allow_writes)

    def run(self) -> GateTable:
        """Runs the step, unless its answer is stored, and tries the gates.

        Raises:
            OrchtestFailed: the run gave no answer that gates could be tried on.
            InputError: a gate raised, or is neither true nor false.
        """
        return self._tried(self._runner.run(self._cases))

    async def arun(self) -> GateTable:
        """Like `run`, for coroutines."""
        return self._tried(await self._runner.arun(self._cases))

    def _check_inputs(self) -> None:
        graph, space = self._subject.graph, self._factory.services.namespace
        for name in self._given:
            if name not in graph.inputs:
                known = ", ".join(graph.inputs) or "none"
                raise InputError(f"{name!r} is no input of {self.name} (inputs: {known}){nearest(name, graph.inputs)}")
        missing = [name for name in missing_names(graph, space, self._given) if name in graph.inputs]
        if missing:
            raise InputError(f"{self.name} needs {', '.join(missing)}: write {missing[0]} = … above the gates")

    def _declared(self) -> set[str] | None:
        """The fields of the output; None if they are known only after the run."""
        graph, found = self._subject.graph, set[str]()
        for node in map(graph.node, graph.results):
            if not isinstance(node, Call) or node.votes or node.each or node.output.kind not in {"text", "fields"}:
                return None
            found |= {field.name for field in node.output.fields}
        return found

    def _check_names(self, fields: Iterable[str]) -> None:
        steps = {node.name for node in self._subject.graph.nodes}
        known = {*OWN, *steps, *self._given, *self._subject.graph.inputs, *fields}
        space = self._factory.services.namespace
        for source in self._sources:
            for name in sorted(expression.names(source)):
                places = [what for what, names in (("an input", self._given), ("a step", steps)) if name in names]
                if places and name in {*fields}:
                    raise InputError(
                        f"gate {source}: {name!r} is {places[0]} and a field of the output: write output.{name} for "
                        f"the field, {'row' if name in self._given else 'run'}.{name} for the other"
                    )
                if name not in known and name not in space:
                    close = nearest(name, [*known, *(n for n in space if not n.startswith("_"))])
                    raise InputError(f"gate {source}: {name!r} is no input, field, step or notebook name{close}")

    def _tried(self, outcomes: Mapping[str, Outcome]) -> GateTable:
        [outcome] = outcomes.values()
        if outcome.failed or not outcome.has_answer:
            ended = {"failed": "the run failed", "waiting": "the run waits for a person"}
            how = "there is no answer" if not outcome.has_answer else ended.get(outcome.status, outcome.status)
            raise OrchtestFailed(f"{self.name}: {how}{f': {outcome.error}' * bool(outcome.error)}")
        scope = Scope(self._subject, outcome, self._given)
        fields = dict(_fields(scope.values["output"]))
        self._check_names(fields)
        scope.values = {**fields, **scope.values}
        names = scope.over(ChainMap(self._subject.inputs(self._given), self._factory.services.namespace))
        return GateTable(self.name, tuple(_try(source, names) for source in self._sources))


def _fields(value: object) -> Iterator[tuple[str, Any]]:
    """The fields of an output: of a mapping its text keys, of an object its attributes; a text has none."""
    found = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
    yield from ((n, v) for n, v in found.items() if isinstance(n, str) and n.isidentifier() and not n.startswith("_"))


def _try(source: str, names: Mapping[str, Any]) -> TriedGate:
    try:
        value = expression.evaluate(source, names)
    except Exception as error:
        raise InputError(f"gate {source} raised {described(error)}") from error
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, bool):
        found = f"{type(value).__name__} ({shorten(repr(value), _WIDEST)})"
        raise InputError(f"gate {source} is {found}: write a comparison, which is true or false")
    return TriedGate(source, value, expression.parts(source, names))
