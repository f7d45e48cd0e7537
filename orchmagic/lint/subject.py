"""What the rules read of one orchestration: its graph, the models it resolves to, its estimate, its earlier runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchmagic.errors import SettingsError
from orchmagic.graph.checks import sources
from orchmagic.graph.estimate import Estimate, Models
from orchmagic.graph.model import Call, Code, Graph, Node, Sub
from orchmagic.graph.resolution import CallDefaults
from orchmagic.language import expression
from orchmagic.language.cell import parse
from orchmagic.language.syntax import Control
from orchmagic.models.pricing import prices
from orchmagic.models.types import Deployment
from orchmagic.patterns import PATTERNS
from orchmagic.runtime.cell_reader import split
from orchmagic.runtime.fingerprint import digest, version
from orchmagic.storage.row_store import PastEvaluation
from orchmagic.trace.record import Record


@dataclass(frozen=True, slots=True)
class ModelStep:
    """A model call of the cell. `name` is the step in the cell that it belongs to: of an agent the agent's name."""

    name: str
    call: Call
    defaults: CallDefaults

    @property
    def models(self) -> tuple[str, ...]:
        """The models that answer, the first one first, without fallbacks."""
        return self.defaults.models(self.call)


@dataclass(frozen=True)  # no slots: parts are cached
class LintSubject:
    """One orchestration. `records` are its earlier runs of this text, the latest first; `code` is the notebook's code.

    `evaluations` are those of this name, of any text, the latest first.

    `defaults` are those of the graph's own calls; `estimated` estimates one run.
    """

    graph: Graph
    namespace: Mapping[str, object]
    defaults: CallDefaults
    models: Models
    estimated: Callable[[], Estimate]
    records: Sequence[Record] = ()
    code: str = ""
    evaluations: Sequence[PastEvaluation] = ()

    @cached_property
    def evaluated(self) -> PastEvaluation | None:
        """The latest evaluation of this text of the cell; None if there is none."""
        now = version(self.graph)
        return next((e for e in self.evaluations if e.version == now), None)

    @cached_property
    def estimate(self) -> Estimate:
        """The estimate of one run.

        Raises:
            SettingsError: a model cannot be resolved.
        """
        return self.estimated()

    @cached_property
    def samples(self) -> tuple[Record, ...]:
        """The latest run of each different input: a notebook that is run again and again adds no evidence."""
        found: dict[str, Record] = {}
        for record in self.records:
            found.setdefault(digest(dict(record.inputs)), record)
        return tuple(found.values())

    @cached_property
    def steps(self) -> tuple[ModelStep, ...]:
        """The model calls of the cell, with those of its agents; not those of other orchestrations in it."""
        return tuple(_steps(self.graph, self.defaults))

    @cached_property
    def nodes(self) -> tuple[tuple[str, Node], ...]:
        """All nodes of the cell, with those of its agents: (the step in the cell, node)."""
        return tuple(_nodes(self.graph))

    @cached_property
    def outputs(self) -> frozenset[str]:
        """The nodes whose value a run returns at its end; of a chain the last one, whatever a gate may return."""
        results = self.graph.results
        return frozenset(results[-1:] if self.graph.pattern == "chain" else results)

    def step(self, name: str) -> ModelStep | None:
        """Returns the model call of this name; None if there is none."""
        return next((step for step in self.steps if step.name == name), None)

    def deployment(self, step: ModelStep) -> Deployment:
        """Returns the deployment that is asked first.

        Raises:
            SettingsError: it cannot be resolved.
        """
        return self.models.deployment(step.models[0])

    def price(self, deployment: Deployment) -> float | None:
        """Returns US dollars per million tokens, three of the prompt to one of the answer; None if unknown."""
        known = prices.rates(deployment)
        return None if known is None else (3 * known[0] + known[1]) / 4

    @cached_property
    def others(self) -> tuple[Deployment, ...]:
        """The first deployments of all aliases that can be used."""
        from orchmagic.models.routing import aliases  # noqa: PLC0415 - heavy

        found: dict[tuple[str, str | None, str], Deployment] = {}
        for name in dict.fromkeys([*self.models.settings.models, *aliases.OPENAI_MODELS]):
            with suppress(SettingsError):
                one = self.models.deployment(name)
                found.setdefault(same(one), one)
        return tuple(found.values())

    def line(self, step: str) -> int:
        """Returns the line of a step in the cell; 1 for one that the pattern adds."""
        return self._lines.get(step, 1)

    @cached_property
    def _lines(self) -> dict[str, int]:
        magic, line, body = split(self.graph.source)
        items = parse(magic, line, body, one_prompt=PATTERNS.get(magic).one_prompt).items
        named = {item.name: item.line for item in items if not isinstance(item, Control)}
        checks = [item for item in items if isinstance(item, Control) and item.keyword != "approve"]
        read = {name: item.line for item in reversed(checks) for name in expression.names(item.expression)}
        return {**read, **named}

    def function(self, name: str) -> object:
        """Returns the notebook's function of this name; None for anything else."""
        found = self.namespace.get(name)
        return found if inspect.isfunction(found) or hasattr(found, "__wrapped__") else None


def same(deployment: Deployment) -> tuple[str, str | None, str]:
    """Returns what two names of one model have in common."""
    return deployment.provider, deployment.base_url, deployment.model


def temperature(step: ModelStep, deployment: Deployment) -> Any:
    """Returns the temperature that is sent; None if none is."""
    return step.call.request_parameters.get("temperature", deployment.parameters.get("temperature"))


def expressions(node: Node) -> tuple[str, ...]:
    """Returns the expressions of a node."""
    return sources(node)[1]


def gates(graph: Graph) -> tuple[Code, ...]:
    """Returns the gates of a graph."""
    return tuple(node for node in graph.nodes if isinstance(node, Code) and node.gate)


def _steps(graph: Graph, defaults: CallDefaults, outer: str = "") -> Iterator[ModelStep]:
    for node in graph.nodes:
        if isinstance(node, Call):
            yield ModelStep(outer or node.name, node, defaults)
        elif isinstance(node, Sub) and node.graph.safety is None:  # an agent of the cell
            yield from _steps(node.graph, defaults.within(node.graph), outer or node.name)


def _nodes(graph: Graph, outer: str = "") -> Iterator[tuple[str, Node]]:
    for node in graph.nodes:
        yield outer or node.name, node
        if isinstance(node, Sub) and node.graph.safety is None:
            yield from _nodes(node.graph, outer or node.name)
