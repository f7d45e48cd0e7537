"""Code that modules with tools carry as it stands here; see `call_runtime`."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any, TypeAlias

from langgraph.types import interrupt
from openai.types.chat.chat_completion import Choice
from pydantic import BaseModel

from orchmagic.core.portable import (
    action_schema,
    all_of,
    read_action,
    read_arguments,
    readable,
    schema_in_words,
    spell_tools,
)
from orchmagic.export.vendored.call_runtime import Messages, in_thread, usable

CHOICES = ("approve", "edit", "reject")
TOOL_TIMEOUT: float | None = 60.0
Tools: TypeAlias = dict[str, tuple[Callable[..., Any], type[BaseModel]]]


def tool_calls(choice: Choice) -> dict[str, Any]:
    """Return the message with its tool calls, as the next request repeats it."""
    left: Any = {"index": True}
    calls = [call.model_dump(exclude=left, exclude_none=True) for call in choice.message.tool_calls or []]
    content = choice.message.content or None
    return {"role": "assistant", "content": content, "tool_calls": calls}


def tool_format(tools: Tools) -> list[dict[str, Any]]:
    """Describe the tools to the model: names, docstrings and arguments."""
    found = []
    for name, (function, kind) in tools.items():
        described = {
            "name": name,
            "description": inspect.getdoc(function) or name.replace("_", " "),
            "parameters": kind.model_json_schema(),
        }
        found.append({"type": "function", "function": described})
    return found


async def use_tool(
    call: dict[str, Any],
    tools: Tools,
    *,
    timeout: float | None = TOOL_TIMEOUT,  # noqa: ASYNC109 - it bounds the tool alone
) -> dict[str, Any]:
    """Run one tool call; whatever goes wrong is for the model to read."""
    name, written = call["function"]["name"], call["function"]["arguments"]
    try:
        if "rejected" in call:
            raise ValueError(call["rejected"])  # noqa: TRY301 - told as the rest is
        function, arguments = arguments_for(name, written, tools)
        async with asyncio.timeout(timeout):
            if inspect.iscoroutinefunction(function):
                content = readable(await function(**arguments))
            else:
                content = readable(await all_of(await in_thread(function, **arguments)))
    except TimeoutError:
        content = f"Error: {name} gave no answer within {timeout:g} s"
    except Exception as error:  # noqa: BLE001 - the model reads it and acts on it
        content = f"Error: {describe_error(error)}"
    return {"role": "tool", "tool_call_id": call["id"], "content": content}


def approved(call: dict[str, Any], tools: Tools, ask: set[str]) -> dict[str, Any]:
    """Let a person approve, edit or reject the call of a tool that needs it."""
    name, written = call["function"]["name"], call["function"]["arguments"]
    try:
        arguments_for(name, written, tools)
    except (LookupError, ValueError):  # its model is told, and nobody is asked
        return call
    if name not in ask:
        return call
    value = {"tool": name, "arguments": json.loads(written or "{}")}
    asked = {"question": f"Run {name}?", "choices": CHOICES, "value": value}
    answer = interrupt(asked)
    if answer["action"] == "reject":
        why = answer.get("why") or "no reason was given"
        return {**call, "rejected": f"a person rejected this call of {name}: {why}"}
    if answer["action"] == "edit":
        edited = {"name": name, "arguments": json.dumps(answer["value"])}
        return {**call, "function": edited}
    return call


def as_run(message: dict[str, Any], calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the message with its calls as they are run: the model reads what a person made of them."""
    told = [{name: value for name, value in call.items() if name != "rejected"} for call in calls]
    return {**message, "tool_calls": told}


def arguments_for(name: str, written: str, tools: Tools) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the tool and its arguments, checked against its type hints."""
    if name not in tools:
        raise LookupError(f"there is no tool {name!r}; there are: {', '.join(tools)}")
    function, kind = tools[name]
    return function, read_arguments(name, kind, written)


def describe_error(error: Exception) -> str:
    """Say what went wrong in words for the model."""
    if isinstance(error, KeyError):
        return str(error).strip("'\"")
    if isinstance(error, ValueError | LookupError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def as_actions(messages: Messages, instruction: str) -> Messages:
    """Spell tools as JSON actions, for a model that cannot call tools itself."""
    found = list(spell_tools(messages))
    if found and found[0]["role"] == "system":
        first = {**found[0], "content": f"{found[0]['content']}\n\n{instruction}"}
        return [first, *found[1:]]
    return [{"role": "system", "content": instruction}, *found]


def schema_told(body: dict[str, Any]) -> dict[str, Any]:
    """Tell the schema of a request with tools in words, for an endpoint that refuses both together."""
    form = body.get("response_format")
    if not form or "tools" not in body:
        return body
    rest = {name: value for name, value in body.items() if name != "response_format"}
    return {**rest, "messages": [schema_in_words(form["json_schema"]["schema"]), *body["messages"]]}


def action_format(answer: dict[str, Any] | None, tools: list[dict[str, Any]]) -> dict[str, Any]:
    """Constrain a reply to one action: a tool with its arguments, or the answer."""
    form = answer["json_schema"] if answer else {"schema": {"type": "string"}}
    described = [(tool["function"]["name"], tool["function"]["parameters"]) for tool in tools]
    schema = action_schema(described, form["schema"])
    action = {"name": "Action", "schema": schema, "strict": form.get("strict", True)}
    return {"type": "json_schema", "json_schema": action}


def acted(choice: Choice) -> Choice:
    """Read an action as a tool call, or as the final answer; other text stays."""
    action = read_action(choice.message.content or "")
    if action is None:
        return choice
    name, text = action
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if name != "final_answer":
        call = {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": text}}
        message |= {"content": "", "tool_calls": [call]}
    return usable(Choice.model_validate({**choice.model_dump(), "message": message}), offered=True)
