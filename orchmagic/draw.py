"""Graph -> pictures, all offline: SVG, Mermaid text, an outline in ASCII, and the Picture that views draw."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from html import escape
from itertools import pairwise
from typing import assert_never

from orchmagic import layout
from orchmagic.graph import (
    CAP,
    END,
    FAIL,
    START,
    STOP,
    Approve,
    Branch,
    Call,
    Code,
    Edge,
    Fork,
    Graph,
    Join,
    Node,
    Sub,
    Tools,
)
from orchmagic.taken import ENDS, TIMES
from orchmagic.trace import Picture

_KINDS = {END: "end", FAIL: "fail", STOP: "stop", CAP: "cap"}
_MARKS = {"end": "✓", "fail": "✗", "stop": "■", "cap": "◔"}
_SHAPES = {
    "call": ("[", "]"), "code": ("[[", "]]"), "gate": ("{", "}"), "tools": ("[/", "/]"), "approve": ("([", "])"),
    "sub": ("{{", "}}"), "start": ("((", "))"),
}  # fmt: skip
_RESERVED = frozenset({"end", "graph", "subgraph", "flowchart", "class", "click", "style", "default", "linkStyle"})
_BLUE = "#0072b2"
_NOW = 'fill="#1a8ad4" fill-opacity=".4" stroke="#1a8ad4" stroke-width="3"'


def kind(node: Node) -> str:
    """The word for a node: call, tools, code, gate, approve or sub."""
    match node:
        case Call():
            return "call"
        case Tools():
            return "tools"
        case Code():
            return "gate" if node.gate else "code"
        case Approve():
            return "approve"
        case Sub():
            return "sub"
        case _:
            assert_never(node)


def note(node: Node) -> str:
    """What else a picture says of a node: how often it runs, with how many models, what is inside; often nothing."""
    match node:
        case Call():
            votes = f"{TIMES}{node.votes.count} votes" if node.votes else ""
            models = f"{len(node.ladder)} models" if len(node.ladder) > 1 else ""
            return " · ".join(filter(None, (_each(node), votes, models)))
        case Sub():
            # an agent of a team or plan is named after it: what it is says more
            inside = node.graph.pattern if node.graph.name.endswith(f".{node.name}") else node.graph.name
            return " · ".join(filter(None, (_each(node), inside)))
        case Tools() | Code() | Approve():
            return ""
        case _:
            assert_never(node)


def _each(node: Call | Sub) -> str:
    return f"each {node.each.item}" if node.each else ""


def picture(graph: Graph) -> Picture:
    """What a view needs to draw the graph; its ways out are nodes of kind end, fail, stop and cap.

    A graph that starts with several nodes at once has one of kind start before them.
    """
    arrows = tuple(_arrows(graph))
    reached = {target for _, target, _ in arrows}
    start = [(START, "start")] if any(source == START for source, _, _ in arrows) else []
    nodes = [(n.name, kind(n)) for n in graph.nodes]
    ends = [(name, what) for name, what in _KINDS.items() if name in reached]
    joins = tuple((s, link.target) for link in graph.links if isinstance(link, Join) for s in link.sources)
    notes = tuple((n.name, text) for n in graph.nodes if (text := note(n)))
    return Picture((*start, *nodes, *ends), arrows, notes=notes, joins=joins)


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
    """The graph as a Mermaid flowchart; arrows in `taken` are thick."""
    found = picture(graph)
    notes = dict(found.notes)
    lines = ["flowchart LR"]
    for name, what in found.nodes:
        if what in _SHAPES:
            left, right = _SHAPES[what]
            word = f'"{name}<br/>{_plain(notes[name])}"' if name in notes else name.strip("_")
            lines.append(f"    {_id(name)}{left}{word}{right}")
    for source, target, label in found.arrows:
        arrow = "==>" if (source, target) in taken else "-->"
        end = f"{target.strip('_')}_([{ENDS[_KINDS[target]]}])" if target in _KINDS else _id(target)
        lines.append(f"    {_id(source)} {arrow}{f'|{_plain(label)}|' if label else ''} {end}")
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    return "start_" if name == START else f"{name}_step" if name in _RESERVED else name


def _plain(label: str) -> str:
    """Mermaid reads brackets, quotes and bars: anything but words goes as its number."""
    return re.sub(rf"[^\w ≤{TIMES}.,-]", lambda found: f"#{ord(found[0])};", label)


def outline(graph: Graph) -> str:
    """A line per node and where it leads, in ASCII, for terminals and docstrings."""
    width = max(len(n.name) for n in graph.nodes)
    arrows = picture(graph).arrows
    lines = []
    if any(source == START for source, _, _ in arrows):
        lines.append(f"{'start':<{width}}  {'':<7}  -> {_leads(arrows, START)} (side by side)")
    for node in graph.nodes:
        more = f"  [{said}]" if (said := note(node)) else ""
        lines.append(f"{node.name:<{width}}  {kind(node):<7}  -> {_leads(arrows, node.name)}{more}")
    return "\n".join(lines).replace("≤", "<= ").replace(TIMES, "x").replace(" ·", ",")


def _leads(arrows: Collection[tuple[str, str, str]], source: str) -> str:
    ways = dict.fromkeys((t, label) for s, t, label in arrows if s == source)
    return ", ".join((ENDS[_KINDS[t]] if t in _KINDS else t) + (f" ({label})" if label else "") for t, label in ways)


def svg(graph: Graph, taken: Collection[tuple[str, str]] = ()) -> str:
    """The graph as an SVG picture that reads on light and dark; arrows in `taken` are thick."""
    return svg_of(replace(picture(graph), taken=tuple(taken)))


def svg_of(found: Picture, active: Collection[str] | None = None) -> str:
    """The same from a Picture, without ids; `active`: where a run is now (what it has not come to is pale)."""
    plan = layout.arrange(found)
    taken = set(found.taken)
    first = found.nodes[0][0] if found.nodes else ""
    notes = dict(found.notes)
    begun = {name for pair in taken for name in pair} | set(active or ())
    visited = begun if begun or active is not None else set(dict(found.nodes))
    exits = [line.target for line in plan.lines if line.way == "exit" and (line.source, line.target) in taken]
    body = "".join(_line(line, bold=(line.source, line.target) in taken, pale=bool(begun)) for line in plan.lines)
    for box in plan.boxes:
        at = box.name in (exits if box.kind in layout.EXITS and taken else visited)
        looks = {"bold": bool(begun) and at, "first": box.name == first, "now": box.name in (active or ())}
        body += _box(box, notes.get(box.name, ""), visited=at, **looks)
    title = " → ".join(name for name, what in found.nodes if what not in ENDS and what != "start")
    wide, high = round(plan.width), round(plan.height)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        f'style="max-width:100%;height:auto" role="img" font-family="system-ui,sans-serif" font-size="12" '
        f'fill="none" stroke="currentColor"><title>{escape(title)}</title>{body}</svg>'
    )


def _box(box: layout.Box, said: str, *, visited: bool, bold: bool, first: bool, now: bool = False) -> str:
    """Each kind has a shape of its own; its word stands below the name. What runs once per item is a pile."""
    if box.kind == "start":
        return _group(f'<circle cx="{box.x:g}" cy="{box.y:g}" r="5" fill="currentColor" stroke="none"/>', pale=False)
    shade = f'fill="{_BLUE}" fill-opacity="{0.18 if bold else 0.05}" stroke-width="{2 if bold or first else 1.2}"'
    shade = _NOW if now else shade
    if box.kind in ENDS:
        word = f"{_MARKS[box.kind]} {ENDS[box.kind]}"
        inner = f'<path d="{_outline(box)}" {shade}/>{_text(box.x, box.y + 4, word, 11)}'
    else:
        name = box.name if len(box.name) <= layout.NAME else f"{box.name[: layout.NAME - 1]}…"
        below = layout.below(box.kind, said)
        words = _text(box.x, box.y, name, 12) + _text(box.x, box.y + 13, below, 9, ' opacity=".7"')
        pile = f'<path d="{_pile(box)}" stroke-width="1.2"/>' if layout.piled(said) else ""
        inner = f'{pile}<path d="{_outline(box)}" {shade}/>{words}'
    return _group(inner, pale=not visited)


def _pile(box: layout.Box) -> str:
    """Two edges that look out behind a box, above and to the right."""
    left, right = box.x - box.width / 2, box.x + box.width / 2
    top = box.y - box.height / 2
    return "".join(
        f"M{left + 8 + d:g} {top - d:g}H{right + d - 5:g}Q{right + d:g} {top - d:g} {right + d:g} {top - d + 5:g}"
        f"V{top + 9:g}"
        for d in (3, 6)
    )


def _outline(box: layout.Box) -> str:
    left, right = box.x - box.width / 2, box.x + box.width / 2
    top, low = box.y - box.height / 2, box.y + box.height / 2
    match box.kind:
        case "gate":
            return _closed((left, box.y), (left + 10, top), (right - 10, top), (right, box.y), (right - 10, low),
                           (left + 10, low))  # fmt: skip
        case "tools":
            return _closed((left + 8, top), (right, top), (right - 8, low), (left, low))
        case "code":
            bars = f"M{left + 5:g} {top:g}V{low:g}M{right - 5:g} {top:g}V{low:g}"
            return _closed((left, top), (right, top), (right, low), (left, low)) + bars
        case "sub":
            return _rounded(left, top, right, low, 7) + _rounded(left + 3, top + 3, right - 3, low - 3, 5)
        case _:
            return _rounded(left, top, right, low, 7 if box.kind == "call" else box.height / 2)


def _rounded(left: float, top: float, right: float, low: float, r: float) -> str:
    return (
        f"M{left + r:g} {top:g}H{right - r:g}A{r:g} {r:g} 0 0 1 {right:g} {top + r:g}V{low - r:g}"
        f"A{r:g} {r:g} 0 0 1 {right - r:g} {low:g}H{left + r:g}A{r:g} {r:g} 0 0 1 {left:g} {low - r:g}"
        f"V{top + r:g}A{r:g} {r:g} 0 0 1 {left + r:g} {top:g}Z"
    )


def _closed(*points: layout.Point) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z"


def _line(line: layout.Line, *, bold: bool, pale: bool) -> str:
    (x0, y0), (x1, y1) = line.points[-2:]
    flat = line.way == "ahead"
    dx, dy = ((1, 0) if x1 >= x0 else (-1, 0)) if flat else ((0, 1) if y1 >= y0 else (0, -1))
    tip = (x1 - 7 * dx, y1 - 7 * dy)
    head = _closed((x1, y1), (tip[0] + 4 * dy, tip[1] + 4 * dx), (tip[0] - 4 * dy, tip[1] - 4 * dx))
    points = (*line.points[:-1], tip)
    path = _curve(points) if flat else _corners(points)
    word = _text(*line.word, line.label, 10) if line.label else ""
    drawn = f'<path d="{path}" stroke-width="{2.5 if bold else 1.2}"/>'
    return _group(f'{drawn}<path d="{head}" fill="currentColor" stroke="none"/>{word}', pale=pale and not bold)


def _group(inner: str, *, pale: bool) -> str:
    opacity = ' opacity=".55"' if pale else ""
    return f"<g{opacity}>{inner}</g>\n"


def _curve(points: tuple[layout.Point, ...]) -> str:
    """Level where it leaves and arrives; straight through the rooms that are kept free for it."""
    path = f"M{points[0][0]:g} {points[0][1]:g}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        path += f"H{x1:g}" if y0 == y1 else f"C{middle:g} {y0:g} {middle:g} {y1:g} {x1:g} {y1:g}"
    return path


def _corners(points: tuple[layout.Point, ...], radius: float = 6) -> str:
    """Straight parts with round corners."""
    path = f"M{points[0][0]:g} {points[0][1]:g}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        near, far = _towards(corner, before, radius), _towards(corner, after, radius)
        path += f"L{near[0]:g} {near[1]:g}Q{corner[0]:g} {corner[1]:g} {far[0]:g} {far[1]:g}"
    return f"{path}L{points[-1][0]:g} {points[-1][1]:g}"


def _towards(start: layout.Point, end: layout.Point, most: float) -> layout.Point:
    length = abs(end[0] - start[0]) + abs(end[1] - start[1]) or 1.0
    part = min(most, length / 2) / length
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part


def _text(x: float, y: float, words: str, size: int, more: str = "") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="middle" font-size="{size}" fill="currentColor" stroke="none"{more}>'
        f"{escape(words)}</text>"
    )
