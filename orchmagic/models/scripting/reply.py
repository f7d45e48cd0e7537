"""Reply, one answer of a script, and its conversion to the `chat.completion` that an endpoint would send."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from orchmagic.errors import nearest
from orchmagic.models.types import ToolCall
from orchmagic.models.wire.chat_completions import estimate
from orchmagic.models.wire.schema_example import instance, misfit
from orchmagic.trace.events import Usage

Fault: TypeAlias = Literal[
    "400", "401", "402", "403", "404", "408", "422", "429", "500", "502", "503", "quota",
    "context_length", "prompt_filter", "tool_use_failed", "timeout", "reset", "garbled", "refusal",
    "content_filter", "empty", "truncated", "broken_json", "wrong_enum",
]  # fmt: skip  # one line each would hide the groups: HTTP, transport, unusable replies, bad content

Body: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a script. `text` None = the smallest answer that fits; any value but a string is written as JSON.

    `tool_calls` are ToolCalls or (name, arguments) pairs. `latency` and `retry_after` in seconds. `usage` None is
    estimated at four bytes per token. `logprobs` are (token, logprob) pairs; None = 0.0 for each, if requested.
    `fault` is the simulated failure: an HTTP status, "quota", "timeout" (no answer ever), "reset" (cut in mid-answer),
    "garbled" (a page instead of JSON), "refusal", "empty", "truncated", "broken_json", "wrong_enum" ...
    """

    text: Any = None
    tool_calls: Sequence[ToolCall | tuple[str, Any]] = ()
    latency: float = 0.0
    usage: Usage | None = None
    fault: Fault | None = None
    retry_after: float | str | None = None
    logprobs: Sequence[tuple[str, float]] | None = None
    finish_reason: str | None = None

    def __post_init__(self) -> None:
        if self.fault is not None and self.fault not in get_args(Fault):
            known = get_args(Fault)
            close = nearest(str(self.fault), known)
            raise ValueError(f"unknown fault {self.fault!r}: write one of {', '.join(known)}{close}")
        if self.latency < 0:
            raise ValueError(f"latency {self.latency} is negative: write seconds")


def completion(reply: Reply, body: Body, number: int) -> dict[str, Any]:
    """Convert the answer to a `chat.completion` for the request `body`."""
    calls = _calls(reply, number)
    text, reason = _content(reply, body, calls)
    usage = reply.usage or estimate(body, text + "".join(call.name + call.arguments for call in calls))
    limit = body.get("max_tokens") or body.get("max_completion_tokens")
    if reply.usage is None and limit and usage.output > limit:  # cut at max_tokens, as an endpoint does
        text, reason = text.encode()[: 4 * limit].decode("utf-8", "ignore"), "length"
        usage = replace(usage, output=limit)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if reply.fault == "refusal":
        message |= {"content": None, "refusal": text}
    if calls:
        message |= {"content": text or None, "tool_calls": [_sent(call) for call in calls]}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": reply.finish_reason or reason,
        "logprobs": {"content": _logprobs(reply, text), "refusal": None} if body.get("logprobs") else None,
    }
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", "scripted"),
        "choices": [choice],
        "usage": _usage(usage),
    }


def _content(reply: Reply, body: Body, calls: Sequence[ToolCall]) -> tuple[str, str]:
    """(text, finish_reason), changed by the fault."""
    text = "" if calls and reply.text is None else _text(reply, body)
    match reply.fault:
        case "refusal":
            return (reply.text if isinstance(reply.text, str) else "I cannot help with that."), "stop"
        case "content_filter":
            return "", "content_filter"
        case "empty":
            return "", "stop"
        case "truncated":
            return text[: len(text) // 2], "length"
        case "broken_json":  # a comma before the end: an error of small models that can be repaired
            return re.sub(r"\}\s*$", ",}", text), "stop"
    return text, "tool_calls" if calls else "stop"


def _text(reply: Reply, body: Body) -> str:
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    value = reply.text
    if value is None:
        value = "scripted" if schema is None else instance(schema)
    if reply.fault == "wrong_enum" and schema is not None:
        value = misfit(schema, _data(value))
    written_out = isinstance(value, str) and (reply.text is not None or schema is None)
    return str(value) if written_out else json.dumps(value, ensure_ascii=False)


def _data(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _calls(reply: Reply, number: int) -> tuple[ToolCall, ...]:
    return tuple(
        call if isinstance(call, ToolCall) else _call(call[0], call[1], f"call_{number}_{place}")
        for place, call in enumerate(reply.tool_calls, 1)
    )


def _call(name: str, arguments: Any, identity: str) -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(identity, name, text)


def _sent(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _logprobs(reply: Reply, text: str) -> list[dict[str, Any]]:
    tokens = reply.logprobs
    if tokens is None:
        tokens = [(token, 0.0) for token in re.findall(r"\w+|\W", text)]
    return [{"token": t, "logprob": p, "bytes": list(t.encode()), "top_logprobs": []} for t, p in tokens]


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.written},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


_DETAILS: Mapping[str, tuple[int, str, str]] = {
    "400": (400, "the request is not valid", "invalid_request"),
    "401": (401, "Incorrect API key provided", "invalid_api_key"),
    "402": (402, "Payment required", "payment_required"),
    "403": (403, "this key may not use the model", "forbidden"),
    "404": (404, "the model does not exist", "model_not_found"),
    "408": (408, "the request took too long", "timeout"),
    "422": (422, "the request cannot be processed", "unprocessable"),
    "429": (429, "Rate limit reached", "rate_limit_exceeded"),
    "500": (500, "the server had an error", "server_error"),
    "502": (502, "bad gateway", "bad_gateway"),
    "503": (503, "the server is overloaded", "overloaded"),
    "quota": (429, "You exceeded your current quota", "insufficient_quota"),
    "context_length": (400, "the messages are longer than the model's context", "context_length_exceeded"),
    "prompt_filter": (400, "the prompt was filtered", "content_filter"),
    "tool_use_failed": (400, "Failed to call a function", "tool_use_failed"),
}


def http_error(reply: Reply) -> tuple[int, dict[str, Any], str | None] | None:
    """(status, `error` object, Retry-After header) of a fault that is an HTTP error; None for other faults."""
    if reply.fault is None or reply.fault not in _DETAILS:
        return None
    status, message, code = _DETAILS[reply.fault]
    detail = {"message": message, "type": code, "param": None, "code": code}
    return status, detail, None if reply.retry_after is None else str(reply.retry_after)


def pieces(text: str) -> list[str]:
    """Split a text into the pieces that are streamed, one per word."""
    return re.findall(r"\s*\S+|\s+", text)
