"""Where the nodes of a graph stand in a picture: columns by distance from the start, rows in the order of the cell."""

from __future__ import annotations

from collections.abc import Sequence

from orchmagic.trace import Picture


def places(picture: Picture) -> dict[str, tuple[int, int]]:
    """(column, row) of each node, from 0. Arrows that lead back do not move a node to the right."""
    names = [name for name, _ in picture.nodes]
    order = {name: i for i, name in enumerate(names)}
    column = dict.fromkeys(names, 0)
    for name in names:
        ahead = [t for s, t, _ in picture.arrows if s == name and order.get(t, -1) > order[name]]
        for target in ahead:
            column[target] = max(column[target], column[name] + 1)
    row: dict[int, int] = {}
    found: dict[str, tuple[int, int]] = {}
    for name in names:
        at = row.get(column[name], 0)
        row[column[name]] = at + 1
        found[name] = (column[name], at)
    return found


def size(found: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """(columns, rows) of a picture."""
    columns: Sequence[int] = [c for c, _ in found.values()] or [0]
    rows: Sequence[int] = [r for _, r in found.values()] or [0]
    return max(columns) + 1, max(rows) + 1
