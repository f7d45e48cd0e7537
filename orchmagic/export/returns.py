"""What a node's function returns: its value, what else it tells, and its count where something reads visits."""

from __future__ import annotations

from collections.abc import Sequence

from orchmagic.export.formatting import call
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.graph.model import Node


def returned(
    plan: GraphPlan, node: Node, value: str | None, *, more: Sequence[str] = (), indent: str = "    "
) -> list[str]:
    """The return statement; `value` is an expression, None when the node leaves no value of its own."""
    own = [] if value is None else [f'"{node.name}": {value}']
    return call(f"{indent}return {{", [*own, *more, *counted(plan, node)], "}")


def counted(plan: GraphPlan, node: Node) -> list[str]:
    """The node's visits, one more than before; nothing where nobody reads them."""
    key = plan.key(node.name, "visits")
    return [f'"{key}": state.get("{key}", 0) + 1'] if node.name in plan.counted else []
