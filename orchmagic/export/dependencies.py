"""Finds what the nodes of a graph read: their templates, their expressions, and the names in both."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from orchmagic.export import source_text
from orchmagic.graph import checks
from orchmagic.graph.model import Node
from orchmagic.language import template

# Names that every expression and template may use besides inputs and steps.
ALWAYS = ("messages", "visits", "errors")


def texts(node: Node) -> tuple[str, ...]:
    return checks.sources(node)[0]


def before(node: Node) -> list[str]:
    """Returns the expressions that are evaluated once, before the items: `when` and `over`."""
    each = getattr(node, "each", None)
    return [e for e in (getattr(node, "when", None), each.over if each else None) if e]


def inside(node: Node) -> tuple[str, ...]:
    """Returns the expressions that are evaluated for each item: a Code node's, and the inputs of an inner graph."""
    found = expressions(node)
    return found[: len(found) - len(before(node))]


def expressions(node: Node) -> tuple[str, ...]:
    return checks.sources(node)[1]


def needs(source: str) -> list[str]:
    """Returns the names that an expression reads."""
    return source_text.needs(source.strip())  # builtins included: a step may have a builtin's name


def names(node: Node) -> list[str]:
    """Returns the names that a node's templates and expressions read, in order, without its item."""
    inner = [n for n in [*in_texts(node), *(n for e in inside(node) for n in needs(e))] if n not in checks.own(node)]
    return [*inner, *(n for e in before(node) for n in needs(e))]


def in_texts(node: Node) -> list[str]:
    """Returns the names that a node's templates read."""
    return [n for text in texts(node) for n in sorted(template.names(text))]


def visited(expressions: Sequence[str], texts: Sequence[str], nodes: Sequence[str]) -> set[str]:
    """Returns the nodes whose visits are read: `visits["plan"]` reads one, any other use may read all."""
    if any("visits" in template.names(t) for t in texts):
        return set(nodes)
    found: set[str] = set()
    for tree in (ast.parse(e.strip(), mode="eval") for e in expressions if "visits" in needs(e)):
        uses = sum(isinstance(n, ast.Name) and n.id == "visits" for n in ast.walk(tree))
        named = [name for n in ast.walk(tree) if (name := _one_visit(n)) is not None]
        found |= set(named) & set(nodes) if len(named) == uses else set(nodes)
    return found


def _one_visit(tree: ast.AST) -> str | None:
    match tree:
        case ast.Subscript(value=ast.Name(id="visits"), slice=ast.Constant(value=str() as name)):
            return name
        case ast.Call(func=ast.Attribute(value=ast.Name(id="visits"), attr="get"), args=[ast.Constant(value=name), *_]):
            return str(name)
    return None
