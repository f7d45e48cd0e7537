"""The way that a run took through its picture, from the order in which nodes were visited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchmagic.trace.record import Picture

ENDS = {"end": "done", "fail": "failed", "stop": "stopped", "cap": "capped"}
"""Kinds of the picture's nodes that stand for a way out, and the word for each."""


TIMES = "\u00d7"


def walked(picture: Picture, path: Sequence[str], items: Mapping[str, int], *, done: bool) -> Picture:
    """The picture with the way that was taken, and the number of items in place of `each`."""
    notes = tuple(
        (node, note.replace("each", f"{TIMES}{items[node]}", 1) if items.get(node) else note)
        for node, note in picture.notes
    )
    return replace(picture, notes=notes, taken=taken(picture, path, done=done))


def taken(picture: Picture, path: Sequence[str], *, done: bool) -> tuple[tuple[str, str], ...]:
    """The arrows that were followed: into each node from the last one visited that has an arrow to it.

    A node that joins is reached from all its sources; the first nodes from the start, where the picture has one.
    """
    arrows = {(source, target) for source, target, _ in picture.arrows}
    into: dict[str, list[str]] = {}
    for source, target, _ in picture.arrows:
        into.setdefault(target, []).append(source)
    kinds = dict(picture.nodes)
    found: dict[tuple[str, str], None] = {}
    seen: dict[str, int] = {n: -1 for n, kind in picture.nodes if kind == "start"}  # when each was visited last
    for i, node in enumerate(path):
        found.update(dict.fromkeys(_ways(node, into.get(node, ()), seen, picture.joins)))
        seen[node] = i
    if done and path and kinds.get(path[-1]) not in ENDS:
        found.update(dict.fromkeys((s, t) for s, t in arrows if s == path[-1] and kinds.get(t) == "end"))
    return tuple(found)


def later(picture: Picture, path: Sequence[str]) -> list[tuple[str, str]]:
    """The nodes, as (name, kind), that the run could have come to after the last one it visited, and never did."""
    kinds = dict(picture.nodes)
    reached = set([n for n in path if kinds.get(n) not in ENDS][-1:])
    while more := {t for s, t, _ in picture.arrows if s in reached} - reached:
        reached |= more
    return [(name, kind) for name, kind in picture.nodes if name in reached - set(path) and kind not in ENDS]


def _ways(
    node: str, before: Sequence[str], seen: Mapping[str, int], joins: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    since = seen.get(node, -2)
    joined = [(s, t) for s, t in joins if t == node and seen.get(s, -3) > since]
    if joined:
        return joined
    visited = [s for s in before if s in seen]
    return [(max(visited, key=lambda s: seen[s]), node)] if visited else []
