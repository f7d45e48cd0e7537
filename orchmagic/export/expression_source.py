"""Python expressions of a cell as source of a module: names changed, written by `ast.unparse`."""

from __future__ import annotations

import ast
from collections.abc import Mapping

_OPPOSITES: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def read(source: str, rename: Mapping[str, str] | None = None) -> ast.expr:
    """The expression's tree, with the names of the cell changed to those of the module."""
    tree: ast.expr = _Renamed(rename or {}).visit(ast.parse(source.strip(), mode="eval").body)
    return tree


def opposite(tree: ast.expr) -> ast.expr:
    """False where `tree` is true; a comparison instead of a `not` where one says it."""
    match tree:
        case ast.Compare(left=left, ops=[op], comparators=right) if type(op) in _OPPOSITES:
            return ast.Compare(left, [_OPPOSITES[type(op)]()], right)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return operand
    return ast.UnaryOp(ast.Not(), tree)


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._names.get(node.arg, node.arg)
        return node
