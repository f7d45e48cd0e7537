"""How a replay differs from the run that it replays; stored with it, so that it can be resumed after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchmagic.errors import InputError, nearest
from orchmagic.graph.composition import downstream, with_model
from orchmagic.graph.model import Graph
from orchmagic.trace import span_id


@dataclass(frozen=True, slots=True)
class FreshSpans:
    """What is asked again, whatever cache and journal have: `span in fresh`.

    `steps` are top-level steps and `parts` spans, each with what is inside; `exact` are spans without it.
    """

    steps: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()

    def __contains__(self, span: str) -> bool:
        is_listed = span in self.exact or span.partition("#")[0] in self.steps
        return is_listed or any(span_id.is_inside(span, part) for part in self.parts)

    def with_exact(self, spans: frozenset[str]) -> FreshSpans:
        """These, and `spans` too."""
        return replace(self, exact=self.exact | spans)


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """`step` and all after it, or these `parts` (span ids), are asked again; `models` are other models by step.

    It is stored as JSON: `asdict`, and `ReplaySpec(**data)` back.
    """

    step: str | None = None
    parts: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_step(cls, graph: Graph, step: str | None, model: str | None, before: ReplaySpec) -> ReplaySpec:
        """A replay of a run of `graph` (itself a replay by `before`), with `step` and all after it asked again.

        Raises:
            InputError: there is no such step.
        """
        names = [n.name for n in graph.nodes]
        if step is not None and step not in names:
            raise InputError(f"{graph.name} has no step {step!r} (steps: {', '.join(names)}){nearest(step, names)}")
        anew = names if step is None else [n for n in names if n in downstream(graph, step)]
        return cls(step, (), {**before.models, **(dict.fromkeys(anew, model) if model else {})})

    def graph(self, graph: Graph) -> Graph:
        """The graph as the replay asks it."""
        for name, model in self.models.items():
            graph = with_model(graph, model, frozenset({name}))
        return graph

    def fresh(self, graph: Graph) -> FreshSpans:
        """Which spans are not served from the run that is replayed; none: all that were asked the same are."""
        if self.parts:
            return FreshSpans(parts=frozenset(self.parts))
        return FreshSpans() if self.step is None else FreshSpans(steps=downstream(graph, self.step))
