"""What a node's function returns: its value, what else it tells, and its count where a branch counts visits."""

from __future__ import annotations

from collections.abc import Sequence

from orchmagic.export.layout import call
from orchmagic.export.plan import Plan
from orchmagic.graph import Node


def returned(plan: Plan, node: Node, value: str | None, *, more: Sequence[str] = (), indent: str = "    ") -> list[str]:
    """The return statement; `value` is an expression, None when the node leaves no value of its own."""
    own = [] if value is None else [f'"{node.name}": {value}']
    key = plan.key(node.name, "visits")
    count = f'"{key}": state.get("{key}", 0) + 1'
    return call(f"{indent}return {{", [*own, *more, *([count] if node.name in plan.counted else [])], "}")
