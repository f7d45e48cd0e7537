"""Compute the layout of a graph: nodes in columns by their longest path from the start, and arrows between them.

Forward arrows run left to right, through free rows of the columns they cross. A back arrow to a neighbour runs beside
its forward arrow, any other above all boxes. Exits (failed, stopped, capped) are placed below their node.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from orchmagic.core.text_format import shorten
from orchmagic.trace import marks
from orchmagic.trace.record import ENDS, Picture
from orchmagic.views.text_width import text_width

EXITS = frozenset({"fail", "stop", "cap", "reject"})
NAME = 24  # characters of a name in a box, at most
_HIGH, _ROW, _STUB, _LANE, _BESIDE = 38.0, 16.0, 18.0, 17.0, 6.0  # pixels: box, between rows, exit, lane, pair
_GAP = 44.0  # minimum pixels between columns

Point: TypeAlias = tuple[float, float]
Arrow: TypeAlias = tuple[str, str]


class _Station(NamedTuple):
    """The place reserved for a long arrow in a column that it crosses."""

    source: str
    target: str
    column: int


_Item: TypeAlias = str | _Station


@dataclass(frozen=True, slots=True)
class Box:
    """A node, with its centre (`x`, `y`) and its size in pixels."""

    name: str
    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class EdgePath:
    """An arrow through `points`; `way` is ahead, back or exit; `word` is the centre of its label."""

    source: str
    target: str
    label: str
    way: str
    points: tuple[Point, ...]
    word: Point


@dataclass(frozen=True, slots=True)
class Layout:
    """All boxes and lines of a graph, from (0, 0) to (`width`, `height`) in pixels."""

    boxes: tuple[Box, ...]
    lines: tuple[EdgePath, ...]
    width: float
    height: float


def below(kind: str, note: str) -> str:
    """Return the text below a name in a box."""
    return shorten(f"{kind} · {note}" if note else kind, NAME + 8)


def end_word(status: str, doubt: str = "") -> str:
    """Return the text of an end of the graph: `✓ done`, `◔ stopped at its limit`; with a doubt `! done`.

    The doubt has no words here: boxes keep their size from the first frame of a run to its end.
    """
    mark = marks.by_name(status)
    return f"{marks.by_name(doubt or status).sign} {mark.word.lower()}"


def arrange(picture: Picture) -> Layout:
    """Return the positions of all boxes and lines; deterministic."""
    plan = _Plan(picture)
    boxes = {name: plan.box(name) for name in plan.nodes}
    exits = plan.exits(boxes)
    lines = [*plan.ahead_lines(boxes), *plan.back_lines(boxes), *plan.exit_lines(boxes, exits)]
    piles = [boxes[name] for name, *_ in picture.repeats if name in boxes]
    return _framed([*boxes.values(), *exits.values()], lines, piles)


class _Plan:
    """The columns, rows and gaps of one graph, computed in `__init__`."""

    def __init__(self, picture: Picture) -> None:
        self.kinds = dict(picture.nodes)
        early = replace(picture, repeats=tuple((name, what, 0) for name, what, _ in picture.repeats))
        self.notes = {name: (picture.note(name), early.note(name)) for name, _ in picture.nodes}
        self.nodes = [name for name, kind in picture.nodes if kind not in EXITS]
        self.labels = _merged(picture, self.kinds)
        order = {name: i for i, name in enumerate(self.nodes)}
        inner = [(s, t) for s, t in self.labels if t in order]
        self.ahead = [(s, t) for s, t in inner if order[t] > order[s]]
        self.back = [(s, t) for s, t in inner if order[t] <= order[s]]
        self.out = [(s, t) for s, t in self.labels if t not in order and t in self.kinds]
        self.column = dict.fromkeys(self.nodes, 0)
        for source, target in sorted(self.ahead, key=lambda a: order[a[0]]):
            self.column[target] = max(self.column[target], self.column[source] + 1)
        self.columns = self._ordered()
        self.y = self._rows()
        widths = [[self.width(item) for item in c if isinstance(item, str)] for c in self.columns]
        self.half = [max(found, default=0.0) / 2 for found in widths]
        self.x = self._across()

    def stations(self, arrow: Arrow) -> list[_Station]:
        """Return the reserved places of a forward arrow in the columns between its ends."""
        source, target = arrow
        return [_Station(source, target, c) for c in range(self.column[source] + 1, self.column[target])]

    def _ordered(self) -> list[list[_Item]]:
        """Return the items of each column, top to bottom, ordered so that few arrows cross."""
        columns: list[list[_Item]] = [[] for _ in range(max(self.column.values(), default=0) + 1)]
        for name in self.nodes:
            columns[self.column[name]].append(name)
        for arrow in self.ahead:
            for station in self.stations(arrow):
                columns[station.column].append(station)
        for before, here in pairwise(columns):
            at = {item: i for i, item in enumerate(before)}
            here.sort(key=lambda item: _mean([at[p] for p in self._before(item)]))
        return columns

    def _before(self, item: _Item) -> list[_Item]:
        ways: list[list[_Item]] = [[a[0], *self.stations(a), a[1]] for a in self.ahead]
        return [way[way.index(item) - 1] for way in ways if item in way[1:]]

    def _rows(self) -> dict[_Item, float]:
        """Return each item's y, near its predecessors and without overlap; nodes weigh more than reserved places."""
        y: dict[_Item, float] = {}
        for column in self.columns:
            wish = [_mean([y[p] for p in self._leading(item)]) for item in column]
            found: list[float] = []
            for i, item in enumerate(column):
                floor = found[-1] + self._below(column[i - 1]) + _ROW + self._above(item) if found else wish[i]
                found.append(max(wish[i], floor))
            nodes = [i for i, item in enumerate(column) if isinstance(item, str)]
            shift = _mean([wish[i] - found[i] for i in nodes or range(len(column))])
            y |= {item: at + shift for item, at in zip(column, found, strict=True)}
        return y

    def _leading(self, item: _Item) -> list[_Item]:
        """Return the items to align with: the nodes before `item`, else the reserved places before it."""
        before = self._before(item)
        return [p for p in before if isinstance(p, str)] or before

    def _above(self, item: _Item) -> float:
        return _HIGH / 2 if isinstance(item, str) else 0.0

    def _below(self, item: _Item) -> float:
        if not isinstance(item, str):
            return 0.0
        return _HIGH / 2 + (_STUB + 20 if any(s == item for s, _ in self.out) else 0)

    def width(self, name: str) -> float:
        """Return a box's width in pixels: room for its name, the text below it, and its exits.

        The text has room with the count of parallel visits and without: it is known only when they have begun.
        """
        kind = self.kinds[name]
        if kind == "start":
            return 10.0
        if kind == "end":
            return _even(text_width(end_word(ENDS[kind]), 11) + 16)
        words = max(text_width(below(kind, note), 9) for note in self.notes[name]) + 22
        return _even(max(text_width(name[:NAME]) + 26, words, sum(map(self._exit, self._exits(name))), 66.0))

    def _exits(self, name: str) -> list[Arrow]:
        return [arrow for arrow in self.out if arrow[0] == name]

    def _exit(self, arrow: Arrow) -> float:
        """Return the width in pixels of an exit, with the space after it."""
        return _even(text_width(end_word(ENDS[self.kinds[arrow[1]]]), 11) + 20)

    def _across(self) -> list[float]:
        """Return the x of each column's centre."""
        found: list[float] = []
        edge = 0.0
        for i, half in enumerate(self.half):
            found.append(edge + half)
            into = [a for a in self.ahead if self.column[a[1]] == i + 1]
            words = [text_width(self.labels[a], 10) + (48 if self._crowd(a[0]) else 20) for a in into if self.labels[a]]
            edge += 2 * half + max([_GAP, *words])
        return found

    def box(self, name: str) -> Box:
        high = {"end": 24.0, "start": 10.0}.get(self.kinds[name], _HIGH)
        return Box(name, self.kinds[name], self.x[self.column[name]], self.y[name], self.width(name), high)

    def exits(self, boxes: Mapping[str, Box]) -> dict[Arrow, Box]:
        """Return a small box per node and exit: arrows to a shared exit would cross the graph."""
        found: dict[Arrow, Box] = {}
        for name, box in boxes.items():
            own = self._exits(name)
            x = box.x - sum(map(self._exit, own)) / 2
            for arrow in own:
                wide = self._exit(arrow)
                y = box.y + box.height / 2 + 20 + _STUB / 2
                found[arrow] = Box(arrow[1], self.kinds[arrow[1]], x + wide / 2, y, wide - 6, _STUB)
                x += wide
        return found

    def ahead_lines(self, boxes: Mapping[str, Box]) -> Iterable[EdgePath]:
        for source, target in self.ahead:
            a, b = boxes[source], boxes[target]
            lift = -_BESIDE if self._pair(target, source) else 0.0
            low = 2 * _BESIDE if b.y > a.y and any(self._pair(s, source) for s, _ in self.back) else 0.0
            points = [(a.x + a.width / 2, a.y + lift + low)]
            for station in self.stations((source, target)):
                x, half = self.x[station.column], self.half[station.column]
                points += [(x - half, self.y[station]), (x + half, self.y[station])]
            points.append((b.x - b.width / 2, b.y + lift))
            label = self.labels[source, target]
            free = len(points) > 2  # noqa: PLR2004 - with stations, the label is above the first
            late = self._crowd(source)
            word = _over(points[1], points[2]) if free else _beside(points[0], points[1], label, late=late)
            yield EdgePath(source, target, label, "ahead", tuple(points), word)

    def _crowd(self, source: str) -> bool:
        return sum(s == source for s, _ in self.ahead) > 1

    def _pair(self, source: str, target: str) -> bool:
        """Whether an unlabelled back arrow goes to a neighbour that also leads here, so that both run side by side."""
        near = self.column[source] - self.column[target] == 1 and (target, source) in self.ahead
        return near and (source, target) in self.back and not self.labels[source, target]

    def back_lines(self, boxes: Mapping[str, Box]) -> Iterable[EdgePath]:
        lane = min(b.y - b.height / 2 for b in boxes.values()) if boxes else 0.0
        for source, target in sorted(self.back, key=lambda a: self.column[a[0]] - self.column[a[1]]):
            a, b, label = boxes[source], boxes[target], self.labels[source, target]
            if self._pair(source, target):
                ends = ((a.x - a.width / 2, a.y + _BESIDE), (b.x + b.width / 2, b.y + _BESIDE))
                yield EdgePath(source, target, label, "ahead", ends, ends[0])
                continue
            lane -= _LANE
            x0, x1 = a.x - (0 if a is not b else 12), b.x + (8 if a is not b else 12)
            points = ((x0, a.y - a.height / 2), (x0, lane), (x1, lane), (x1, b.y - b.height / 2))
            yield EdgePath(source, target, label, "back", points, ((x0 + x1) / 2, lane - 4))

    def exit_lines(self, boxes: Mapping[str, Box], exits: Mapping[Arrow, Box]) -> Iterable[EdgePath]:
        for (source, target), box in exits.items():
            x, top = box.x, boxes[source].y + boxes[source].height / 2
            label = self.labels[source, target]
            word = (x + 5 + text_width(label, 10) / 2, (top + box.y - _STUB / 2) / 2 + 3)
            yield EdgePath(source, target, label, "exit", ((x, top), (x, box.y - _STUB / 2)), word)


def _merged(picture: Picture, kinds: Mapping[str, str]) -> dict[Arrow, str]:
    """Merge the arrows of each pair of nodes into one with all labels."""
    found: dict[Arrow, list[str]] = defaultdict(list)
    for source, target, label in picture.arrows:
        if source in kinds and target in kinds:
            found[source, target] += [label] if label and label not in found[source, target] else []
    return {arrow: ", ".join(labels) for arrow, labels in found.items()}


def _framed(boxes: list[Box], lines: list[EdgePath], piles: list[Box]) -> Layout:
    """Return the layout moved so that all parts fit inside, with a small margin."""
    xs = [b.x + s * b.width / 2 for b in boxes for s in (-1, 1)] + [x for line in lines for x, _ in line.points]
    ys = [b.y + s * b.height / 2 for b in boxes for s in (-1, 1)] + [y for line in lines for _, y in line.points]
    labels = [line for line in lines if line.label]
    xs += [line.word[0] + s * text_width(line.label, 10) / 2 for line in labels for s in (-1, 1)]
    ys += [line.word[1] + dy for line in labels for dy in (-9, 3)]
    xs += [b.x + b.width / 2 + 6 for b in piles]
    ys += [b.y - b.height / 2 - 6 for b in piles]
    dx, dy = 3 - min(xs, default=0.0), 3 - min(ys, default=0.0)
    return Layout(
        tuple(Box(b.name, b.kind, b.x + dx, b.y + dy, b.width, b.height) for b in boxes),
        tuple(_moved(line, dx, dy) for line in lines),
        max(xs, default=0.0) + dx + 3,
        max(ys, default=0.0) + dy + 3,
    )


def _moved(line: EdgePath, dx: float, dy: float) -> EdgePath:
    points = tuple((x + dx, y + dy) for x, y in line.points)
    return EdgePath(line.source, line.target, line.label, line.way, points, (line.word[0] + dx, line.word[1] + dy))


def _beside(start: Point, end: Point, label: str, *, late: bool) -> Point:
    """Return the centre of a forward arrow's label: at its flat part, on the side the arrow does not come from.

    `late`: place it near the end, since other arrows leave the same box and would cross it in the middle.
    """
    (x0, y0), (x1, y1) = start, end
    if abs(y0 - y1) < 1 and not late:
        return (x0 + x1 - 7) / 2, y1 - 6
    return x1 - 12 - text_width(label, 10) / 2, y1 - 6 if y0 > y1 - 1 else y1 + 13


def _over(start: Point, end: Point) -> Point:
    return (start[0] + end[0]) / 2, start[1] - 5


def _even(width: float) -> float:
    """Round up, so that half of it has no decimals: numbers of a picture are saved in the notebook."""
    return 2.0 * math.ceil(width / 2)


def _mean(values: list[float] | list[int]) -> float:
    return sum(values) / len(values) if values else 0.0
