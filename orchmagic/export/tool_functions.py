"""Generates a module's tool tables, their limits, and the instruction for models without tool calls."""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.export.formatting import assigned, call, remarked
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.module_plan import ModulePlan
from orchmagic.graph.model import Call
from orchmagic.graph.tool_schema import tool
from orchmagic.models.types import ModelRequest
from orchmagic.models.wire import json_tools

ALIAS = "Tools: TypeAlias = dict[str, tuple[Callable[..., Any], type[BaseModel]]]"


def tables(whole: ModulePlan) -> list[str]:
    """Returns one table per set of tools: name -> (function, class of its arguments)."""
    found = []
    for names, table in whole.tables.items():
        pairs = [f'"{name}": ({name}, {whole.arguments[name]})' for name in names]
        found.append("\n".join(call(f"{table}: Tools = {{", pairs, "}")))
    return found


def limits(whole: ModulePlan) -> list[list[str]]:
    """Returns the constants of tools: timeouts in seconds, and the tools whose calls a person approves."""
    seconds = whole.defaults.timeout
    found = [[f"TOOL_TIMEOUT: float | None = {seconds!r}"]] if whole.agents else []
    for plan, node in whole.agents:
        upper = plan.function[node.name].upper()
        if plan.has_tool_timeout(node):
            found.append([f"{upper}_TIMEOUT = {plan.asked.defaults.timeout_of(node)!r}"])
        if node.approve:
            found.append(remarked(assigned(f"{upper}_APPROVE", set(node.approve)), "a person approves these calls"))
    choices = 'CHOICES = ("approve", "edit", "reject")'
    return [*found, [choices]]


def instruction(whole: ModulePlan) -> Iterator[list[str]]:
    """Yields the constant with the instructions for models that cannot call tools."""
    told: dict[tuple[str, ...], str] = {}
    for plan, node in whole.calls:
        if whole.actions and node.tools:
            text = _instruction(plan, node)
            if told.setdefault(node.tools, text) != text:
                plan.copied.problem("two agents with the same tools return different types: give one a tool more")
    if told:
        yield assigned("INSTRUCTIONS", told)


def _instruction(plan: GraphPlan, node: Call) -> str:
    specs = tuple(tool(name, plan.namespace[name]).spec for name in node.tools)  # type: ignore[arg-type]  # checked when the cell was read
    typed = plan.typed.get(node.name)
    asked = json_tools.encode(ModelRequest("", "", (), tools=specs, schema=typed.schema if typed else None))
    return str(asked.messages[0]["content"])
