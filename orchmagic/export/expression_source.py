"""Rewrites a cell's expressions for the module: renames names, calls the notebook's functions in a thread."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping

from orchmagic.export import dependencies
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.language import expression

_OPPOSITES: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def read(source: str, rename: Mapping[str, str] | None = None) -> ast.expr:
    """Returns the expression's tree with the cell's names replaced by those in `rename`."""
    tree: ast.expr = _Renamed(rename or {}).visit(ast.parse(source.strip(), mode="eval").body)
    return tree


def opposite(tree: ast.expr) -> ast.expr:
    """Returns the negation of `tree`: the opposite comparison if there is one, else `not`."""
    match tree:
        case ast.Compare(left=left, ops=[op], comparators=right) if type(op) in _OPPOSITES:
            return ast.Compare(left, [_OPPOSITES[type(op)]()], right)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return operand
    return ast.UnaryOp(ast.Not(), tree)


def threaded(plan: GraphPlan, source: str) -> ast.expr:
    """Returns the expression with the module's names; if it calls notebook code, it is awaited in a thread."""
    tree = read(source, plan.variable)
    code = set(plan.graph.code)
    if not expression.called(source) & code:
        return tree
    match tree:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in code:
            if inspect.iscoroutinefunction(plan.namespace.get(name)):
                return ast.Await(tree)
            return ast.Await(ast.Call(ast.Name("in_thread"), [tree.func, *args], keywords))
    if any(inspect.iscoroutinefunction(plan.namespace.get(n)) for n in expression.called(source) & code):
        plan.copied.problem(f"`{source}` calls an async function inside a larger expression: give it a line of its own")
    return read(f"await in_thread(lambda: {ast.unparse(tree)})")


def json_of(plan: GraphPlan, source: str) -> str:
    """Returns the name of the function that converts the value to JSON; notebook code may return a table."""
    return "as_json" if set(dependencies.needs(source)) & set(plan.graph.code) else "to_jsonable_python"


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._names.get(node.arg, node.arg)
        return node
