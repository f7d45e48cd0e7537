"""How a replay differs from the run that it replays; kept with it, so that it can go on after a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from orchmagic.graph.composition import downstream, with_model
from orchmagic.graph.model import Graph
from orchmagic.runtime.recovery import inside


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """`step` and all behind it, or these `parts` (span ids), are asked anew; `models` are other models by step."""

    step: str | None = None
    parts: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready data; `ReplaySpec(**data)` is its inverse."""
        return asdict(self)

    def graph(self, graph: Graph) -> Graph:
        """The graph as the fork asks it."""
        for name, model in self.models.items():
            graph = with_model(graph, model, frozenset({name}))
        return graph

    def fresh(self, graph: Graph) -> Callable[[str], bool] | None:
        """Which spans are not served from the run that is replayed; None: all that were asked the same are."""
        if self.parts:
            return partial(inside, frozenset(self.parts))
        if self.step is None:
            return None
        anew = downstream(graph, self.step)
        return lambda span: span.partition("#")[0] in anew
