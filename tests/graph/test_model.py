"""A built graph is right: wrong names do not get past construction."""

import pytest

from orchmagic.graph.model import END, FAIL, Arm, Branch, Code, Edge, Graph


def graph(nodes, links):
    return Graph("g", "chain", tuple(nodes), tuple(links), ("a",))


def test_a_link_to_nowhere_is_refused():
    with pytest.raises(ValueError, match="unknown node 'b'"):
        graph([Code("a", "1")], [Edge("a", "b")])


def test_a_link_from_nowhere_is_refused():
    with pytest.raises(ValueError, match="leaves unknown node 'b'"):
        graph([Code("a", "1")], [Edge("b", END)])


def test_two_nodes_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two nodes of one name"):
        graph([Code("a", "1"), Code("a", "2")], [])


def test_a_graph_without_nodes_is_refused():
    with pytest.raises(ValueError, match="has no node"):
        graph([], [])


def test_arrows_lists_every_arm_and_the_way_out():
    branch = Branch("a", "a", (Arm(True, "b"), Arm(False, "a", 2)), FAIL)
    found = list(graph([Code("a", "1"), Code("b", "2")], [branch, Edge("b", END)]).arrows())
    assert found == [("a", "b"), ("a", "a"), ("a", FAIL), ("b", END)]


def test_an_unknown_node_offers_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'extract'"):
        graph([Code("extract", "1")], []).node("extrct")
