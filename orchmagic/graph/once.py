"""Remembers what is found out about a graph, for the many runs of one definition."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from orchmagic.graph.model import Graph

T = TypeVar("T")
_MOST = 256  # graphs of one function


def once(function: Callable[[Graph], T]) -> Callable[[Graph], T]:
    """Call `function` once for each graph object; it must depend on nothing else, and nobody may change its value.

    Graphs are told apart by identity, because comparing two of them takes longer than most such functions.
    """
    found: OrderedDict[int, tuple[Graph, T]] = OrderedDict()

    @wraps(function)
    def remembered(graph: Graph) -> T:
        known = found.get(id(graph))
        if known is not None:
            return known[1]
        value = function(graph)
        found[id(graph)] = (graph, value)  # the graph is kept, so that its id stays its own
        if len(found) > _MOST:
            found.popitem(last=False)
        return value

    return remembered
