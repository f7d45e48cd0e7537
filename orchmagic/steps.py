"""What each kind of node does with the state of a run: one async function each, state in, update out.

Knows models only as a Handler and the run only as a Context, nothing of LangGraph.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchmagic import confidence, expression, template, tools
from orchmagic.acting import run_tools
from orchmagic.context import Context, State, Update, as_json, evaluate, mirror, scope
from orchmagic.errors import Capped, OutputError
from orchmagic.events import Answered, Asked, NodeFailed, NodeFinished, NodeSkipped, NodeStarted, Repaired
from orchmagic.graph import Approve, Call, Code, Node, Tools
from orchmagic.models import ModelRequest, ModelResponse
from orchmagic.schema import OutputType
from orchmagic.wording import AGAIN, REASK

_SHOWN = 80  # characters of a value in a reason


async def visit(node: Node, state: State, ctx: Context) -> Update:
    """Run a node once: count it, trace it, skip it when its `when` is false."""
    number = state.get("visits", {}).get(node.name, 0) + 1
    span = f"{node.name}#{number}"
    counted: Update = {"visits": {node.name: number}}
    ctx.visits += 1
    if ctx.visits > ctx.graph.limits.max_steps:
        raise Capped(f"max-steps: {ctx.graph.limits.max_steps} steps were not enough", node=node.name)
    seen = scope(state, ctx)
    when = getattr(node, "when", None)
    if when is not None and not await evaluate(when, seen, node.name):
        ctx.emit(NodeSkipped(node=node.name, span=span, reason=f"when {when} is false"))
        update: Update = {node.name: None}
    else:
        update = await _traced(node, span, state, seen, ctx)
    mirror(ctx, update)
    return update | counted


async def _traced(node: Node, span: str, state: State, seen: Mapping[str, object], ctx: Context) -> Update:
    try:
        match node:
            case Call():
                update = await ask_model(node, span, state, seen, ctx)
            case Tools():
                update = await run_tools(node, span, state, ctx)
            case Code():
                update = await run_code(node, span, seen, ctx)
            case Approve():
                update = {}  # compiled to an interrupt of its own, never visited
    except asyncio.CancelledError:
        raise
    except Exception as error:
        ctx.emit(NodeFailed(span=span, error=str(error)))
        raise
    ctx.emit(NodeFinished(span=span, output=update.get(node.name, update)))
    return update


async def ask_model(node: Call, span: str, state: State, seen: Mapping[str, object], ctx: Context) -> Update:
    """Render, ask, read; a reply that does not fit is asked again with what is wrong."""
    prompt = [{"role": m.role, "content": template.render(m.text, seen)} for m in node.messages]
    messages = [*prompt, *state.get(node.transcript or "", []), *_again(node, state, ctx)]
    ctx.emit(NodeStarted(span=span, node=node.name, kind="call", input=messages))
    request, asked, self_report = _request(node, span, messages, ctx)
    for attempt in range(node.retry + 1):
        response = await ctx.handler(replace(request, call=f"{span}.{attempt + 1}", messages=tuple(messages)))
        if response.tool_calls and node.transcript:
            return {node.transcript: [_assistant(response)]}
        try:
            value, repaired = asked.parse(response.text)
        except OutputError as error:
            if attempt == node.retry:
                if node.tolerant:
                    return {node.name: None}
                raise OutputError(f"step {node.name!r}: {error}", reply=response.text) from None
            wrong = {"role": "user", "content": REASK.format(error=error)}
            messages = [*messages, {"role": "assistant", "content": response.text}, wrong]
            continue
        if repaired:
            ctx.emit(Repaired(call=f"{span}.{attempt + 1}", what=repaired))
        update: Update = {node.name: _sure(node, value, response, self_report=self_report)}
        if node.transcript:
            update[node.transcript] = [{"role": "assistant", "content": response.text}]
        return update
    raise AssertionError("unreachable: the last attempt returns or raises")


def _request(
    node: Call, span: str, messages: list[dict[str, Any]], ctx: Context
) -> tuple[ModelRequest, OutputType, bool]:
    defaults = ctx.defaults
    model = node.model or ctx.graph.model or defaults.model
    logprobs = bool(node.confidence) and ctx.deployment(model).logprobs
    self_report = bool(node.confidence) and not logprobs
    asked = ctx.types[node.name].asked(self_report=self_report)
    off = defaults.cache if node.cache is None else "off" if node.cache == "off" else "use"
    request = ModelRequest(
        call=span,
        model=model,
        messages=tuple(messages),
        parameters={} if node.temperature is None else {"temperature": node.temperature},
        max_tokens=node.max_tokens or defaults.max_tokens,
        schema=asked.schema,
        tools=tuple(tools.tool(n, ctx.namespace[n]).spec for n in node.tools),  # type: ignore[arg-type]  # checked when the cell was read
        logprobs=logprobs,
        fallback=node.fallback if node.fallback is not None else ctx.graph.fallback or defaults.fallback,
        timeout=node.timeout or defaults.timeout,
        cache=off,  # type: ignore[arg-type]  # one of three words, checked by the settings
        ttl=defaults.ttl if node.cache in {None, "off"} else ctx.ttl(str(node.cache)),
        stream=defaults.stream,
    )
    return request, asked, self_report


def _sure(node: Call, value: Any, response: ModelResponse, *, self_report: bool) -> Any:
    if not node.confidence or self_report:
        return value
    chosen = value[node.confidence]
    return {
        **value,
        "confidence": confidence.of_field(response.text, node.confidence, chosen, response.logprobs),
    }


def _assistant(response: ModelResponse) -> dict[str, Any]:
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in response.tool_calls
    ]
    return {"role": "assistant", "content": response.text or None, "tool_calls": calls}


def _again(node: Call, state: State, ctx: Context) -> list[dict[str, Any]]:
    """After a failed gate: what the step said last, and the check that it did not pass."""
    checks = state.get("feedback", {}).get(node.name)
    if not checks:
        return []
    last = ctx.types[node.name].rebuild(state.get(node.name))
    said = {"role": "assistant", "content": template.text(last)}
    return [said, {"role": "user", "content": AGAIN.format(check=checks)}]


async def run_code(node: Code, span: str, seen: Mapping[str, object], ctx: Context) -> Update:
    """Evaluate; a gate's value is a bool, and a failed one tells the step it sends back to what was checked."""
    kind = "gate" if node.gate else "code"
    ctx.emit(NodeStarted(span=span, node=node.name, kind=kind, input=node.expression))
    found = await evaluate(node.expression, seen, node.name)
    if not node.gate:
        return {node.name: as_json(found, node.name)}
    update: Update = {node.name: bool(found)}
    if node.again:
        update["feedback"] = {node.again: None if found else node.expression}
    return update


def because(node: Node, seen: Mapping[str, object]) -> str:
    """` (extract.quote = 'x')`: the values that a gate's expression read; empty for other nodes."""
    if not (isinstance(node, Code) and node.gate):
        return ""
    parts = expression.parts(node.expression, seen)
    values = ", ".join(f"{k} = {_short(v)}" for k, v in parts.items() if not callable(v))
    return f" ({values})" if values else ""


def open_question(node: Approve, state: State, ctx: Context) -> tuple[str, str]:
    """(span, question) of a pause that begins or goes on."""
    span = f"{node.name}#{state.get('visits', {}).get(node.name, 0) + 1}"
    return span, template.render(node.question.text, scope(state, ctx))


def take_reply(node: Approve, span: str, reply: object, ctx: Context) -> Update:
    """The person answered: the reply is the value of the node."""
    ctx.emit(Answered(span=span, reply=reply))
    ctx.emit(NodeFinished(span=span, output=reply))
    update: Update = {node.name: reply}
    mirror(ctx, update)
    return update | {"visits": {node.name: int(span.rsplit("#", 1)[1])}}


def begin_question(node: Approve, span: str, question: str, ctx: Context) -> None:
    """Trace that the run now waits."""
    ctx.emit(NodeStarted(span=span, node=node.name, kind="approve", input=question))
    ctx.emit(Asked(span=span, question=question))


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
