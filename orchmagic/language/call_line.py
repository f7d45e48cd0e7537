"""A code step that is one call, `x = triage(ticket=t)`, as its function and its arguments in source form."""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallLine:
    """`function(*positional, **named)`; `unpacks`: it has an argument such as `*rest` or `**rest`."""

    function: str
    positional: tuple[str, ...]
    named: tuple[tuple[str, str], ...]
    unpacks: bool


def read_call(source: str) -> CallLine | None:
    """The expression as a call of a name; None if it is anything else, such as `triage(t).output`."""
    tree = ast.parse(source.strip(), mode="eval").body
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
        return None
    return CallLine(
        tree.func.id,
        tuple(ast.unparse(argument) for argument in tree.args),
        tuple((k.arg, ast.unparse(k.value)) for k in tree.keywords if k.arg),
        any(isinstance(a, ast.Starred) for a in tree.args) or any(k.arg is None for k in tree.keywords),
    )
