"""Executes each kind of node: one async function per kind, from state to state update.

Independent of LangGraph: models are called through a Handler, the run is seen through a Context.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from orchmagic.core.portable import as_text
from orchmagic.core.text_format import shorten
from orchmagic.core.user_code import contained
from orchmagic.errors import BudgetExceeded, Capped, EndsRun, OutputError, Rejected, Stopped, Waiting
from orchmagic.graph.model import Approve, Call, Code, Node, Sub, Tools
from orchmagic.language import expression
from orchmagic.language.builtin_prompts import REJECTED_VALUE
from orchmagic.models import images
from orchmagic.runtime import call_node
from orchmagic.runtime.caller import calling, paid_again
from orchmagic.runtime.context import (
    FEEDBACK,
    Context,
    State,
    Update,
    evaluate,
    failure_recorded,
    mirror,
    render,
    scope,
    taken,
)
from orchmagic.runtime.conversation import Said
from orchmagic.runtime.json_state import as_json
from orchmagic.runtime.map_node import fan_out
from orchmagic.runtime.subgraph_node import Inner, run_inner, wrapped
from orchmagic.runtime.tool_node import run_tools
from orchmagic.runtime.tools import unknown_writes_raised
from orchmagic.runtime.voting import vote
from orchmagic.trace.decisions import APPROVE, DECISIONS, EDIT, REJECT
from orchmagic.trace.events import InputReceived, NodeFinished, NodeSkipped, NodeStarted
from orchmagic.trace.reasons import Reason

_SHOWN = 80  # characters of a value in a reason
_NO_FAILURES = (Capped, BudgetExceeded, Stopped, Rejected, Waiting)  # the step where they arise has not failed


async def visit(node: Node, state: State, ctx: Context, inner: Inner | None = None) -> Update:
    """Runs a node once: counts and traces it, or skips it if its `when` is false. `inner` runs the graph of a Sub."""
    visits = ctx.graph.own_key("visits")
    number = state.get(visits, {}).get(node.name, 0) + 1
    span = f"{ctx.path}{node.name}#{number}"
    async with calling(ctx, span):
        return {**await _visit(node, span, state, ctx, inner), visits: {node.name: number}}


async def _visit(node: Node, span: str, state: State, ctx: Context, inner: Inner | None) -> Update:
    if not isinstance(node, Code):  # expressions cost nothing, and branches limit their loops
        ctx.count(node.name, span)
    seen = scope(state, ctx)
    when = getattr(node, "when", None)
    if when is not None and not await evaluate(when, seen, node.name, ctx):
        ctx.emit(NodeSkipped(node=node.name, span=span, reason=Reason("condition_false", expression=when)))
        update: Update = {node.name: None}
    else:
        update = await _traced(node, span, state, seen, ctx, inner)
    mirror(ctx, update)
    return update


async def _traced(
    node: Node, span: str, state: State, seen: Mapping[str, object], ctx: Context, inner: Inner | None
) -> Update:
    try:
        with failure_recorded(span, ctx, but=_NO_FAILURES), unknown_writes_raised():
            update = await _run(node, span, state, seen, ctx, inner)
    except EndsRun:
        raise
    except Exception as error:
        if getattr(node, "isolated", False):
            return {node.name: None, ctx.graph.own_key("errors"): {node.name: str(error)}}
        raise
    judged = node.verifies if isinstance(node, Code) else None
    ctx.emit(NodeFinished(span=span, output=update.get(node.name, update), verifies=judged))
    return update


async def _run(
    node: Node, span: str, state: State, seen: Mapping[str, object], ctx: Context, inner: Inner | None
) -> Update:
    match node:
        case Call():
            return await _call(node, span, state, seen, ctx)
        case Tools():
            return await run_tools(node, span, state, ctx)
        case Code():
            return await run_code(node, span, seen, ctx)
        case Approve():
            return await _ask_person(node, span, state, seen, ctx)
        case Sub():
            assert inner is not None
            if node.each:
                return await fan_out(node, span, seen, ctx, partial(run_inner, node, ctx, inner))
            return await _run_sub(node, ctx, inner, span, seen)


async def _run_sub(node: Sub, ctx: Context, inner: Inner, span: str, seen: Mapping[str, object]) -> Update:
    try:
        return {node.name: await run_inner(node, ctx, inner, span, seen)}
    except (Rejected, Stopped) as ended:
        if not node.may_end:
            raise
        return {node.name: None, ctx.graph.own_key("errors"): {node.name: str(ended)}}


async def _call(node: Call, span: str, state: State, seen: Mapping[str, object], ctx: Context) -> Update:
    """Calls the model once, or once per item or vote; appends the reply to the transcript if there is one."""
    ctx.answered.pop(f"{ctx.path}{node.name}", None)
    if node.each:
        return await fan_out(node, span, seen, ctx, partial(_item_value, node, ctx, state))
    prompt = await call_node.call_prompt(node, span, state, seen, ctx)
    ctx.emit(NodeStarted(span=span, node=node.name, kind="call", input=images.describe_images(prompt.messages)))
    if node.votes:
        return {node.name: await vote(prompt, node.votes, ctx)}
    try:
        reply = await call_node.ask(prompt, ctx)
    except OutputError:
        if node.tolerant:
            return {node.name: None}
        raise
    transcript: Update = {node.transcript: [reply.message]} if node.transcript else {}
    return transcript if "tool_calls" in reply.message else {node.name: reply.value, **transcript}


async def _item_value(node: Call, ctx: Context, state: State, span: str, seen: Mapping[str, object]) -> Any:
    prompt = await call_node.call_prompt(node, span, state, seen, ctx)
    return await vote(prompt, node.votes, ctx) if node.votes else (await call_node.ask(prompt, ctx)).value


async def run_code(node: Code, span: str, seen: Mapping[str, object], ctx: Context) -> Update:
    """Evaluates an expression. A gate gives a bool; if false, its expression is feedback for the step to retry.

    Results of notebook functions are in the journal, so resume and replay do not compute them again.
    """
    kind = "gate" if node.gate else "code"
    ctx.emit(NodeStarted(span=span, node=node.name, kind=kind, input=node.expression))
    key = _key(node, seen, ctx)
    recorded = ctx.journal.recall(span, key) if key else None
    if recorded is not None:
        value = recorded.value
        paid_again(ctx, span)
    else:
        value = await evaluate(node.expression, seen, node.name, ctx)
        value = bool(value) if node.gate else await taken(value, node.name)
        if key:
            ctx.journal.keep(span, key, value)
            await ctx.journal.settled()
    if node.gate and not value and not node.isolated:
        await ctx.refuse(expression.names(node.expression))
    ctx.has_images = ctx.has_images or images.among(value)
    update: Update = {node.name: value}
    if node.again:
        update[FEEDBACK] = {node.again: None if value else node.expression}
    return update


def _key(node: Code, seen: Mapping[str, object], ctx: Context) -> str | None:
    """The journal key of the value; None for an expression that calls no notebook function."""
    names = expression.names(node.expression)
    if not names & set(ctx.graph.code):
        return None
    values = {n: _plain(seen[n]) for n in sorted(names - set(ctx.graph.code)) if n in seen}
    text = json.dumps([node.expression, values])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: object) -> str:
    try:
        return as_text(value)
    except (TypeError, ValueError):
        return repr(value)


def because(node: Node, seen: Mapping[str, object]) -> str:
    """The values that a gate's expression used, as `extract.quote = 'x'`; "" for other nodes."""
    if not (isinstance(node, Code) and node.gate):
        return ""
    parts = expression.parts(node.expression, seen)
    with contained():
        return ", ".join(f"{k} = {shorten(repr(v), _SHOWN)}" for k, v in parts.items() if not callable(v))


async def _ask_person(node: Approve, span: str, state: State, seen: Mapping[str, object], ctx: Context) -> Update:
    """Returns the person's reply; raises Waiting until there is one."""
    question = await render(node.question.text, seen, node.name, ctx)
    ctx.emit(NodeStarted(span=span, node=node.name, kind="approve", input=question))
    if node.subject is None:
        reply = ctx.await_reply(Waiting(question, span=span))
        ctx.emit(InputReceived(span=span, reply=reply))
        talk = [{"role": "assistant", "content": question}, {"role": "user", "content": as_text(reply)}]
        ctx.say(span, Said("asked", talk))
        return {node.name: reply}
    subject = as_json(seen[node.subject], node.subject)
    reply = ctx.await_reply(Waiting(question, span=span, choices=DECISIONS, value=subject))
    ctx.emit(InputReceived(span=span, reply=reply))
    if reply["action"] == REJECT:
        await ctx.refuse([node.subject])
        why = reply.get("why") or ""
        sent_back = {node.again: why or REJECTED_VALUE} if node.again else {}
        return {node.name: REJECT, FEEDBACK: {node.name: why, **sent_back}}
    passed: Update = {node.name: APPROVE, **({FEEDBACK: {node.again: None}} if node.again else {})}
    if reply["action"] != EDIT:
        return passed
    inner = node.subject in ctx.kinds.inner and node.subject not in ctx.graph.inputs
    edited = wrapped(state[node.subject], reply["value"]) if inner else reply["value"]
    return {**passed, node.subject: edited}
