"""Converts a ModelRequest to the JSON body of POST /chat/completions, and the answer to a ModelResponse.

Providers, scripts and exported modules share this form, so equal requests have equal bodies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from orchmagic.core import tokens
from orchmagic.core.portable import message_text, schema_in_words, sendable, unusable, without_thoughts
from orchmagic.errors import EmptyReply, RefusedReply, ServerFailed, TruncatedReply, UnusableReply
from orchmagic.models import images
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse, Schema, TokenLogprob, ToolCall, ToolSpec
from orchmagic.models.wire import billing
from orchmagic.trace.events import Usage

_HEAD = ("model", "usage", "service_tier")  # fields of a streamed answer; the last chunk with one wins
REFUSAL = "refusal"  # our finish_reason for a message whose `refusal` is set; the API says "stop" there


def body(request: ModelRequest, deployment: Deployment) -> dict[str, Any]:
    """The JSON body of a request; the request's parameters override the deployment's."""
    sent: dict[str, Any] = {
        "model": deployment.model,
        "messages": list(request.messages),
        deployment.max_tokens_field: request.max_tokens,
        **deployment.parameters,
        **request.parameters,
    }
    if request.schema is not None:
        beside = deployment.schemas if deployment.schemas_with_tools or not request.tools else "none"
        sent |= _schema_fields(request.schema, sent["messages"], beside)
    sent["messages"] = sendable(sent["messages"])
    if request.tools:
        sent["tools"] = [_tool(tool) for tool in request.tools]
    if request.logprobs and deployment.logprobs:  # endpoints without them answer 400
        sent["logprobs"] = True
    if request.stream:
        sent |= {"stream": True, "stream_options": {"include_usage": True}}
    return sent


def _schema_fields(schema: Schema, messages: list[Mapping[str, Any]], support: str) -> dict[str, Any]:
    """The fields of the body that tell the endpoint the schema of the reply."""
    if support == "native":
        form = {"name": schema.name, "schema": dict(schema.schema), "strict": schema.strict}
        return {"response_format": {"type": "json_schema", "json_schema": form}}
    return {"messages": [schema_in_words(schema.schema), *messages]} | (
        {"response_format": {"type": "json_object"}} if support == "json" else {}
    )


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def response(
    answer: Mapping[str, Any], request_body: Mapping[str, Any], bill: billing.Bill | None = None
) -> ModelResponse:
    """Read the answer from a `chat.completion` (JSON data) to `request_body`. Missing parts are tolerated.

    `bill` is its usage, if the caller has read it. Usage is estimated if the endpoint did not send it; otherwise a
    budget would never stop the run.
    """
    choice = next(iter(answer.get("choices") or ()), None) or {}
    message = choice.get("message") or {}
    text = message_text(message)
    calls = tuple(_call(call, number) for number, call in enumerate(message.get("tool_calls") or ()))
    reason = str(choice.get("finish_reason") or "stop")
    if message.get("refusal"):
        text, reason = str(message["refusal"]), REFUSAL
    # before thoughts are left out: they are billed
    written = text + "".join(call.name + call.arguments for call in calls)
    bill = bill or billing.read(answer.get("usage"))
    return ModelResponse(
        text=without_thoughts(text),
        tool_calls=calls,
        finish_reason=reason,
        usage=bill.usage if bill else estimate(request_body, written),
        model=str(answer.get("model") or request_body.get("model") or ""),
        logprobs=_logprobs((choice.get("logprobs") or {}).get("content")),
    )


def _call(call: Mapping[str, Any], number: int) -> ToolCall:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    # some servers send the arguments as an object, and no id
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return ToolCall(str(call.get("id") or f"call_{number}"), str(function.get("name") or ""), text, _more(call))


def _more(call: Mapping[str, Any]) -> dict[str, Any]:
    """What an endpoint adds to a tool call."""
    return {key: value for key, value in call.items() if key not in {"id", "type", "index", "function"}}


def _is_whole(call: Mapping[str, str]) -> bool:
    """Whether the arguments of a call are JSON to their end."""
    try:
        json.loads(call["arguments"])
    except ValueError:
        return False
    return True


def error_in(chunk: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the error that an answer or a chunk of a stream is, whatever its form; `message` is its text."""
    error = chunk.get("error")
    if error:
        return dict(error) if isinstance(error, Mapping) else {"code": chunk.get("code"), "message": str(error)}
    words = [chunk[key] for key in ("message", "detail", "details") if isinstance(chunk.get(key), str)]
    return {**chunk, "message": words[0]} if words and "choices" not in chunk else None


def estimate(request_body: Mapping[str, Any], written: str) -> Usage:
    """Estimate the tokens of a request and its answer."""
    size = tokens.estimated(written)
    return Usage(input=prompt_tokens(request_body.get("messages") or ()), output=size, estimated=True)


def prompt_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """Estimate the tokens of messages, including images."""
    return tokens.estimated("".join(map(message_text, messages))) + tokens.IMAGE * images.inside(messages)


def _logprobs(content: list[Mapping[str, Any]] | None) -> tuple[TokenLogprob, ...] | None:
    if not content:
        return None
    return tuple(TokenLogprob(str(token["token"]), float(token["logprob"])) for token in content)


def usable(answer: ModelResponse, *, offered: bool) -> ModelResponse:
    """Return the answer if it is usable. `offered`: tools were in the request.

    Raises:
        UnusableReply, ServerFailed: it is not usable; the error has its `usage` and `cost` if they are known.
    """
    if (fault := unusable(answer.finish_reason, answer.text, answer.tool_calls, offered=offered)) is None:
        return answer
    who = answer.model or "the model"
    spent: dict[str, Any] = {
        "model": answer.model,
        "provider": answer.provider,
        "usage": answer.usage,
        "cost": answer.cost,
    }
    if fault == REFUSAL:
        raise RefusedReply(f"{who} refused: {one_line(answer.text)}", **spent)
    if fault == "content_filter":
        raise RefusedReply(f"a content filter stopped {who}: change the prompt, or add a fallback", **spent)
    if fault == "length":
        tokens = answer.usage.output
        hint = "raise max_tokens of the step, or ask for less"
        raise TruncatedReply(f"{who} was cut off after {tokens} tokens: {hint}", **spent)
    if fault == "malformed":
        raise UnusableReply(f"{who} {_called(answer, offered=offered)}", **spent)
    if fault == "server":
        broken = ServerFailed(f"{who} ended badly: {_ended(answer)}", model=answer.model, provider=answer.provider)
        broken.may_have_spent = True
        raise broken
    raise EmptyReply(f"{who} gave an empty reply ({_ended(answer)})", **spent)


def _called(answer: ModelResponse, *, offered: bool) -> str:
    """What is wrong with the tool calls of an answer."""
    if answer.tool_calls and not offered:
        return f"called {one_line(', '.join(call.name for call in answer.tool_calls), 80)}, and no tools were offered"
    return f"announced a tool call that is not in its answer ({_ended(answer)})"


def _ended(answer: ModelResponse) -> str:
    return f"finish_reason {one_line(answer.finish_reason, 40)!r}"


def one_line(text: str, limit: int = 300) -> str:
    """Prepare an external text for an error message: one line, no control characters, cut at `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[:limit] + " ..."


class Assembly:
    """Assembles the chunks of a stream into the answer that would have been sent without streaming."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._calls: list[tuple[int, dict[str, Any]]] = []  # with their index, as they began
        self._at: dict[Any, dict[str, Any]] = {}  # the latest call of an index
        self._logprobs: list[Mapping[str, Any]] = []
        self._reason: str | None = None

    def add(self, chunk: Mapping[str, Any]) -> str:
        """Add a chunk; returns the text in it."""
        self._head |= {key: chunk[key] for key in _HEAD if chunk.get(key)}
        groq = chunk.get("x_groq")
        if isinstance(groq, Mapping) and groq.get("usage"):  # Groq, if the request did not ask for the usage
            self._head.setdefault("usage", groq["usage"])
        choice = next(iter(chunk.get("choices") or ()), None)
        if choice is None:
            return ""
        delta = choice.get("delta") or {}
        text = message_text(delta)  # some send parts
        for key, piece in (("content", text), ("refusal", delta.get("refusal"))):
            if piece:
                self._message[key] = self._message.get(key, "") + piece
        for piece in delta.get("tool_calls") or ():
            self._add_call(piece)
        self._logprobs += (choice.get("logprobs") or {}).get("content") or ()
        self._reason = choice.get("finish_reason") or self._reason
        return text

    def _add_call(self, piece: Mapping[str, Any]) -> None:
        """Add a piece to its call: some servers send no index, or 0 for each call, or the name in every piece."""
        function, id_ = piece.get("function") or {}, str(piece.get("id") or "")
        name, index = str(function.get("name") or ""), piece.get("index")
        call = self._calls[-1][1] if index is None and self._calls else self._at.get(index)
        if call is None or (id_ and call["id"] and id_ != call["id"]) or (name and not id_ and _is_whole(call)):
            call = {"id": "", "name": "", "arguments": "", **_more(piece)}
            self._calls.append((int(index or 0), call))
        self._at[index] = call
        call["id"] = call["id"] or id_
        call["name"] += "" if name == call["name"] else name
        given = function.get("arguments")
        call["arguments"] += json.dumps(given, ensure_ascii=False) if isinstance(given, Mapping) else str(given or "")

    def done(self) -> str:
        """Note that the server said that the stream is over; an answer without a finish_reason is whole then."""
        if self._reason is None and (self._message or self._calls):
            self._reason = "tool_calls" if self._calls else "stop"
        return ""

    @property
    def ended(self) -> bool:
        """Whether the answer has an end; if not, the stream was cut off."""
        return self._reason is not None

    def whole(self) -> dict[str, Any]:
        """The answer as a `chat.completion`."""
        calls = [
            {"type": "function", "function": {"name": c.pop("name"), "arguments": c.pop("arguments")}} | c
            for c in (dict(call) for _, call in sorted(self._calls, key=itemgetter(0)))
        ]
        choice = {
            "message": {"role": "assistant", **self._message, "tool_calls": calls},
            "finish_reason": self._reason,
            "logprobs": {"content": self._logprobs},
        }
        return {**self._head, "choices": [choice]}
