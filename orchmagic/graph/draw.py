"""Draws a graph: as SVG, as Mermaid text, as an ASCII outline, and as the Picture that views draw."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import assert_never

from orchmagic.graph.model import (
    CAP,
    END,
    FAIL,
    REJECT,
    START,
    STOP,
    Branch,
    Call,
    Code,
    Edge,
    Fork,
    Graph,
    Join,
    Node,
    Sub,
)
from orchmagic.graph.once import once
from orchmagic.trace.record import ENDS, TIMES, VOTES, Picture
from orchmagic.views.svg import svg_of

_KINDS = {END: "end", FAIL: "fail", STOP: "stop", CAP: "cap", REJECT: "reject"}
_SHAPES = {
    "call": ("[", "]"), "code": ("[[", "]]"), "gate": ("{", "}"), "tools": ("[/", "/]"), "approve": ("([", "])"),
    "sub": ("{{", "}}"), "start": ("((", "))"),
}  # fmt: skip
_RESERVED = frozenset({"end", "graph", "subgraph", "flowchart", "class", "click", "style", "default", "linkStyle"})


def kind(node: Node) -> str:
    """Returns the kind of a node: call, tools, code, gate, approve or sub."""
    return "gate" if isinstance(node, Code) and node.gate else type(node).__name__.lower()


def note(node: Node) -> str:
    """Returns the note under a node: the number of its models, or the name of its inner graph; often empty."""
    if isinstance(node, Call) and len(node.ladder) > 1:
        return f"{len(node.ladder)} models"
    if isinstance(node, Sub):  # an agent's graph is named after its node: its pattern says more
        name = node.graph.pattern if node.graph.name.endswith(f".{node.name}") else node.graph.name
        rules = node.graph.safety.guard if node.graph.safety else ()
        return f"{name} · guard {', '.join(rules)}" if rules else name
    return ""


def _repeats(node: Node) -> Iterator[tuple[str, str, int]]:
    if isinstance(node, Call | Sub) and node.each:
        yield node.name, node.each.item, 0
    if isinstance(node, Call) and node.votes:
        yield node.name, VOTES, node.votes.count


@once
def picture(graph: Graph) -> Picture:
    """Returns the Picture of a graph. Its exits are nodes of kind end, fail, stop, cap and reject.

    If several nodes start at once, a node of kind start precedes them.
    """
    arrows = tuple(_arrows(graph))
    reached = {target for _, target, _ in arrows}
    start = [(START, "start")] if any(source == START for source, _, _ in arrows) else []
    nodes = [(n.name, kind(n)) for n in graph.nodes]
    ends = [(name, what) for name, what in _KINDS.items() if name in reached]
    joins = tuple((s, link.target) for link in graph.links if isinstance(link, Join) for s in link.sources)
    notes = tuple((n.name, text) for n in graph.nodes if (text := note(n)))
    repeats = tuple(often for n in graph.nodes for often in _repeats(n))
    return Picture((*start, *nodes, *ends), arrows, notes=notes, joins=joins, repeats=repeats)


def _arrows(graph: Graph) -> Iterator[tuple[str, str, str]]:
    for link in graph.links:
        match link:
            case Edge(source, target):
                yield source, target, ""
            case Fork(source, targets):
                yield from ((source, target, "") for target in targets)
            case Join(sources, target):
                yield from ((source, target, "") for source in sources)
            case Branch():
                yield from ((link.source, arm.target, _label(arm.label, arm.limit, arm.target)) for arm in link.arms)
                if {arm.label for arm in link.arms if arm.limit is None} != {True, False}:
                    yield link.source, link.otherwise, "else"
            case _:
                assert_never(link)
    yield from ((node.name, END, "") for node in graph.nodes if graph.link(node.name) is None)


def _label(label: str | bool, limit: int | None, target: str) -> str:
    word = ("yes" if label else "no") if isinstance(label, bool) else "" if label == target else label
    return f"{word} ≤{limit}".strip() if limit is not None else word


def mermaid(graph: Graph, taken: Collection[tuple[str, str]] = ()) -> str:
    """Returns the graph as a Mermaid flowchart; arrows in `taken`, as (source, target), are thick."""
    drawn = picture(graph)
    lines = ["flowchart LR"]
    for name, what in drawn.nodes:
        if what in _SHAPES:
            left, right = _SHAPES[what]
            word = f'"{name}<br/>{_plain(said)}"' if (said := drawn.note(name)) else name.strip("_")
            lines.append(f"    {_id(name)}{left}{word}{right}")
    for source, target, label in drawn.arrows:
        arrow = "==>" if (source, target) in taken else "-->"
        end = f"{target.strip('_')}_([{ENDS[_KINDS[target]]}])" if target in _KINDS else _id(target)
        lines.append(f"    {_id(source)} {arrow}{f'|{_plain(label)}|' if label else ''} {end}")
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    return "start_" if name == START else f"{name}_step" if name in _RESERVED else name


def _plain(label: str) -> str:
    """Escapes brackets, quotes, bars and the like as character codes, which Mermaid would parse."""
    return re.sub(rf"[^\w ≤{TIMES}.,-]", lambda character: f"#{ord(character[0])};", label)


def outline(graph: Graph) -> str:
    """Returns one line per node with its targets, in ASCII, for terminals and docstrings."""
    width = max(len(n.name) for n in graph.nodes)
    drawn = picture(graph)
    arrows = drawn.arrows
    lines = []
    if any(source == START for source, _, _ in arrows):
        lines.append(f"{'start':<{width}}  {'':<7}  -> {_leads(arrows, START)} (side by side)")
    for node in graph.nodes:
        more = f"  [{said}]" if (said := drawn.note(node.name)) else ""
        lines.append(f"{node.name:<{width}}  {kind(node):<7}  -> {_leads(arrows, node.name)}{more}")
    return "\n".join(lines).replace("≤", "<= ").replace(TIMES, "x").replace(" ·", ",")


def _leads(arrows: Collection[tuple[str, str, str]], source: str) -> str:
    ways = dict.fromkeys((t, label) for s, t, label in arrows if s == source)
    return ", ".join((ENDS[_KINDS[t]] if t in _KINDS else t) + (f" ({label})" if label else "") for t, label in ways)


def svg(graph: Graph, taken: Collection[tuple[str, str]] = ()) -> str:
    """Returns the graph as SVG for light and dark backgrounds; arrows in `taken` are thick."""
    return svg_of(replace(picture(graph), taken=tuple(taken)))
