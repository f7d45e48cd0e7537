"""Pictures of graphs: every node and way out is there, names are escaped, the taken path is bold."""

import xml.etree.ElementTree as ET

import pytest

from orchmagic.graph import draw
from orchmagic.graph.model import END, FAIL, START, Arm, Branch, Call, Code, Each, Edge, Fork, Graph, Join, Sub, Votes
from orchmagic.language.template import Message
from orchmagic.trace.record import Picture


@pytest.fixture
def graph():
    nodes = (Call("extract", (Message("user", "x"),)), Code("gate_1", "extract", gate=True), Code("last", "1"))
    gate = Branch("gate_1", "gate_1", (Arm(True, "last"), Arm(False, "extract", 2)), FAIL)
    return Graph("g", "chain", nodes, (Edge("extract", "gate_1"), gate, Edge("last", END)), ("last",))


def test_the_svg_is_well_formed_and_names_every_node(graph):
    root = ET.fromstring(draw.svg(graph, [("extract", "gate_1")]))
    words = " ".join(t.text or "" for t in root.iter("{http://www.w3.org/2000/svg}text"))
    assert all(name in words for name in ("extract", "gate_1", "last"))
    widths = [e.get("stroke-width") for e in root.iter("{http://www.w3.org/2000/svg}path")]
    assert widths.count("2.5") == 1


def test_mermaid_has_every_arrow(graph):
    text = draw.mermaid(graph, [("extract", "gate_1")])
    assert "extract ==> gate_1" in text
    assert "gate_1 -->|no ≤2| extract" in text
    assert "failed" in text


def test_the_outline_is_ascii(graph):
    text = draw.outline(graph)
    assert text.isascii()
    assert "gate_1" in text
    assert "failed" in text
    assert "done" in text


def texts(picture):
    return [t.text for t in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


def test_every_kind_of_node_has_a_shape_of_its_own():
    kinds = ("call", "code", "gate", "tools", "approve", "sub")
    paths = set()
    for kind in kinds:
        root = ET.fromstring(draw.svg_of(Picture((("name", kind),))))
        commands = "".join(c for c in next(root.iter("{http://www.w3.org/2000/svg}path")).get("d") if c.isalpha())
        paths.add((commands, next(root.iter("{http://www.w3.org/2000/svg}path")).get("d")))
        assert kind in texts(draw.svg_of(Picture((("name", kind),))))
    assert len(paths) == len(kinds)


def test_the_ways_out_are_drawn_and_named(graph):
    assert {"✓ done", "✗ failed", "yes", "no ≤2", "else"} <= set(texts(draw.svg(graph)))
    assert draw.picture(graph).nodes[-2:] == ((END, "end"), (FAIL, "fail"))


def test_a_node_without_a_link_leads_to_the_end():
    graph = Graph("g", "chain", (Code("only", "1"),), (), ("only",))
    assert draw.picture(graph).arrows == (("only", END, ""),)
    assert "done" in draw.outline(graph)


def test_a_way_that_cannot_be_taken_is_not_drawn():
    both = Branch("a", "x", (Arm(True, "b"), Arm(False, END)), FAIL)
    graph = Graph("g", "chain", (Code("a", "1"), Code("b", "1")), (both,), ("b",))
    assert ("a", FAIL) not in [(s, t) for s, t, _ in draw.picture(graph).arrows]


def test_a_label_that_says_more_than_its_target_is_shown():
    arms = (Arm("billing", "billing"), Arm("refund", "billing"), Arm("other", END, 3))
    graph = Graph(
        "g", "route", (Code("router", "1"), Code("billing", "1")), (Branch("router", "x", arms),), ("billing",)
    )
    assert [label for _, _, label in draw.picture(graph).arrows][:3] == ["", "refund", "other ≤3"]


def test_what_a_saved_picture_names_stays_text():
    bad = '"><script>alert(1)</script>'
    shown = draw.svg_of(Picture(((bad, bad), ("b", "call")), ((bad, "b", bad),), ((bad, "b"),)))
    assert "<script" not in shown
    ET.fromstring(shown)


def test_mermaid_labels_and_reserved_names_are_safe():
    arms = (Arm('a"]|b', "end"),)
    graph = Graph("g", "route", (Code("router", "1"), Code("end", "1")), (Branch("router", "x", arms),), ("end",))
    text = draw.mermaid(graph)
    assert "end_step[[end]]" in text
    assert "|a#34;#93;#124;b|" in text


def test_the_taken_way_stands_out_and_the_others_are_pale(graph):
    root = ET.fromstring(draw.svg(graph, [("extract", "gate_1"), ("gate_1", FAIL)]))
    groups = {" ".join(t.text for t in g.iter("{http://www.w3.org/2000/svg}text")): g.get("opacity") for g in root}
    assert groups["extract call"] is None
    assert groups["✗ failed"] is None
    assert groups["last code"] is not None
    assert groups["✓ done"] is not None


@pytest.fixture
def mixed():
    """Three starting nodes, side by side, that join: votes, a graph per item, and a ladder of models."""
    prompt = (Message("user", "x"),)
    inner = Graph("helpdesk", "route", (Call("router", prompt),), (), ("router",))
    nodes = (
        Call("vote", prompt, votes=Votes(5)),
        Sub("worker", inner, each=Each("tasks", "task")),
        Call("climb", prompt, ladder=("tiny", "large")),
        Call("merge", prompt),
    )
    first = ("vote", "worker", "climb")
    return Graph("mix", "parallel", nodes, (Fork(START, first), Join(first, "merge")), ("merge",))


def test_a_graph_that_starts_side_by_side_has_a_start(mixed):
    found = draw.picture(mixed)
    assert found.nodes[0] == (START, "start")
    assert [t for s, t, _ in found.arrows if s == START] == ["vote", "worker", "climb"]
    assert found.joins == (("vote", "merge"), ("worker", "merge"), ("climb", "merge"))
    assert len(list(ET.fromstring(draw.svg(mixed)).iter("{http://www.w3.org/2000/svg}circle"))) == 1


def test_votes_items_inner_graphs_and_ladders_are_said_below_the_name(mixed):
    said = {"call · \u00d75 votes", "sub · each task · helpdesk", "call · 2 models"}
    assert said <= set(texts(draw.svg(mixed)))


def test_a_node_of_many_is_a_pile(mixed):
    groups = ET.fromstring(draw.svg(mixed)).iter("{http://www.w3.org/2000/svg}g")
    paths = {
        "".join(t.text for t in g.iter("{http://www.w3.org/2000/svg}text")): len(
            list(g.iter("{http://www.w3.org/2000/svg}path"))
        )
        for g in groups
    }
    assert paths["workersub · each task · helpdesk"] == 2
    assert paths["mergecall"] == 1


def test_an_agent_that_is_named_after_its_node_is_told_by_its_pattern():
    agent = Graph("launch.researcher", "react", (Code("a", "1"),), (), ("a",))
    assert draw.note(Sub("researcher", agent)) == "react"


def test_the_outline_and_mermaid_tell_what_runs_side_by_side(mixed):
    outline = draw.outline(mixed)
    assert outline.isascii()
    assert outline.splitlines()[0].split() == ["start", "->", "vote,", "worker,", "climb", "(side", "by", "side)"]
    assert "[x5 votes]" in outline
    assert "[each task, helpdesk]" in outline
    mermaid = draw.mermaid(mixed)
    assert "start_((start))" in mermaid
    assert "start_ --> vote" in mermaid
    assert 'worker{{"worker<br/>each task #183; helpdesk"}}' in mermaid
