"""Paths through a graph for the estimate: the cheapest, the dearest, and how often each node may be visited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, assert_never

from orchmagic.graph.model import END, Branch, Edge, Fork, Graph, Join, Link

Nodes: TypeAlias = tuple[str, ...]
Best: TypeAlias = Callable[..., Nodes]


def repeats(graph: Graph) -> dict[str, int]:
    """Returns the most visits of each node: 1, multiplied by the limit of each loop that contains it."""
    order = {n.name: i for i, n in enumerate(graph.nodes)}
    times = dict.fromkeys(order, 1)
    for source, target in dict.fromkeys(graph.arrows()):
        if source in order and target in order and order[target] <= order[source]:
            inside = [n for n, i in order.items() if order[target] <= i <= order[source]]
            limits = [
                arm.limit
                for name in inside
                if isinstance(link := graph.link(name), Branch)
                for arm in link.arms
                if arm.limit is not None
            ]
            for name in inside:
                times[name] *= 1 + max(limits, default=graph.limits.max_iterations)
    return {name: min(n, graph.limits.max_steps) for name, n in times.items()}


def way(graph: Graph, weight: Mapping[str, float], best: Best) -> Nodes:
    """Returns the nodes of the lightest (`best` is min) or heaviest (max) forward path from the start to END.

    A fork takes all its branches; nodes that they share after the join count once.
    """
    order = {n.name: i for i, n in enumerate(graph.nodes)}
    ways: dict[str, Nodes] = {END: ()}

    def heavy(nodes: Nodes) -> float:
        return sum(weight[n] for n in nodes)

    def ahead(name: str) -> list[list[Nodes]]:
        return [
            [ways[t] for t in side if t in ways and (t == END or order[t] > order[name])]
            for side in _sides(graph.link(name))
        ]

    for node in reversed(graph.nodes):
        sides = ahead(node.name)
        if all(sides):
            rest = _together(best(side, key=heavy) for side in sides)
            ways[node.name] = (node.name, *rest)
    return _together(ways.get(name, (name,)) for name in graph.starts)


def longest(graph: Graph, weight: Mapping[str, int]) -> int:
    """Returns the largest sum of weights on one forward path: branches of a fork run side by side."""
    order = {n.name: i for i, n in enumerate(graph.nodes)}
    found: dict[str, int] = {}
    for node in reversed(graph.nodes):
        ahead = {t for side in _sides(graph.link(node.name)) for t in side if order.get(t, -1) > order[node.name]}
        found[node.name] = weight[node.name] + max((found[t] for t in ahead), default=0)
    return max((found[name] for name in graph.starts), default=0)


def _sides(link: Link | None) -> list[tuple[str, ...]]:
    """Returns the next nodes of a path as tuples: it continues in every tuple, to one node of each."""
    match link:
        case Edge(target=target) | Join(target=target):
            return [(target,)]
        case Branch():
            return [(*(arm.target for arm in link.arms), link.otherwise)]
        case Fork(targets=targets):
            return [(target,) for target in targets]
        case None:
            return [(END,)]
        case _:
            assert_never(link)


def _together(ways: Iterable[Nodes]) -> Nodes:
    return tuple(dict.fromkeys(name for nodes in ways for name in nodes))
