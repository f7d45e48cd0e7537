"""What is found out about a graph is found out once for each graph object."""

from orchmagic.graph.model import Code, Graph
from orchmagic.graph.once import _MOST, once


def graph(name):
    return Graph(name, "chain", (Code("a", "1"),), (), ("a",))


def test_it_is_called_once_for_each_graph_even_if_two_are_equal():
    seen = []
    named = once(lambda g: seen.append(g.name) or g.name)
    first, equal = graph("one"), graph("one")
    assert [named(first), named(first), named(equal)] == ["one"] * 3
    assert seen == ["one", "one"]


def test_it_keeps_no_more_than_some_graphs():
    seen = []
    named = once(lambda g: seen.append(g.name) or g.name)
    first = graph("first")
    named(first)
    for number in range(_MOST):
        named(graph(f"g{number}"))
    named(first)
    assert seen.count("first") == 2
