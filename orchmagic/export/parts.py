"""Code that modules carry as it stands here: what the notebook's runs do, repeated without orchmagic.

Each function stands alone, fits 88 columns, and is copied when something in the module needs it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, TypeAlias

from openai.types.chat.chat_completion import Choice
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json, to_jsonable_python

SHOWN = 5
TOOL_TIMEOUT: float | None = 60.0
INSTRUCTION = ""
OBSERVED = "{name}{content}"
TOOLS: dict[str, tuple[Callable[..., Any], type[BaseModel]]] = {}
Messages: TypeAlias = list[dict[str, Any]]


class UnusableReplyError(Exception):
    """A model refused, was cut off or said nothing."""


class UnfitReplyError(ValueError):
    """A reply does not fit its class; the text tells the model what is wrong."""


def as_text(value: object) -> str:
    """Write a value as prompts show it: text as it is, records and lists as JSON."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        return as_text(value.value)
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    record = is_dataclass(value) or hasattr(value, "model_dump_json")
    if record or isinstance(value, dict | list | tuple):
        return to_json(value, fallback=str).decode()
    return str(value)


def rebuilt(kind: type[Any], value: object) -> Any:
    """Return a value of the state as its class; None for a step that did not run."""
    if value is None:
        return None
    return TypeAdapter(kind).validate_json(json.dumps(value))


def usable(choice: Choice) -> Choice:
    """Return the choice if it is an answer."""
    message, reason = choice.message, choice.finish_reason
    if message.refusal or reason == "content_filter":
        raise UnusableReplyError(f"refused: {message.refusal or 'content filter'}")
    if reason == "length":
        raise UnusableReplyError("cut off: raise MAX_TOKENS, or ask for less")
    if not (message.content or "").strip() and not message.tool_calls:
        raise UnusableReplyError("the reply is empty")
    return choice


def read_reply(kind: type[Any], reply: str) -> Any:
    """Return the reply as JSON that fits the class."""
    adapter = TypeAdapter(kind)
    known = adapter.json_schema().get("properties", {})
    try:
        data = json.loads(reply)
    except ValueError:
        wrong = "is no valid JSON: answer with one JSON object"
        if "{" not in reply:
            wrong = "holds no JSON: answer with one JSON object and nothing else"
        raise UnfitReplyError(f"the reply {wrong}") from None
    if not isinstance(data, dict) or (known and not known.keys() & data.keys()):
        listed = ", ".join(json.dumps(name, ensure_ascii=False) for name in known)
        raise UnfitReplyError(f"the reply must be a JSON object with {listed}")
    try:
        return to_jsonable_python(adapter.validate_json(json.dumps(data)))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        shown = [wrong_with(dict(problem)) for problem in problems[:SHOWN]]
        if len(problems) > SHOWN:
            shown.append(f"and {len(problems) - SHOWN} more")
        listed = "; ".join(shown)
        raise UnfitReplyError(f"the reply does not fit: {listed}") from None


def wrong_with(problem: dict[str, Any]) -> str:
    """Say one thing that is wrong with a reply: where, what, what was found."""
    where = ".".join(str(part) for part in problem["loc"]) or "the reply"
    if problem["type"] == "missing":
        return f"{where}: missing"
    if problem["type"] == "extra_forbidden":
        return f"{where}: not asked for"
    got = json.dumps(problem["input"], ensure_ascii=False, default=str)[:80]
    return f"{where}: {problem['msg']} (got {got})"


def how_sure(choice: Choice, field: str, value: object) -> float | None:
    """Return the probability of the tokens that spell the field's value."""
    reply = choice.message.content or ""
    key = reply.find(json.dumps(field))
    start = reply.find(str(value), key + len(field) + 2) if key >= 0 else -1
    tokens = (choice.logprobs and choice.logprobs.content) or []
    end, at, found = start + len(str(value)), 0, list[float]()
    for token in tokens if start >= 0 else []:
        left, at = at, at + len(token.token)
        if left < end and at > start:
            found.append(token.logprob)
    return min(1.0, math.exp(sum(found))) if found else None


def tool_calls(choice: Choice) -> dict[str, Any]:
    """Return the message with its tool calls, as the next request repeats it."""
    kept: Any = {"id": True, "type": True, "function": {"name", "arguments"}}
    calls = [call.model_dump(include=kept) for call in choice.message.tool_calls or []]
    content = choice.message.content or None
    return {"role": "assistant", "content": content, "tool_calls": calls}


def tool_format() -> list[dict[str, Any]]:
    """Describe the tools to the model: names, docstrings and arguments."""
    found = []
    for name, (function, kind) in TOOLS.items():
        described = {
            "name": name,
            "description": inspect.getdoc(function) or name.replace("_", " "),
            "parameters": kind.model_json_schema(),
        }
        found.append({"type": "function", "function": described})
    return found


async def use_tool(call: dict[str, Any]) -> dict[str, Any]:
    """Run one tool call; whatever goes wrong is for the model to read."""
    name, written = call["function"]["name"], call["function"]["arguments"]
    try:
        function, arguments = arguments_for(name, written)
        async with asyncio.timeout(TOOL_TIMEOUT):
            if inspect.iscoroutinefunction(function):
                content = readable(await function(**arguments))
            else:
                content = readable(await asyncio.to_thread(function, **arguments))
    except TimeoutError:
        content = f"Error: {name} gave no answer within {TOOL_TIMEOUT:g} s"
    except Exception as error:  # noqa: BLE001 - the model reads it and acts on it
        content = f"Error: {told(error)}"
    return {"role": "tool", "tool_call_id": call["id"], "content": content}


def arguments_for(name: str, written: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the tool and its arguments, checked against its type hints."""
    if name not in TOOLS:
        raise LookupError(f"there is no tool {name!r}; there are: {', '.join(TOOLS)}")
    function, kind = TOOLS[name]
    try:
        checked = kind.model_validate_json(written or "{}")
    except ValidationError as error:
        found = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        wrong = "; ".join(f"{at or 'arguments'}: {what}" for at, what in found)
        raise ValueError(f"bad arguments for {name}: {wrong}") from None
    return function, {field: getattr(checked, field) for field in kind.model_fields}


def told(error: Exception) -> str:
    """Say what went wrong in words for the model."""
    if isinstance(error, KeyError):
        return str(error).strip("'\"")
    if isinstance(error, ValueError | LookupError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def readable(value: object) -> str:
    """Write what a tool returned as text for the model."""
    try:
        return as_text(value)
    except (TypeError, ValueError):
        return json.dumps(value, default=str, ensure_ascii=False)


def as_actions(messages: Messages) -> Messages:
    """Spell tools as JSON actions, for a model that cannot call tools itself."""
    found = list(spelled(messages))
    if found and found[0]["role"] == "system":
        first = {**found[0], "content": f"{found[0]['content']}\n\n{INSTRUCTION}"}
        return [first, *found[1:]]
    return [{"role": "system", "content": INSTRUCTION}, *found]


def spelled(messages: Messages) -> Iterator[dict[str, Any]]:
    """Spell tool calls as the JSON that the model wrote, and results as user turns."""
    names: dict[str, str] = {}
    for message in messages:
        if message.get("tool_calls"):
            written = [message["content"]] if message["content"] else []
            for call in message["tool_calls"]:
                name = call["function"]["name"]
                names[call["id"]] = name
                try:
                    arguments = json.loads(call["function"]["arguments"])
                except ValueError:
                    arguments = call["function"]["arguments"]
                action = {"action": name, "arguments": arguments}
                written.append(json.dumps(action, ensure_ascii=False))
            yield {"role": "assistant", "content": "\n".join(written)}
        elif message["role"] == "tool":
            name = names.get(message["tool_call_id"], "the tool")
            content = OBSERVED.format(name=name, content=message["content"])
            yield {"role": "user", "content": content}
        else:
            yield message


def action_format(answer: dict[str, Any] | None) -> dict[str, Any]:
    """Constrain a reply to one action: a tool with its arguments, or the answer."""
    form = answer["json_schema"] if answer else {"schema": {"type": "string"}}
    parts: list[tuple[str, str, dict[str, Any]]] = []
    parts.append(("final_answer", "answer", form["schema"]))
    for name, (_, kind) in TOOLS.items():
        parts.append((name, "arguments", kind.model_json_schema()))
    definitions: dict[str, Any] = {}
    choices = []
    for action, key, value in parts:
        definitions |= value.get("$defs", {})
        own = {name: part for name, part in value.items() if name != "$defs"}
        choices.append(
            {
                "type": "object",
                "properties": {"action": {"const": action}, key: own},
                "required": ["action", key],
                "additionalProperties": False,
            },
        )
    schema = {"anyOf": choices, **({"$defs": definitions} if definitions else {})}
    strict = form.get("strict", True)
    action_form = {"name": "Action", "schema": schema, "strict": strict}
    return {"type": "json_schema", "json_schema": action_form}


def acted(choice: Choice) -> Choice:
    """Read an action as a tool call, or as the final answer; other text stays."""
    try:
        said = json.loads(choice.message.content or "")
    except ValueError:
        return choice
    if not isinstance(said, dict) or not isinstance(said.get("action"), str):
        return choice
    name = said["action"]
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    if name == "final_answer":
        answer = said.get("answer", "")
        if not isinstance(answer, str):
            answer = json.dumps(answer, ensure_ascii=False)
        message["content"] = answer
        answered = {**choice.model_dump(), "message": message}
        return usable(Choice.model_validate(answered))
    arguments = json.dumps(said.get("arguments") or {}, ensure_ascii=False)
    function = {"name": name, "arguments": arguments}
    call = {"id": f"call_{name}", "type": "function", "function": function}
    message["tool_calls"] = [call]
    return Choice.model_validate({**choice.model_dump(), "message": message})
