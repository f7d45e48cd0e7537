"""Which nodes have surely run when another begins: read off the links of a graph."""

from __future__ import annotations

from collections.abc import Mapping

from orchmagic.graph.model import START, Graph, Join, sources, targets


def before(graph: Graph) -> Mapping[str, frozenset[str]]:
    """For each node, those that every way from the start leads through (its dominators).

    A node behind a Join has all of the joined ones before it.
    """
    nodes = [n.name for n in graph.nodes]
    starts = set(graph.starts)
    sources, joined = _sources(graph, nodes)
    through = {n: set(nodes) for n in nodes} | {n: {n} for n in starts}
    changed = True
    while changed:
        changed = False
        for node in (n for n in nodes if n not in starts):
            ways = [through[s] for s in sources[node]] + [set().union(*(through[s] for s in j)) for j in joined[node]]
            found = {node} | (set.intersection(*ways) if ways else set())
            changed = changed or found != through[node]
            through[node] = found
    return {n: frozenset(found - {n}) for n, found in through.items()}


def _sources(graph: Graph, nodes: list[str]) -> tuple[dict[str, set[str]], dict[str, list[tuple[str, ...]]]]:
    """(nodes that lead to a node by themselves, sets of nodes that lead to it together)."""
    single: dict[str, set[str]] = {n: set() for n in nodes}
    joined: dict[str, list[tuple[str, ...]]] = {n: [] for n in nodes}
    for link in graph.links:
        if isinstance(link, Join):
            if link.target in joined:
                joined[link.target].append(link.sources)
            continue
        for target in targets(link):
            if target in single:
                single[target] |= set(sources(link)) - {START}
    return single, joined
