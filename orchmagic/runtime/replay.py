"""The difference between a replay and its original run; stored with the replay, so that it can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchmagic.errors import InputError, nearest
from orchmagic.graph.composition import downstream, with_model
from orchmagic.graph.model import Graph
from orchmagic.trace import span_id


@dataclass(frozen=True, slots=True)
class FreshSpans:
    """The set of spans that skip cache and journal: `span in fresh`.

    `steps` (top-level steps) and `parts` (spans) include all inner spans; `exact` spans do not.
    """

    steps: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()

    def __contains__(self, span: str) -> bool:
        is_listed = span in self.exact or span.partition("#")[0] in self.steps
        return is_listed or any(span_id.is_inside(span, part) for part in self.parts)

    def with_exact(self, spans: frozenset[str]) -> FreshSpans:
        """A copy with `spans` added to `exact`."""
        return replace(self, exact=self.exact | spans)


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """What a replay runs again: `step` and all after it, or `parts` (span ids). `models` replaces models by step.

    It is stored as JSON by `asdict` and loaded by `ReplaySpec(**data)`.
    """

    step: str | None = None
    parts: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_step(cls, graph: Graph, step: str | int | None, model: str | None, before: ReplaySpec) -> ReplaySpec:
        """The replay of a run of `graph` that runs `step` and all after it again; `before` is its own spec.

        `step` is a name, or a number from 1.


        Raises:
            InputError: there is no such step.
        """
        names = [n.name for n in graph.nodes]
        if isinstance(step, str) and step.isdecimal():
            step = int(step)
        if type(step) is int and 0 < step <= len(names):
            step = names[step - 1]
        if step is not None and step not in names:
            numbered = ", ".join(f"{i} {name}" for i, name in enumerate(names, 1))
            raise InputError(f"{graph.name} has no step {step!r} (steps: {numbered}){nearest(str(step), names)}")
        step = None if step is None else str(step)
        anew = names if step is None else [n for n in names if n in downstream(graph, step)]
        return cls(step, (), {**before.models, **(dict.fromkeys(anew, model) if model else {})})

    def graph(self, graph: Graph) -> Graph:
        """The graph with the replaced models."""
        for name, model in self.models.items():
            graph = with_model(graph, model, frozenset({name}))
        return graph

    def fresh(self, graph: Graph) -> FreshSpans:
        """The spans that are not served from the original run; empty: all spans with equal requests are."""
        if self.parts:
            return FreshSpans(parts=frozenset(self.parts))
        return FreshSpans() if self.step is None else FreshSpans(steps=downstream(graph, self.step))
