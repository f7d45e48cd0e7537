"""Finds which parts of its inputs a graph uses, inner graphs included: only these are kept of a run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from orchmagic.graph.checks import sources
from orchmagic.graph.composition import free
from orchmagic.graph.model import Code, Graph, Node, Sub
from orchmagic.graph.once import once
from orchmagic.language.usage import NOTHING, WHOLE, Use, Uses, merged, of_expression, of_template


@once
def uses(graph: Graph) -> Uses:
    """Maps each input to the parts of it that prompts and expressions use; an input that none reads is kept whole."""
    found = read_parts(graph)
    typed = {node.name for node in graph.given}  # a typed value is built from all of its fields
    return {name: WHOLE if name in typed else found.get(name, WHOLE) for name in graph.inputs}


def read_parts(graph: Graph) -> Uses:
    """Maps each name, also of steps, to the parts that prompts, expressions and inner graphs use."""
    conditions = (of_expression(on) for link in graph.links if (on := getattr(link, "on", None)))
    return merged([*(part for node in graph.nodes for part in _of_node(node)), *conditions])


def item_use(node: Node) -> Use:
    """What a node with `over=` uses of each item."""
    each = getattr(node, "each", None)
    return merged(_inside(node)).get(each.item, NOTHING) if each else NOTHING


@once
def documents(graph: Graph) -> frozenset[str]:
    """The inputs that are split into chunks: of a path among them, the file is read."""
    found: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, Code):
            found |= _first_arguments(node.expression, "split")
        if isinstance(node, Sub):
            inner = documents(node.graph)
            given = {source for name, source in node.given if name in inner}
            found |= given | (inner & {*free(node)})
    return frozenset(found & {*graph.inputs})


def _first_arguments(source: str, function: str) -> set[str]:
    calls = [node for node in ast.walk(ast.parse(source.strip(), mode="eval")) if isinstance(node, ast.Call)]
    own = [c.args[0] for c in calls if isinstance(c.func, ast.Name) and c.func.id == function and c.args]
    return {argument.id for argument in own if isinstance(argument, ast.Name)}


def _of_node(node: Node) -> Iterator[Mapping[str, Use]]:
    each, when = getattr(node, "each", None), getattr(node, "when", None)
    own = {each.item} if each else set()
    for found in _inside(node):
        yield {name: use for name, use in found.items() if name not in own}
    if each:
        yield of_expression(each.over, Use(items=item_use(node)))
    if when:
        yield of_expression(when)


def _inside(node: Node) -> Iterator[Mapping[str, Use]]:
    """What prompts, expressions and inner graphs of a node use, without its `over=` and `when=`."""
    if isinstance(node, Sub):
        inner = uses(node.graph)
        yield {name: inner[name] for name in free(node)}
        for name, expression in node.given:
            yield of_expression(expression, inner.get(name, WHOLE))
        return
    templates, expressions, _ = sources(node)
    around = {getattr(node, "when", None), getattr(getattr(node, "each", None), "over", None)}
    yield from map(of_template, templates)
    yield from (of_expression(source) for source in expressions if source not in around)
