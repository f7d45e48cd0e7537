"""Runs the tool calls of a model concurrently. Errors are returned to the model, so a tool does not fail the run."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from orchmagic.core.function_threads import in_thread
from orchmagic.core.portable import MOST_ITEMS, all_of, readable
from orchmagic.core.user_code import contained, described
from orchmagic.errors import EndsRun, Waiting, WriteUnknown, ending, error_kind
from orchmagic.graph import tool_schema
from orchmagic.graph.model import Tools
from orchmagic.language.builtin_prompts import REJECTED, TOOL_ERROR
from orchmagic.runtime.caller import calling, paid_again
from orchmagic.runtime.context import Context, State, Update
from orchmagic.runtime.conversation import Said
from orchmagic.runtime.tools import unknown_writes_raised
from orchmagic.trace.decisions import DECISIONS, EDIT, REJECT
from orchmagic.trace.events import InputReceived, NodeStarted, ToolFinished, ToolStarted


async def run_tools(node: Tools, span: str, state: State, ctx: Context) -> Update:
    """Runs the tool calls of the last message concurrently; most errors become text for the model.

    If a person edited a call, the message is replaced: the model reads that it called what was run.
    """
    message = state[node.transcript][-1]
    calls = message["tool_calls"]
    ctx.emit(NodeStarted(span=span, node=node.name, kind="tools", input=calls))
    uses = (_one_tool(node, span, i, call, ctx) for i, call in enumerate(calls, 1))
    outcomes = await asyncio.gather(*uses, return_exceptions=True)
    if stop := ending(outcomes) or next((r for r in outcomes if isinstance(r, BaseException)), None):
        raise stop  # the others' results are in the journal
    done = [use for use in outcomes if not isinstance(use, BaseException)]
    replies = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call, (_, result) in zip(calls, done, strict=True)
    ]
    ran = [_with_arguments(call, arguments) for call, (arguments, _) in zip(calls, done, strict=True)]
    asked = message if ran == calls else {**message, "tool_calls": ran}
    ctx.say(span, Said("tools", [asked, *replies]))
    return {node.transcript: replies if ran == calls else [asked, *replies]}


def _with_arguments(call: Mapping[str, Any], arguments: str) -> dict[str, Any]:
    return {**call, "function": {**call["function"], "arguments": arguments}}


async def _one_tool(node: Tools, span: str, number: int, call: Mapping[str, Any], ctx: Context) -> tuple[str, str]:
    """Runs one call; returns (its arguments as JSON text, as run, and the result for the model)."""
    name, written = call["function"]["name"], call["function"]["arguments"]
    id_ = f"{span}.{number}"
    ctx.emit(ToolStarted(call=id_, span=span, tool=name, arguments=written))
    async with calling(ctx, id_):
        return await _result(node, name, written, id_, ctx)


async def _result(node: Tools, name: str, written: str, id_: str, ctx: Context) -> tuple[str, str]:
    """The arguments, as run, and the tool's result as the model sees it; an error is text, too."""
    key = json.dumps([name, written])
    recorded = ctx.journal.recall(id_, key)
    if recorded is not None:
        paid_again(ctx, id_)
    ran = written
    try:
        if recorded is not None:
            ran, result = recorded.value if isinstance(recorded.value, list) else (written, recorded.value)
        else:
            ran = _approved(node, name, written, id_, ctx)
            if ran != written:
                ctx.emit(ToolStarted(call=id_, span=id_.rpartition(".")[0], tool=name, arguments=ran))
            value = await _use(node, name, ran, ctx)
            with contained():
                result = readable(value)
        result = await ctx.guardrails.check(result, "tools", id_)
    except EndsRun:
        raise  # not shown to the model, which would find another way to write
    except Exception as error:  # noqa: BLE001 - any exception of a tool is shown to the model
        text = str(error) if isinstance(error, ValueError | LookupError) else described(error)
        result = TOOL_ERROR.format(error=text.strip("'\"") if isinstance(error, KeyError) else text)
        result = await ctx.guardrails.check_or_explain(result, "tools", id_)
        ctx.emit(ToolFinished(call=id_, error=result, error_kind=error_kind(error)))
    else:
        ctx.journal.keep(id_, key, result if ran == written else [ran, result])
        await ctx.journal.settled()
        ctx.emit(ToolFinished(call=id_, result=result))
    return ran, result


async def _use(node: Tools, name: str, written: str, ctx: Context) -> object:
    tool, timeout = _tool(name, ctx), ctx.defaults.timeout_of(node)
    arguments = tool.read(written)
    with unknown_writes_raised() as watch:
        try:
            async with asyncio.timeout(timeout) as clock:
                result = await in_thread(partial(_called, tool.function, arguments), name)
                is_async = inspect.isawaitable(result) or isinstance(result, AsyncGenerator)
                return await ctx.services.functions.run(_awaited(result), name) if is_async else result
        except TimeoutError:
            if not clock.expired():
                raise
            late = f"gave no answer within {timeout:g} s"
            if watch.under_way:  # the model would write again
                calls = ", ".join(watch.under_way.values())
                raise WriteUnknown(f"{calls} {late} and may still be done: see %orch writes, then resume") from None
            raise ValueError(f"{name} {late}") from None


def _called(function: Callable[..., object], arguments: Mapping[str, Any]) -> object:
    """Calls a tool in its thread, where a generator gives its items."""
    value = function(**arguments)
    return [*islice(value, MOST_ITEMS)] if isinstance(value, Generator) else value


async def _awaited(value: Any) -> Any:
    return await all_of(await value if inspect.isawaitable(value) else value)


def _tool(name: str, ctx: Context) -> tool_schema.Tool:
    return tool_schema.tool(name, ctx.namespace[name])  # type: ignore[arg-type]  # checked when the cell was read


def _approved(node: Tools, name: str, written: str, id_: str, ctx: Context) -> str:
    """The arguments to run a call with: as a person approved or edited them, if the tool needs that.

    Raises:
        Waiting: there is no answer yet.
        LookupError, ValueError: no such tool, wrong arguments, or rejected; the message is for the model.
    """
    if name not in node.tools:
        raise LookupError(f"there is no tool {name!r}; there are: {', '.join(node.tools)}")
    if name not in node.approve:
        return written
    _tool(name, ctx).read(written)  # nobody is asked about a call that cannot run
    shown = {"tool": name, "arguments": json.loads(written or "{}")}
    reply = ctx.await_reply(Waiting(f"Run {name}?", span=id_, choices=DECISIONS, value=shown, tool=name))
    ctx.emit(InputReceived(span=id_, reply=reply))
    if reply["action"] == REJECT:
        raise ValueError(REJECTED.format(tool=name, why=reply.get("why") or "no reason was given"))
    return json.dumps(reply["value"]) if reply["action"] == EDIT else written
