"""The tools of a module: the notebook's functions by name, and how their calls are run."""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.export.formatting import assigned, call, remarked
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.module_plan import ModulePlan
from orchmagic.graph.model import Call
from orchmagic.graph.tool_schema import tool
from orchmagic.models import ModelRequest
from orchmagic.models.wire import json_tools

ALIAS = "Tools: TypeAlias = dict[str, tuple[Callable[..., Any], type[BaseModel]]]"


def tables(whole: ModulePlan) -> list[str]:
    """The tables of tools."""
    found = []
    for names, table in whole.tables.items():
        pairs = [f'"{name}": ({name}, {whole.arguments[name]})' for name in names]
        found.append("\n".join(call(f"{table}: Tools = {{", pairs, "}")))
    return found


def limits(whole: ModulePlan) -> list[list[str]]:
    """The seconds of one tool call, and the tools whose calls a person approves."""
    seconds = whole.defaults.timeout
    found = [[f"TOOL_TIMEOUT: float | None = {seconds!r}"]] if whole.agents else []
    for plan, node in whole.agents:
        upper = plan.function[node.name].upper()
        if node.timeout is not None:
            found.append([f"{upper}_TIMEOUT = {node.timeout!r}"])
        if node.approve:
            found.append(remarked(assigned(f"{upper}_APPROVE", set(node.approve)), "a person approves these calls"))
    choices = 'CHOICES = ("approve", "edit", "reject")'
    return [*found, [choices]]


def instruction(whole: ModulePlan) -> Iterator[list[str]]:
    """What a model that cannot call tools is told: about them, and what they returned."""
    told: dict[tuple[str, ...], str] = {}
    observed = ""
    for plan, node in whole.calls:
        if whole.actions and node.tools:
            first, *_, observed = _spelled(plan, node)
            if told.setdefault(node.tools, first) != first:
                plan.copied.problem("two agents with the same tools return different types: give one a tool more")
    if told:
        yield assigned("INSTRUCTIONS", told)
        yield assigned("OBSERVED", observed)


def _spelled(plan: GraphPlan, node: Call) -> list[str]:
    """The texts around a tool's result, as the notebook words them."""
    specs = tuple(tool(name, plan.namespace[name]).spec for name in node.tools)  # type: ignore[arg-type]  # checked when the cell was read
    typed = plan.typed.get(node.name)
    call_ = {"id": "1", "type": "function", "function": {"name": "\0", "arguments": "{}"}}
    said = {"role": "assistant", "content": None, "tool_calls": [call_]}
    result = {"role": "tool", "tool_call_id": "1", "content": "\1"}
    schema = typed.schema if typed else None
    asked = json_tools.encode(ModelRequest("", "", (said, result), tools=specs, schema=schema))
    texts = [str(m["content"]) for m in asked.messages]
    braced = texts[-1].replace("{", "{{").replace("}", "}}")
    return [*texts[:-1], braced.replace("\0", "{name}").replace("\1", "{content}")]
