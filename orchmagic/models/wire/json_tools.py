"""Tools for models that cannot call tools: each turn is one action, written as JSON that a schema constrains.

`encode` rewrites a request so, `decode` reads the answer back; neither side of the pipeline notices. Small
local models manage this form and no other, and only with an example.
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
    """The same question without `tools`; a request that has none is returned as it is."""
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
    """The action in the reply as a tool call, or the final answer as text; what is no action stays text.

    Raises:
        EmptyReply: the final answer is empty.
    """
    if (action := read_action(response.text)) is None:
        return response
    name, text = action
    if name == "final_answer":
        return usable(replace(response, text=text))
    # made from the content, not at random: the same reply from the cache keeps the next request the same
    digest = hashlib.sha256(f"{name} {text}".encode("utf-8", "replace")).hexdigest()
    call = ToolCall(f"call_{digest[:12]}", name, text)
    return replace(response, text="", tool_calls=(call,), finish_reason="tool_calls")


def _actions(tools: Sequence[ToolSpec], answer: Schema | None) -> Schema:
    schema = action_schema(((t.name, t.parameters) for t in tools), answer.schema if answer else {"type": "string"})
    return Schema("Action", schema, strict=answer is None or answer.strict)


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
