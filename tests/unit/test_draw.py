"""Pictures of graphs: every node and way out is there, names are escaped, the taken path is bold."""

import xml.etree.ElementTree as ET

import pytest

from orchmagic import draw
from orchmagic.graph import END, FAIL, Arm, Branch, Call, Code, Edge, Graph
from orchmagic.template import Message
from orchmagic.trace import Picture


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
    kinds = ("call", "code", "gate", "tools", "approve")
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
