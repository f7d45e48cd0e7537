"""Run the tool calls of a model side by side. What goes wrong is told to the model; a tool never fails a run."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

from orchmagic import tools
from orchmagic.context import Context, State, Update
from orchmagic.events import NodeStarted, ToolFinished, ToolStarted
from orchmagic.graph import Tools
from orchmagic.wording import TOOL_ERROR


async def run_tools(node: Tools, span: str, state: State, ctx: Context) -> Update:
    """Run the tool calls of the last message side by side; what goes wrong is told to the model."""
    calls = state[node.transcript][-1]["tool_calls"]
    ctx.emit(NodeStarted(span=span, node=node.name, kind="tools", input=calls))
    results = await asyncio.gather(*(_one_tool(node, span, i, call, ctx) for i, call in enumerate(calls, 1)))
    replies = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    return {node.transcript: replies}


async def _one_tool(node: Tools, span: str, number: int, call: Mapping[str, Any], ctx: Context) -> str:
    name, written = call["function"]["name"], call["function"]["arguments"]
    id_ = f"{span}.{number}"
    ctx.emit(ToolStarted(call=id_, span=span, tool=name, arguments=written))
    try:
        result = tools.readable(await _use(node, name, written, ctx))
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is for the model to read
        told = str(error) if isinstance(error, ValueError | LookupError) else f"{type(error).__name__}: {error}"
        result = TOOL_ERROR.format(error=told.strip("'\"") if isinstance(error, KeyError) else told)
        ctx.emit(ToolFinished(call=id_, error=result))
    else:
        ctx.emit(ToolFinished(call=id_, result=result))
    return result


async def _use(node: Tools, name: str, written: str, ctx: Context) -> object:
    if name not in node.tools:
        raise LookupError(f"there is no tool {name!r}; there are: {', '.join(node.tools)}")
    tool = tools.tool(name, ctx.namespace[name])  # type: ignore[arg-type]  # checked when the cell was read
    arguments = tool.read(written)
    timeout = node.timeout or ctx.defaults.timeout
    try:
        async with asyncio.timeout(timeout):
            if inspect.iscoroutinefunction(tool.function):
                return await tool.function(**arguments)
            return await asyncio.to_thread(tool.function, **arguments)
    except TimeoutError:
        raise ValueError(f"{name} gave no answer within {timeout:g} s") from None
