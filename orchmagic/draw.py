"""Graph -> pictures, all offline: SVG, Mermaid text, an outline in ASCII, and the Picture that views draw."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from html import escape
from typing import assert_never

from orchmagic import layout
from orchmagic.graph import CAP, END, FAIL, STOP, Approve, Branch, Call, Code, Edge, Graph, Node, Tools
from orchmagic.trace import Picture

_ENDS = {END: "done", FAIL: "failed", STOP: "stopped", CAP: "capped"}
_WIDE, _HIGH, _GAP, _CHARS = 132, 34, 46, 16  # pixels, and letters that fit into a box
_SHAPES = {"call": ("[", "]"), "code": ("[[", "]]"), "gate": ("{", "}"), "tools": ("[/", "/]"), "approve": ("([", "])")}


def kind(node: Node) -> str:
    """The word for a node: call, tools, code, gate or approve."""
    match node:
        case Call():
            return "call"
        case Tools():
            return "tools"
        case Code():
            return "gate" if node.gate else "code"
        case Approve():
            return "approve"
        case _:
            assert_never(node)


def picture(graph: Graph) -> Picture:
    """What a view needs to draw the graph."""
    return Picture(tuple((n.name, kind(n)) for n in graph.nodes), tuple(_arrows(graph)))


def _arrows(graph: Graph) -> Iterator[tuple[str, str, str]]:
    for link in graph.links:
        match link:
            case Edge(source, target):
                yield source, target, ""
            case Branch():
                for arm in link.arms:
                    limit = f" ≤{arm.limit}" if arm.limit is not None else ""
                    label = {True: "yes", False: "no"}.get(arm.label, "") if isinstance(arm.label, bool) else ""
                    yield link.source, arm.target, f"{label}{limit}"
                yield link.source, link.otherwise, "else"
            case _:
                assert_never(link)


def mermaid(graph: Graph, taken: Collection[tuple[str, str]] = ()) -> str:
    """The graph as a Mermaid flowchart; arrows in `taken` are thick."""
    lines = ["flowchart LR"]
    for name, what in picture(graph).nodes:
        left, right = _SHAPES[what]
        lines.append(f"    {name}{left}{name}{right}")
    for source, target, label in picture(graph).arrows:
        arrow = "==>" if (source, target) in taken else "-->"
        end = f"{target.strip('_')}_([{_ENDS[target]}])" if target in _ENDS else target
        lines.append(f"    {source} {arrow}{f'|{label}|' if label else ''} {end}")
    return "\n".join(lines) + "\n"


def outline(graph: Graph) -> str:
    """A line per node and where it leads, in ASCII, for terminals and docstrings."""
    width = max(len(n.name) for n in graph.nodes)
    lines = []
    for node in graph.nodes:
        ways = [(t, label) for s, t, label in picture(graph).arrows if s == node.name]
        leads = ", ".join(_ENDS.get(t, t) + (f" ({label})" if label else "") for t, label in dict.fromkeys(ways))
        lines.append(f"{node.name:<{width}}  {kind(node):<7}  -> {leads or 'done'}".replace("≤", "<= "))
    return "\n".join(lines)


def svg(graph: Graph, taken: Collection[tuple[str, str]] = ()) -> str:
    """The graph as an SVG picture that reads on light and dark; arrows in `taken` are thick."""
    found = picture(graph)
    return svg_of(Picture(found.nodes, found.arrows, tuple(taken)))


def svg_of(found: Picture) -> str:
    """The same from a Picture."""
    at = layout.places(found)
    columns, rows = layout.size(at)
    backs = any(t in at and at[t][0] <= at[s][0] for s, t, _ in found.arrows)
    wide, high = columns * (_WIDE + _GAP) - _GAP + 8, rows * (_HIGH + 18) + (22 if backs else 0)
    body = "".join(_line(found, at, arrow, rows) for arrow in found.arrows if arrow[1] in at)
    body += "".join(_box(name, what, at[name], name in _visited(found)) for name, what in found.nodes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        f'style="max-width:100%;height:auto" role="img" font-family="system-ui,sans-serif" font-size="12" '
        f'fill="none" stroke="#7f7f7f"><title>{escape(" → ".join(n for n, _ in found.nodes))}</title>{body}</svg>'
    )


def _visited(found: Picture) -> set[str]:
    return {name for pair in found.taken for name in pair}


def _box(name: str, what: str, place: tuple[int, int], visited: bool) -> str:
    x, y = 4 + place[0] * (_WIDE + _GAP), 4 + place[1] * (_HIGH + 18)
    round_ = {"call": 5, "approve": 17}.get(what, 0)
    dashes = ' stroke-dasharray="4 3"' if what in {"code", "gate"} else ""
    mark = {"call": "", "gate": "◇ ", "code": "ƒ ", "tools": "⚙ ", "approve": "☞ "}[what]
    shown = name if len(name) <= _CHARS else name[: _CHARS - 1] + "…"
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" rx="{round_}"{dashes} '
        f'stroke-width="{2.5 if visited else 1}" fill="#0072b2" fill-opacity="{0.14 if visited else 0.04}"/>'
        f'<text x="{x + _WIDE / 2}" y="{y + _HIGH / 2 + 4}" text-anchor="middle" fill="#7f7f7f" stroke="none">'
        f"{mark}{escape(shown)}</text>"
    )


def _line(found: Picture, at: dict[str, tuple[int, int]], arrow: tuple[str, str, str], rows: int) -> str:
    source, target, label = arrow
    (c0, r0), (c1, r1) = at[source], at[target]
    bold = (source, target) in found.taken
    step = _WIDE + _GAP
    if c1 > c0:
        x0, y0 = 4 + c0 * step + _WIDE, 4 + r0 * (_HIGH + 18) + _HIGH // 2
        x1, y1 = 4 + c1 * step, 4 + r1 * (_HIGH + 18) + _HIGH // 2
        path = f"M{x0} {y0} C{x0 + 24} {y0} {x1 - 24} {y1} {x1 - 5} {y1}"
        head = f"M{x1 - 8} {y1 - 4} L{x1} {y1} L{x1 - 8} {y1 + 4}"
        word = ((x0 + x1) // 2, (y0 + y1) // 2 - 5)
    else:  # back, below the boxes
        x0, x1 = 4 + c0 * step + _WIDE // 2, 4 + c1 * step + _WIDE // 2 + (0 if c0 != c1 else 20)
        y0, y1 = 4 + r0 * (_HIGH + 18) + _HIGH, 4 + r1 * (_HIGH + 18) + _HIGH
        low = rows * (_HIGH + 18) + 8
        path = f"M{x0} {y0} C{x0} {low + 8} {x1} {low + 8} {x1} {y1 + 5}"
        head = f"M{x1 - 4} {y1 + 8} L{x1} {y1} L{x1 + 4} {y1 + 8}"
        word = ((x0 + x1) // 2, low - 2)
    text = (
        f'<text x="{word[0]}" y="{word[1]}" text-anchor="middle" font-size="10" fill="#7f7f7f" stroke="none">'
        f"{escape(label)}</text>"
        if label
        else ""
    )
    return f'<path d="{path} {head}" stroke-width="{2.5 if bold else 1}"/>{text}'
