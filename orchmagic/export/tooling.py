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
    """What a model that cannot call tools is told: about them, and what they returned."""
    for node in plan.calls:
        if plan.actions and node.tools:
            first, *_, last = _spelled(plan, node)
            yield assigned("INSTRUCTION", first)
            yield assigned("OBSERVED", last)


def _spelled(plan: Plan, node: Call) -> list[str]:
    """The texts around a tool's result, as the notebook words them."""
    specs = tuple(tool(name, plan.namespace[name]).spec for name in node.tools)  # type: ignore[arg-type]  # checked when the cell was read
    typed = plan.typed.get(node.name)
    call_ = {"id": "1", "type": "function", "function": {"name": "\0", "arguments": "{}"}}
    said = {"role": "assistant", "content": None, "tool_calls": [call_]}
    result = {"role": "tool", "tool_call_id": "1", "content": "\1"}
    schema = typed.schema if typed else None
    asked = actions.encode(ModelRequest("", "", (said, result), tools=specs, schema=schema))
    texts = [str(m["content"]) for m in asked.messages]
    braced = texts[-1].replace("{", "{{").replace("}", "}}")
    return [*texts[:-1], braced.replace("\0", "{name}").replace("\1", "{content}")]
