"""The graph as a picture."""

from __future__ import annotations

from orchmagic.graph import Graph
from orchmagic.trace import Picture


def picture(graph: Graph) -> Picture:
    return Picture(nodes=tuple((n.name, "call") for n in graph.nodes), arrows=tuple((a, b, "") for a, b in graph.arrows()))
