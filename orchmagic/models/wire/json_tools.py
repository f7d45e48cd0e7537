"""Emulates tools for models that cannot call them: each turn is one action, as JSON constrained by a schema.

`encode` rewrites a request, `decode` reads the answer; the other layers see ordinary tool calls. Small local models
need this form, and an example.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchmagic.core.portable import action_schema, message_text, read_action, spell_tools
from orchmagic.models.types import ModelRequest, ModelResponse, Schema, ToolCall, ToolSpec
from orchmagic.models.wire.chat_completions import usable
from orchmagic.models.wire.schema_example import instance


def encode(request: ModelRequest) -> ModelRequest:
    """Replace the `tools` of a request by an instruction and a schema; without tools it is returned unchanged."""
    if not request.tools:
        return request
    messages = list(spell_tools(request.messages))
    instruction = _instruction(request.tools, request.schema)
    if messages and messages[0].get("role") == "system":
        messages[0] = {**messages[0], "content": f"{message_text(messages[0])}\n\n{instruction}"}
    else:
        messages.insert(0, {"role": "system", "content": instruction})
    return replace(request, messages=tuple(messages), tools=(), schema=_actions(request.tools, request.schema))


def decode(response: ModelResponse) -> ModelResponse:
    """Read the action in a reply as a tool call, or as the final answer; other replies are returned unchanged.

    Raises:
        EmptyReply: the final answer is empty.
    """
    if (action := read_action(response.text)) is None:
        return response
    name, text = action
    if name == "final_answer":
        return usable(replace(response, text=text), offered=True)
    # a hash and not random: the same cached reply must lead to the same next request
    digest = hashlib.sha256(f"{name} {text}".encode("utf-8", "replace")).hexdigest()
    call = ToolCall(f"call_{digest[:12]}", name, text)
    return replace(response, text="", tool_calls=(call,), finish_reason="tool_calls")


def _actions(tools: Sequence[ToolSpec], answer: Schema | None) -> Schema:
    schema = action_schema(((t.name, t.parameters) for t in tools), answer.schema if answer else {"type": "string"})
    return Schema("Action", schema, strict=answer is None or answer.strict)


# Invented tools, so that the model does not take the example for the task; the schema forbids calling them.
# There are two calls: after an example with one, the 0.5B model never makes a second call, and copies the example.
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
            EXAMPLE % json.dumps(final, ensure_ascii=False),
            "",
            "The tools of this conversation:",
            *(_described(tool) for tool in tools),
        ]
    )


def _described(tool: ToolSpec) -> str:
    properties: Mapping[str, Mapping[str, Any]] = tool.parameters.get("properties", {})
    arguments = ", ".join(f"{name}: {kind.get('type', 'any')}" for name, kind in properties.items())
    return f"- {tool.name}({arguments}): {' '.join(tool.description.split())}"
