"""Draw a graph (Picture) as SVG for light and dark pages, without scripts and ids."""

from __future__ import annotations

from collections.abc import Collection
from html import escape
from itertools import pairwise

from orchmagic.core.text_format import shorten
from orchmagic.trace import marks
from orchmagic.trace.record import ENDS, Picture
from orchmagic.views import layout
from orchmagic.views.palette import BLUE, NOW, ORANGE, RED

# attributes stand in single quotes, because a notebook saves the text as JSON
_IN_TROUBLE = f"stroke='{RED}' stroke-width='2' fill='{RED}' fill-opacity='.12'"
_IN_DOUBT = f"stroke='{ORANGE}' stroke-width='2' fill='{ORANGE}' fill-opacity='.12'"
_NOW = f"fill='{NOW}' fill-opacity='.4' stroke='{NOW}' stroke-width='3'"
_SOLID = "fill='currentColor' stroke='none'"


def svg_of(found: Picture, active: Collection[str] | None = None) -> str:
    """Return the graph as SVG; `active`: nodes that run now (nodes not yet visited are pale)."""
    plan = layout.arrange(found)
    taken = set(found.taken)
    first = found.nodes[0][0] if found.nodes else ""
    piled = {name for name, *_ in found.repeats}
    begun = {name for pair in taken for name in pair} | set(active or ())
    visited = begun if begun or active is not None else set(dict(found.nodes))
    troubles = dict(found.troubles)
    exits = [line.target for line in plan.lines if line.way == "exit" and (line.source, line.target) in taken]
    body = "".join(_line(line, bold=(line.source, line.target) in taken, pale=bool(begun)) for line in plan.lines)
    for box in plan.boxes:
        at = box.name in (exits if box.kind in layout.EXITS and taken else visited)
        looks = {
            "piled": box.name in piled,
            "bold": bool(begun) and at,
            "first": box.name == first,
            "now": box.name in (active or ()),
        }
        trouble = troubles.get(box.name, "")
        if box.kind == "end" and at:
            trouble = found.doubt
        body += _box(box, found.note(box.name), trouble, visited=at, **looks)
    title = " → ".join(name for name, what in found.nodes if what not in ENDS and what != "start")
    wide, high = round(plan.width), round(plan.height)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {wide} {high}' width='{wide}' height='{high}' "
        f"style='max-width:100%;height:auto' role='img' font-family='system-ui,sans-serif' text-anchor='middle' "
        f"fill='none' stroke='currentColor'>"
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def _box(
    box: layout.Box, note: str, trouble: str, *, visited: bool, piled: bool, bold: bool, first: bool, now: bool
) -> str:
    """Draw a node, with a shape by its kind, which is also written below the name; parallel nodes look like a pile."""
    if box.kind == "start":
        return _group(f"<circle cx='{box.x:g}' cy='{box.y:g}' r='5' {_SOLID}/>", pale=False)
    shade = f"fill='{BLUE}' fill-opacity='{0.18 if bold else 0.05}' stroke-width='{2 if bold or first else 1.2}'"
    mark = marks.by_name(trouble).sign if trouble else ""
    if mark:
        shade = _IN_TROUBLE if trouble == "failed" else _IN_DOUBT
    shade = _NOW if now else shade
    if box.kind in ENDS:
        word = layout.end_word(ENDS[box.kind], trouble)
        inner = f"<path d='{_outline(box)}' {shade}/>{_text(box.x, box.y + 4, word, 11)}"
    else:
        name = f"{mark} {shorten(box.name, layout.NAME)}".strip()
        below = layout.below(box.kind, note)
        words = _text(box.x, box.y, name, 12) + _text(box.x, box.y + 13, below, 9, " opacity='.7'")
        pile = f"<path d='{_pile(box)}' stroke-width='1.2'/>" if piled else ""
        inner = f"{pile}<path d='{_outline(box)}' {shade}/>{words}"
    return _group(inner, pale=not visited)


def _pile(box: layout.Box) -> str:
    """Return the path of two more boxes' edges behind a box, above and to the right."""
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
    corner = f"a{r:g} {r:g} 0 0 1 "
    wide, high, r_ = right - left - 2 * r, low - top - 2 * r, f"{r:g}"
    return (
        f"M{left + r:g} {top:g}h{wide:g}{corner}{r_} {r_}v{high:g}{corner}-{r_} {r_}h{-wide:g}{corner}-{r_} -{r_}"
        f"v{-high:g}{corner}{r_} -{r_}z"
    )


def _closed(*points: layout.Point) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z"


def _line(line: layout.EdgePath, *, bold: bool, pale: bool) -> str:
    (x0, y0), (x1, y1) = line.points[-2:]
    flat = line.way == "ahead"
    dx, dy = ((1, 0) if x1 >= x0 else (-1, 0)) if flat else ((0, 1) if y1 >= y0 else (0, -1))
    tip = (x1 - 7 * dx, y1 - 7 * dy)
    head = _closed((x1, y1), (tip[0] + 4 * dy, tip[1] + 4 * dx), (tip[0] - 4 * dy, tip[1] - 4 * dx))
    points = (*line.points[:-1], tip)
    path = _curve(points) if flat else _corners(points)
    word = _text(*line.word, line.label, 10) if line.label else ""
    drawn = f"<path d='{path}' stroke-width='{2.5 if bold else 1.2}'/>"
    return _group(f"{drawn}<path d='{head}' {_SOLID}/>{word}", pale=pale and not bold)


def _group(inner: str, *, pale: bool) -> str:
    opacity = " opacity='.55'" if pale else ""
    return f"<g{opacity}>{inner}</g>\n"


def _curve(points: tuple[layout.Point, ...]) -> str:
    """Return the path of a curve, horizontal at its ends and straight through its reserved places."""
    path = f"M{points[0][0]:g} {points[0][1]:g}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        path += f"H{x1:g}" if y0 == y1 else f"C{middle:g} {y0:g} {middle:g} {y1:g} {x1:g} {y1:g}"
    return path


def _corners(points: tuple[layout.Point, ...], radius: float = 6) -> str:
    """Return a path of straight lines with rounded corners."""
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
    return f"<text x='{x:g}' y='{y:g}' font-size='{size}' {_SOLID}{more}>{escape(words)}</text>"
