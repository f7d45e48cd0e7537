"""Runs the tool calls of a model concurrently. Errors are returned to the model, so a tool does not fail the run."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Mapping
from typing import Any

from orchmagic.core.portable import readable
from orchmagic.errors import EndsRun, Waiting, error_kind
from orchmagic.graph import tool_schema
from orchmagic.graph.model import Tools
from orchmagic.language.builtin_prompts import REJECTED, TOOL_ERROR
from orchmagic.runtime.caller import calling, paid_again
from orchmagic.runtime.context import Context, State, Update
from orchmagic.trace.decisions import DECISIONS, EDIT, REJECT
from orchmagic.trace.events import InputReceived, NodeStarted, ToolFinished, ToolStarted


async def run_tools(node: Tools, span: str, state: State, ctx: Context) -> Update:
    """Runs the tool calls of the last message concurrently; most errors become text for the model."""
    calls = state[node.transcript][-1]["tool_calls"]
    ctx.emit(NodeStarted(span=span, node=node.name, kind="tools", input=calls))
    uses = (_one_tool(node, span, i, call, ctx) for i, call in enumerate(calls, 1))
    results = await asyncio.gather(*uses, return_exceptions=True)
    stops = sorted((r for r in results if isinstance(r, BaseException)), key=lambda r: isinstance(r, Waiting))
    if stops:
        raise stops[0]  # the others' results are in the journal
    replies = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    return {node.transcript: replies}


async def _one_tool(node: Tools, span: str, number: int, call: Mapping[str, Any], ctx: Context) -> str:
    name, written = call["function"]["name"], call["function"]["arguments"]
    id_ = f"{span}.{number}"
    ctx.emit(ToolStarted(call=id_, span=span, tool=name, arguments=written))
    async with calling(ctx, id_):
        return await _result(node, name, written, id_, ctx)


async def _result(node: Tools, name: str, written: str, id_: str, ctx: Context) -> str:
    """The tool's result as the model sees it; an error is text, too."""
    key = json.dumps([name, written])
    recorded = ctx.journal.recall(id_, key)
    if recorded is not None:
        paid_again(ctx, id_)
    try:
        result = recorded.value if recorded else readable(await _use(node, name, written, id_, ctx))
        result = await ctx.guardrails.check(result, "tools", id_)
    except EndsRun:
        raise  # not shown to the model, which would find another way to write
    except Exception as error:  # noqa: BLE001 - any exception of a tool is shown to the model
        text = str(error) if isinstance(error, ValueError | LookupError) else f"{type(error).__name__}: {error}"
        result = TOOL_ERROR.format(error=text.strip("'\"") if isinstance(error, KeyError) else text)
        result = await ctx.guardrails.check_or_explain(result, "tools", id_)
        ctx.emit(ToolFinished(call=id_, error=result, error_kind=error_kind(error)))
    else:
        ctx.journal.keep(id_, key, result)
        ctx.emit(ToolFinished(call=id_, result=result))
    return result


async def _use(node: Tools, name: str, written: str, id_: str, ctx: Context) -> object:
    if name not in node.tools:
        raise LookupError(f"there is no tool {name!r}; there are: {', '.join(node.tools)}")
    tool = tool_schema.tool(name, ctx.namespace[name])  # type: ignore[arg-type]  # checked when the cell was read
    arguments = tool.read(written)
    if name in node.approve:
        arguments = tool.read(_approved(name, written, id_, ctx))
    timeout = ctx.defaults.timeout_of(node)
    try:
        async with asyncio.timeout(timeout):
            if inspect.iscoroutinefunction(tool.function):
                return await tool.function(**arguments)
            return await asyncio.to_thread(tool.function, **arguments)
    except TimeoutError:
        raise ValueError(f"{name} gave no answer within {timeout:g} s") from None


def _approved(name: str, written: str, id_: str, ctx: Context) -> str:
    """The arguments that a person approved, unchanged or edited.

    Raises:
        Waiting: there is no answer yet.
        ValueError: rejected; the message is for the model.
    """
    shown = {"tool": name, "arguments": json.loads(written or "{}")}
    reply = ctx.await_reply(Waiting(f"Run {name}?", span=id_, choices=DECISIONS, value=shown, tool=name))
    ctx.emit(InputReceived(span=id_, reply=reply))
    if reply["action"] == REJECT:
        raise ValueError(REJECTED.format(tool=name, why=reply.get("why") or "no reason was given"))
    return json.dumps(reply["value"]) if reply["action"] == EDIT else written
