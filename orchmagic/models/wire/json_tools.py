"""Tools for models that cannot call tools: each turn is one action, written as JSON that a schema constrains.

`encode` rewrites a request so, `decode` reads the answer back; neither side of the pipeline notices. Small
local models manage this form and no other, and only with an example.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchmagic.models.types import ModelRequest, ModelResponse, Schema, ToolCall, ToolSpec
from orchmagic.models.wire.chat_completions import spoken, usable
from orchmagic.models.wire.schema_example import instance

FINAL = "final_answer"
# without this line, small models ask for the same look-up until they are stopped
ONWARD = "Now give the final answer, or use another tool if something is still missing."


def encode(request: ModelRequest) -> ModelRequest:
    """The same question without `tools`; a request that has none is returned as it is."""
    if not request.tools:
        return request
    messages = list(_spelled(request.messages))
    instruction = _instruction(request.tools, request.schema)
    if messages and messages[0].get("role") == "system":
        messages[0] = {**messages[0], "content": f"{spoken(messages[0])}\n\n{instruction}"}
    else:
        messages.insert(0, {"role": "system", "content": instruction})
    return replace(request, messages=tuple(messages), tools=(), schema=_actions(request.tools, request.schema))


def decode(response: ModelResponse) -> ModelResponse:
    """The action in the reply as a tool call, or the final answer as text; what is no action stays text.

    Raises:
        EmptyReply: the final answer is empty.
    """
    try:
        action = json.loads(response.text)
    except (ValueError, RecursionError):
        return response
    if not isinstance(action, dict) or not isinstance(action.get("action"), str):
        return response
    if action["action"] == FINAL:
        answer = action.get("answer", "")
        return usable(replace(response, text=answer if isinstance(answer, str) else _json(answer)))
    arguments = _json(action.get("arguments") or {})
    # made from the content, not at random: the same reply from the cache keeps the next request the same
    digest = hashlib.sha256(f"{action['action']} {arguments}".encode("utf-8", "replace")).hexdigest()
    call = ToolCall(f"call_{digest[:12]}", action["action"], arguments)
    return replace(response, text="", tool_calls=(call,), finish_reason="tool_calls")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _actions(tools: Sequence[ToolSpec], answer: Schema | None) -> Schema:
    definitions: dict[str, Any] = {}
    final = _hoisted(answer.schema, definitions) if answer else {"type": "string"}
    choices = [_object(FINAL, "answer", final)]
    choices += [_object(tool.name, "arguments", _hoisted(tool.parameters, definitions)) for tool in tools]
    schema: dict[str, Any] = {"anyOf": choices}
    if definitions:
        schema["$defs"] = definitions
    return Schema("Action", schema, strict=answer is None or answer.strict)


def _object(action: str, key: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"action": {"const": action}, key: value},
        "required": ["action", key],
        "additionalProperties": False,
    }


def _hoisted(schema: Mapping[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema without its `$defs`: references start at the root, so they move there, renamed where two clash."""
    local: Mapping[str, Any] = schema.get("$defs", {})
    names = {name: _free(name, kind, definitions, local) for name, kind in local.items()}
    renamed = re.sub(
        r'"\$ref": "#/\$defs/([^"]+)"',
        lambda match: json.dumps({"$ref": f"#/$defs/{names.get(match[1], match[1])}"})[1:-1],
        json.dumps(schema),
    )
    moved: dict[str, Any] = json.loads(renamed)
    definitions |= {names[name]: kind for name, kind in moved.pop("$defs", {}).items()}
    return moved


def _free(name: str, kind: object, definitions: Mapping[str, Any], local: Mapping[str, Any]) -> str:
    if definitions.get(name, kind) == kind:
        return name
    free = (f"{name}_{number}" for number in itertools.count(2))
    return next(new for new in free if new not in definitions and new not in local)


# Made-up tools, so that nothing in the example is mistaken for the task; the schema keeps them from being called.
# Two of them: after an example with one, the 0.5B model never takes a second step, and answers from the example.
EXAMPLE = """\
user: Does Ann need a coat today?
assistant: {"action": "home_of", "arguments": {"person": "Ann"}}
user: Result of home_of: {"city": "Oslo"}
assistant: {"action": "weather", "arguments": {"city": "Oslo"}}
user: Result of weather: {"sky": "rain", "degrees": 4}
assistant: {"action": "final_answer", "answer": %s}"""
EXAMPLE_ANSWER = "Ann needs a coat: it rains in Oslo."


def _instruction(tools: Sequence[ToolSpec], answer: Schema | None) -> str:
    final: object = EXAMPLE_ANSWER if answer is None else instance(answer.schema, word=EXAMPLE_ANSWER)
    return "\n".join(
        [
            "Reply with one JSON object: use a tool, or give the final answer once you know enough.",
            "Example of another conversation, with other tools:",
            EXAMPLE % _json(final),
            "",
            "The tools of this conversation:",
            *(_described(tool) for tool in tools),
        ]
    )


def _described(tool: ToolSpec) -> str:
    properties: Mapping[str, Mapping[str, Any]] = tool.parameters.get("properties", {})
    arguments = ", ".join(f"{name}: {kind.get('type', 'any')}" for name, kind in properties.items())
    return f"- {tool.name}({arguments}): {' '.join(tool.description.split())}"


def _action(name: str, arguments: object) -> str:
    return _json({"action": name, "arguments": arguments})


def _spelled(messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The conversation in words: tool calls as the JSON the model would write, results as user turns."""
    names: dict[str, str] = {}
    for message in messages:
        calls = message.get("tool_calls") or ()
        if calls:
            names |= {call["id"]: call["function"]["name"] for call in calls}
            written = [_written(call["function"]) for call in calls]
            yield {"role": "assistant", "content": "\n".join([*filter(None, [spoken(message)]), *written])}
        elif message.get("role") == "tool":
            name = names.get(str(message.get("tool_call_id")), "the tool")
            yield {"role": "user", "content": f"Result of {name}: {spoken(message)}\n{ONWARD}"}
        else:
            yield dict(message)


def _written(function: Mapping[str, Any]) -> str:
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:  # the model wrote no JSON: show it what it wrote
        arguments = function["arguments"]
    return _action(function["name"], arguments)
