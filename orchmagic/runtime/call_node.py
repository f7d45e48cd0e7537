"""Executes a call node: renders the prompt, calls the model, parses the reply; retries with the parse error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from orchmagic.core.function_threads import in_thread
from orchmagic.core.portable import as_text, spell_tools, token_confidence
from orchmagic.core.user_code import described
from orchmagic.errors import CodeExit, CodeFailed, InputError, OrchError, OutputError
from orchmagic.graph import tool_schema
from orchmagic.graph.model import Call
from orchmagic.graph.output_types import OutputType
from orchmagic.language import template
from orchmagic.language.builtin_prompts import AGAIN, REASK
from orchmagic.models import images
from orchmagic.models.types import ModelRequest, ModelResponse
from orchmagic.runtime.context import FEEDBACK, Context, State, render
from orchmagic.runtime.conversation import Said, rank
from orchmagic.trace.events import ReplyRepaired

Message = dict[str, Any]
_VISIT = re.compile(r"#(\d+)")
_LONG = 20_000  # characters of a reply, from which on reading it takes milliseconds
_HERE: Message = {"role": "", "content": ""}  # placeholder for the prompt among the other messages


@dataclass(frozen=True, slots=True)
class PromptVariables:
    """The variable values of a prompt, separate from its fixed text.

    The semantic cache compares the values only: a long shared instruction makes all prompts similar.
    `parts` are the values by name, as text; `frame` is everything else. Together they give the messages.
    """

    frame: str
    parts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CallPrompt:
    """The prompt of one visit of a call node, or of one vote. `varied` is what the semantic cache compares."""

    node: Call
    span: str
    messages: tuple[Message, ...]
    model: str | None = None
    vote: int | None = None
    varied: PromptVariables | None = None


@dataclass(frozen=True, slots=True)
class CallReply:
    """The parsed value (None if the model calls tools), and the `message` to append to the transcript."""

    value: Any
    message: Message


async def call_prompt(node: Call, span: str, state: State, seen: Mapping[str, object], ctx: Context) -> CallPrompt:
    """Builds the messages of a call: prompt, earlier turns of the thread, transcript, feedback of a failed gate."""
    prompt = [
        {"role": m.role, "content": images.content(await render(m.text, seen, node.name, ctx))} for m in node.messages
    ]
    _not_empty(node, prompt)
    leading = next((i for i, m in enumerate(prompt) if m["role"] != "system"), len(prompt))
    thread = (
        ctx.thread.sent if node.tools else [*spell_tools(ctx.thread.sent)]
    )  # a call without tools has no `tool` role
    own = [*state.get(node.transcript or "", []), *_again(node, state, ctx)]
    messages = (*prompt[:leading], *thread, *prompt[leading:], *own)
    ctx.say(span, Said("prompt", prompt[leading:], rank(node, node.messages[leading:], ctx.graph)))
    is_compared = not node.tools and ctx.defaults.cache_of(node).how == "semantic"  # never with tools
    varied = prompt_variables(node.messages, [*thread, _HERE, *own], seen) if is_compared else None
    return CallPrompt(node, span, messages, model=_rung(node, span), varied=varied)


def _not_empty(node: Call, prompt: Sequence[Message]) -> None:
    """Refuses a prompt of which the values leave nothing, before it is paid; a system message alone asks nothing.

    Raises:
        InputError: every message that is not of the system is blank.
    """
    if not (asked := [m["content"] for m in prompt if m["role"] != "system"]) or any(map(_has_text, asked)):
        return
    read = {name for m in node.messages if m.role != "system" for name in template.names(m.text)}
    blank = ", ".join(f"`{name}`" for name in sorted(read))
    raise InputError(f"step {node.name!r}: its prompt is empty: there is no text in {blank}")


def _has_text(content: object) -> bool:
    return bool(content.strip() if isinstance(content, str) else content)


def prompt_variables(
    prompt: Sequence[template.Message], around: Sequence[Mapping[str, Any]], seen: Mapping[str, object]
) -> PromptVariables | None:
    """The values that the templates of `prompt` take from `seen`; `around` are the messages without templates.

    None if there is no value, or if one cannot be compared as text (a function, an image).
    """
    names = sorted({name for message in prompt for name in template.names(message.text)})
    try:
        parts = {name: as_text(seen[name]) for name in names}
    except (KeyError, TypeError, ValueError):  # rendering reports it
        return None
    if not parts or any(not isinstance(m.get("content"), str) for m in around):
        return None
    frame = json.dumps([[[m.role, m.text] for m in prompt], [dict(m) for m in around]], sort_keys=True, default=str)
    return PromptVariables(frame, parts)


async def ask(prompt: CallPrompt, ctx: Context) -> CallReply:
    """Calls the model until a reply matches the output type. Of many calls side by side one is streamed at a time.

    Raises:
        OutputError: no reply matches after all attempts of the step.
        ModelError: no model answered.
    """
    beside = "/" in prompt.span
    stream = ctx.defaults.stream and not (beside and ctx.streamed)
    if stream and beside:
        ctx.streamed.add(prompt.span)
    try:
        return await _ask(prompt, ctx, stream=stream)
    finally:
        ctx.streamed.discard(prompt.span)


async def _ask(prompt: CallPrompt, ctx: Context, *, stream: bool) -> CallReply:
    node, messages = prompt.node, list(prompt.messages)
    request, kind = _request(prompt, ctx, stream=stream)
    reasks = ctx.defaults.reasks(node)
    number = attempt = 0
    while True:
        number += 1
        call = f"{prompt.span}.{number}"
        request = request if number == 1 else replace(request, call=call, messages=tuple(messages))
        response = await ctx.handler(request)
        ctx.answered.setdefault(f"{ctx.path}{node.name}", set()).update(filter(None, [response.stored_as]))
        if response.tool_calls and node.transcript:
            return CallReply(None, _assistant(response))
        try:
            value, repaired = await _parsed(kind, response.text, node.name)
        except OutputError as error:
            await ctx.refuse([node.name])
            if response.age is not None and request.cache == "use":  # a stored answer is no attempt of the model
                request = replace(request, cache="refresh")
                continue
            if attempt == reasks:
                raise OutputError(f"step {node.name!r}: {error}", reply=response.text) from None
            attempt += 1
            wrong = {"role": "user", "content": REASK.format(error=error)}
            messages = [*messages, {"role": "assistant", "content": response.text}, wrong]
            # retries with feedback skip the semantic cache
            request = replace(request, parts=None, frame="", sample=_sample(prompt, request.model, ctx, attempt))
            continue
        if repaired:
            ctx.emit(ReplyRepaired(call=call, what=repaired))
        value = _sure(node, value, response, measured=request.logprobs)
        return CallReply(value, {"role": "assistant", "content": response.text})


def _sample(prompt: CallPrompt, model: str, ctx: Context, attempt: int = 0) -> str:
    """Which answer to equal requests is meant; "" is the first, which later runs get from the cache.

    Another visit of a node is another sample, and so is another attempt. At a temperature above 0 each of several equal
    items has its own.
    """
    visits = [int(number) for number in _VISIT.findall(prompt.span)]
    parts = [str(visit) for visit in visits] if max(visits, default=1) > 1 else []
    given = prompt.node.request_parameters
    if ctx.repeated and given.get("temperature", ctx.deployment(model).parameters.get("temperature")):
        levels = prompt.span.split("/")
        spans = ("/".join(levels[:length]) for length in range(2, len(levels) + 1))
        parts += [f"i{ctx.repeated[span]}" for span in spans if span in ctx.repeated]
    return ".".join([*parts, *([f"a{attempt}"] if attempt else [])])


async def _parsed(kind: OutputType, reply: str, step: str) -> tuple[object, str | None]:
    """Reads a reply; in a thread if it takes long or a class of the notebook checks it.

    Raises:
        OutputError: it does not fit.
        CodeFailed: the class raised another error.
    """
    try:
        if kind.kind == "text" or (kind.kind != "class" and len(reply) < _LONG):
            return kind.parse(reply)
        return await in_thread(partial(kind.parse, reply), f"the output class of {step}")
    except OrchError as error:
        if not isinstance(error, CodeExit):
            raise
        cause: Exception = error
    except Exception as error:  # noqa: BLE001 - validators may raise anything
        cause = error
    raise CodeFailed(f"step {step!r}: its output class raised {described(cause)}", node=step) from cause


def _rung(node: Call, span: str) -> str | None:
    """The model for this visit of a node with a ladder of models; None without a ladder."""
    if not node.ladder:
        return None
    visit = int(span.rpartition("#")[2].partition("/")[0])
    return node.ladder[min(visit, len(node.ladder)) - 1]


def _request(prompt: CallPrompt, ctx: Context, *, stream: bool) -> tuple[ModelRequest, OutputType]:
    defaults, node = ctx.defaults, prompt.node
    model, fallback = prompt.model or defaults.models(node)[0], defaults.fallbacks(node)
    if images.inside(prompt.messages):
        model, *others = _sighted(node, (model, *fallback), ctx)
        fallback = tuple(others)
    logprobs = bool(node.confidence) and ctx.deployment(model).logprobs
    self_report = node.self_reported and not logprobs
    kind = ctx.kinds.requested[node.name].requested(self_report=self_report)
    policy = defaults.cache_of(node)
    cache = "off" if policy.how == "off" else defaults.cache
    if cache == "use" and prompt.span in ctx.fresh:
        cache = "refresh"
    sample = _sample(prompt, model, ctx)
    compared = None if sample else prompt.varied  # the semantic cache knows no samples
    request = ModelRequest(
        call=f"{prompt.span}.1",
        model=model,
        messages=prompt.messages,
        parameters=node.request_parameters,
        max_tokens=defaults.reply_tokens(node),
        schema=kind.schema,
        tools=tuple(tool_schema.tool(n, ctx.namespace[n]).spec for n in node.tools),  # type: ignore[arg-type]  # checked when the cell was read
        logprobs=logprobs,
        fallback=fallback,
        timeout=defaults.timeout_of(node),
        retries=defaults.retries,
        batch=defaults.batch,
        cache=cache,
        ttl=policy.ttl,
        vote=prompt.vote,
        sample=sample,
        stream=stream,
        parts=compared.parts if compared else None,
        frame=prompt.varied.frame if prompt.varied else "",
    )
    return request, kind


def _sighted(node: Call, models: Sequence[str], ctx: Context) -> list[str]:
    """The models that accept images.

    Raises:
        InputError: none does; nothing was sent.
    """
    able = [m for m in models if ctx.deployment(m).vision]
    if not able:
        raise InputError(
            f"step {node.name!r} sends an image, and {' and '.join(map(repr, models))} takes none: name a model with "
            "vision (model=…), or write vision = true in the settings of its alias"
        )
    return able


def _sure(node: Call, value: Any, response: ModelResponse, *, measured: bool) -> Any:
    if not node.confidence or not measured:
        return value
    chosen = value[node.confidence]
    return {
        **value,
        "confidence": token_confidence(node.confidence, chosen, response.logprobs or ()),
    }


def _assistant(response: ModelResponse) -> Message:
    calls = [
        {**c.more, "id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in response.tool_calls
    ]
    return {"role": "assistant", "content": response.text or None, "tool_calls": calls}


def _again(node: Call, state: State, ctx: Context) -> list[Message]:
    """The feedback messages after a failed gate: the step's last answer and the failed check."""
    checks = state.get(FEEDBACK, {}).get(node.name)
    if not checks:
        return []
    last = ctx.kinds.typed(node.name, state.get(node.name))
    answer = {"role": "assistant", "content": as_text(last)}
    return [answer, {"role": "user", "content": AGAIN.format(check=checks)}]
