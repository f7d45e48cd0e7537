"""Finds which fields of values prompts and expressions read: `a.x`, `a["x"]`, `a[0].x`, and of items in loops."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from orchmagic.language import expression, template

if TYPE_CHECKING:
    from jinja2 import nodes as jinja


@dataclass(frozen=True, slots=True)
class Place:
    """A free name, or with `of_item` one of its items; `written` is how the text calls it."""

    name: str
    written: str
    of_item: bool = False


@dataclass(frozen=True, slots=True)
class FieldRead:
    """A read of one field. `brackets`: as `a["x"]`, which a template takes for `a.x` and Python does not."""

    of: Place
    field: str
    written: str
    brackets: bool = False


Places: TypeAlias = Mapping[str, Place]


def in_template(text: str, items: Places) -> Iterator[FieldRead]:
    """Yields the reads of a template; `items` are names that stand for an item of another name."""
    free = {name: Place(name, name) for name in template.names(text)}
    yield from (_as_written(read, text) for read in _in_jinja(template.tree(text), {**free, **items}))


def in_expression(text: str, items: Places) -> Iterator[FieldRead]:
    """Yields the reads of an expression."""
    free = {name: Place(name, name) for name in expression.names(text)}
    yield from (_as_written(read, text) for read in _in_python(expression.tree(text), {**free, **items}))


def _as_written(read: FieldRead, text: str) -> FieldRead:
    quoted = (f"{read.of.written}[{quote}{read.field}{quote}]" for quote in "'\"") if read.brackets else ()
    return replace(read, written=next((q for q in quoted if q in text), read.written))


def _items(target: str, of: Place | None, places: Places) -> Places:
    """The places inside a loop over `of`, whose variable hides what had its name."""
    inside = {name: place for name, place in places.items() if name != target}
    return inside if of is None or of.of_item else {**inside, target: Place(of.name, target, of_item=True)}


def _indexed(of: Place | None, index: object) -> Place | None:
    if of is None or of.of_item or not isinstance(index, int):
        return None
    return Place(of.name, f"{of.written}[{index}]", of_item=True)


def _in_jinja(node: jinja.Node, places: Places) -> Iterator[FieldRead]:
    from jinja2 import nodes  # noqa: PLC0415 - heavy

    def place(node: jinja.Node) -> Place | None:
        if isinstance(node, nodes.Name):
            return places.get(node.name)
        return _indexed(place(node.node), _constant(node.arg)) if isinstance(node, nodes.Getitem) else None

    def _constant(node: jinja.Node) -> object:
        if isinstance(node, nodes.Neg):
            value = _constant(node.node)
            return -value if isinstance(value, int) else None
        return node.value if isinstance(node, nodes.Const) else None

    if isinstance(node, nodes.Getattr) and (of := place(node.node)):
        yield FieldRead(of, node.attr, f"{of.written}.{node.attr}")
    if isinstance(node, nodes.Getitem) and (of := place(node.node)) and isinstance(key := _constant(node.arg), str):
        yield FieldRead(of, key, of.written, brackets=True)
    if isinstance(node, nodes.For):
        yield from _in_jinja(node.iter, places)
        if isinstance(node.target, nodes.Name):
            places = _items(node.target.name, place(node.iter), places)
        else:
            hidden = {n.name for n in node.target.find_all(nodes.Name)}
            places = {name: found for name, found in places.items() if name not in hidden}
    for child in node.iter_child_nodes(exclude=("iter",) if isinstance(node, nodes.For) else None):
        yield from _in_jinja(child, places)


def _in_python(node: ast.AST, places: Places) -> Iterator[FieldRead]:
    place = partial(_place, places=places)
    if isinstance(node, ast.Attribute) and (of := place(node.value)):
        yield FieldRead(of, node.attr, f"{of.written}.{node.attr}")
    if isinstance(node, ast.Subscript) and (of := place(node.value)) and isinstance(key := _literal(node.slice), str):
        yield FieldRead(of, key, of.written, brackets=True)
    if isinstance(node, ast.Lambda):
        hidden = {n.arg for n in ast.walk(node.args) if isinstance(n, ast.arg)}
        places = {name: found for name, found in places.items() if name not in hidden}
    for loop in getattr(node, "generators", ()):
        yield from _in_python(loop.iter, places)
        found = place(loop.iter) if isinstance(loop.target, ast.Name) else None
        for name in (n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)):
            places = _items(name, found, places)
        yield from chain.from_iterable(_in_python(condition, places) for condition in loop.ifs)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.comprehension):
            yield from _in_python(child, places)


def _place(node: ast.AST, places: Places) -> Place | None:
    if isinstance(node, ast.Name):
        return places.get(node.id)
    return _indexed(_place(node.value, places), _literal(node.slice)) if isinstance(node, ast.Subscript) else None


def _literal(node: ast.AST) -> object:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        return -value if isinstance(value, int) else None
    return node.value if isinstance(node, ast.Constant) else None
