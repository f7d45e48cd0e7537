"""Pictures of graphs: every node and way out is there, names are escaped, the taken path is bold."""

import xml.etree.ElementTree as ET

import pytest

from orchmagic import draw
from orchmagic.graph import END, FAIL, Arm, Branch, Call, Code, Edge, Graph
from orchmagic.template import Message


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
