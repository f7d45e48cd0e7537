"""The tools of a module: the notebook's functions by name, and how their calls are run."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from orchmagic.export import parts
from orchmagic.export.layout import assigned, call
from orchmagic.export.plan import Plan
from orchmagic.graph import Call, Tools
from orchmagic.models import ModelRequest, actions
from orchmagic.tools import tool

_PARTS = (
    "tool_calls",
    "tool_format",
    "use_tool",
    "arguments_for",
    "told",
    "readable",
    "as_actions",
    "spelled",
    "action_format",
    "acted",
)


def tools(plan: Plan) -> list[str]:
    """TOOLS and the functions around it."""
    if not plan.has_tools:
        return []
    pairs = [f'"{name}": ({name}, {title})' for name, title in plan.arguments.items()]
    table = call("TOOLS: dict[str, tuple[Callable[..., Any], type[BaseModel]]] = {", pairs, "}")
    return ["\n".join(table), *(inspect.getsource(getattr(parts, name)).rstrip() for name in _PARTS)]


def limits(plan: Plan) -> list[list[str]]:
    """The seconds of one tool call."""
    found = [n.timeout or plan.defaults.timeout for n in plan.graph.nodes if isinstance(n, Tools)]
    return [[f"TOOL_TIMEOUT = {found[0]!r}"]] if found else []


def instruction(plan: Plan) -> Iterator[list[str]]:
    """What a model that cannot call tools is told about them."""
    for node in plan.calls:
        if plan.actions and node.tools:
            yield assigned("INSTRUCTION", _instruction(plan, node))


def _instruction(plan: Plan, node: Call) -> str:
    specs = tuple(tool(name, plan.namespace[name]).spec for name in node.tools)  # type: ignore[arg-type]  # checked when the cell was read
    typed = plan.typed.get(node.name)
    asked = ModelRequest("", "", (), tools=specs, schema=typed.schema if typed else None)
    return str(actions.encode(asked).messages[0]["content"])
