"""Convert a record to spans of the OpenTelemetry conventions for generative AI, as plain data.

The names follow semantic conventions 1.41, the last release that held them all (they have since moved to their own
repository, with the same names). Other attributes are `orchmagic.*`. Only `chat` spans (model calls) have
`gen_ai.usage.*`, so that a backend that sums tokens counts each once. Texts of prompts, answers and tools, and reasons
that quote them, are left out unless `content` is set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from orchmagic.trace import summary
from orchmagic.trace.reasons import Reason, words
from orchmagic.trace.record import Record, Span

SCHEMA = "https://opentelemetry.io/schemas/1.41.0"
Value: TypeAlias = str | bool | int | float | tuple[str, ...]

_LONG = 65_536  # characters of a text, at most
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gen_ai",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}


@dataclass(frozen=True, slots=True)
class OTelSpan:
    """A span to send. `start` and `end` in seconds since the run started; `error` None if it succeeded."""

    id: str
    parent: str | None
    name: str
    start: float
    end: float
    client: bool = False
    error: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)


def to_otel_spans(record: Record, *, content: bool = False, thread: str | None = None) -> Iterator[OTelSpan]:
    """Yield the run, then its spans, parents first. `content`: include texts; `thread`: the run's conversation.

    An attempt that succeeded at once is left out: its call's span says the same.
    """
    yield _run(record, thread, content=content)
    for span in record.spans:
        only = span.kind == "attempt" and span.status == "done" and len(record.beside(span)) == 1
        if not only:
            yield _span(record, span, thread, content=content)


def _run(record: Record, thread: str | None, *, content: bool) -> OTelSpan:
    known: dict[str, Value | None] = {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": record.name,
        "gen_ai.conversation.id": thread,
        "orchmagic.run.id": record.run,
        "orchmagic.pattern": record.pattern,
        "orchmagic.status": record.status,
        "orchmagic.verified": record.verified,
        "orchmagic.doubt": record.doubt or None,
        "orchmagic.reason": record.reason if content or record.status == "capped" else None,
        "orchmagic.usage.input_tokens": record.usage.input,
        "orchmagic.usage.output_tokens": record.usage.output,
        "orchmagic.cost.usd": _known(record),
        "orchmagic.cost.unknown_calls": record.unpriced or None,
        "orchmagic.calls": record.calls,
        "orchmagic.cache.hits": record.cached,
        "orchmagic.recalled": record.recalled or None,
    }
    if content:
        known |= {"orchmagic.input": _json(dict(record.inputs)), "orchmagic.output": _json(record.output)}
    failed = (record.error or "failed") if record.status == "failed" else None
    known |= _error(failed, record.error_kind)
    error = _failure(failed, record.error_kind, content=content)
    name = f"invoke_workflow {record.name}"
    return OTelSpan("", None, name, 0.0, record.seconds, error=error, attributes=_set(known))


def _span(record: Record, span: Span, thread: str | None, *, content: bool) -> OTelSpan:
    known: dict[str, Value | None] = {
        "orchmagic.span": span.id,
        "orchmagic.kind": span.kind,
        "orchmagic.status": span.status,
        "orchmagic.verified": span.verified,
        "orchmagic.doubt": span.doubt or None,
        "orchmagic.cost.usd": _known(span),
        "orchmagic.cost.unknown_calls": span.unpriced or None,
        "orchmagic.cost.charged": span.charged or None,
        "orchmagic.why": tuple(words(reason, quoted=content) for reason in span.why) or None,
    }
    match span.kind:
        case "ask":
            name, more = _chat(record, span, content=content)
            more["gen_ai.conversation.id"] = thread
        case "attempt":
            name, more = span.name, _attempt(span, content=content)
        case "tool":
            name, more = _tool(span, content=content)
        case _:
            name, more = _step(span, content=content)
    failed = span.error or span.status if span.status in {"failed", "retried"} or span.error else None
    end = record.seconds if span.end is None else span.end
    client = span.kind in {"ask", "attempt"} and span.provider != "local"
    error = _failure(failed, span.error_kind, content=content)
    attributes = _set(known | more | _error(failed, span.error_kind))
    return OTelSpan(span.id, span.parent or "", name, span.start, end, client, error, attributes)


def _known(what: Record | Span) -> float | None:
    """US dollars as far as prices are known; None if no price is."""
    return None if what.unpriced and not what.cost else what.cost


def _chat(record: Record, ask: Span, *, content: bool) -> tuple[str, dict[str, Value | None]]:
    """Name and attributes of a model call, with all its attempts."""
    tries = record.inside(ask)
    model = next((t.model for t in tries if t.model), ask.model)  # after a fallback the answering model differs
    spent = ask.usage.total > 0
    known: dict[str, Value | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider(ask.provider or next((t.provider for t in tries), "")),
        "gen_ai.request.model": model,
        "gen_ai.response.model": ask.model if ask.status in {"done", "retried"} else None,
        "gen_ai.usage.input_tokens": ask.usage.input if spent else None,
        "gen_ai.usage.output_tokens": ask.usage.output if spent else None,
        "gen_ai.usage.cache_read.input_tokens": ask.usage.cached or None,
        "gen_ai.usage.cache_creation.input_tokens": ask.usage.written or None,
        "gen_ai.usage.reasoning.output_tokens": ask.usage.reasoning or None,
        "orchmagic.usage.estimated": ask.usage.estimated or None,
        "orchmagic.cost.perhaps_billed_calls": ask.perhaps or None,
        "orchmagic.attempts": len(tries),
        "orchmagic.choice": _choice(summary.chosen(record, ask), content=content),
        "orchmagic.cache.hit": ask.age is not None,
        "orchmagic.cache.age_seconds": ask.age,
        "orchmagic.cost.saved_usd": ask.saved,
        "orchmagic.recalled": ask.recalled,
    }
    if content:
        known["gen_ai.input.messages"] = _json([_message(m) for m in ask.input or () if isinstance(m, Mapping)])
        if isinstance(ask.output, str):
            said = {"role": "assistant", "parts": [_text(ask.output)], "finish_reason": "stop"}
            known["gen_ai.output.messages"] = _json([said])
    return f"chat {model}", known


def _attempt(span: Span, *, content: bool) -> dict[str, Value | None]:
    return {
        "orchmagic.choice": _choice(next(iter(span.why), None), content=content),
        "gen_ai.provider.name": provider(span.provider),
        "gen_ai.request.model": span.model,
        "orchmagic.usage.input_tokens": span.usage.input or None,
        "orchmagic.usage.output_tokens": span.usage.output or None,
    }


def _tool(span: Span, *, content: bool) -> tuple[str, dict[str, Value | None]]:
    known: dict[str, Value | None] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": span.name,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": span.id,
    }
    if content:
        known["gen_ai.tool.call.arguments"] = _json(span.input)
        known["gen_ai.tool.call.result"] = _json(span.output)
    return f"execute_tool {span.name}", known


def _step(span: Span, *, content: bool) -> tuple[str, dict[str, Value | None]]:
    """Name and attributes of a step, item, vote or inner graph. No numbers in the name: backends group by it."""
    known: dict[str, Value | None] = {
        "orchmagic.usage.input_tokens": span.usage.input or None,
        "orchmagic.usage.output_tokens": span.usage.output or None,
    }
    if content:
        known |= {"orchmagic.input": _json(span.input), "orchmagic.output": _json(span.output)}
    if span.kind == "sub":
        known |= {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": span.name}
        return f"invoke_workflow {span.name}", known
    many = span.kind in {"item", "vote"}
    step = (span.parent or "").rpartition("/")[2].partition("#")[0]
    return f"{step} {span.kind}" if many else span.name, known


def provider(name: str) -> str:
    """Return the conventions' name of a provider; an unknown provider keeps its own."""
    return _PROVIDERS.get(name, name)


def _error(text: str | None, kind: str) -> dict[str, Value | None]:
    return {} if text is None else {"error.type": kind or "_OTHER"}


def _choice(reason: Reason | None, *, content: bool) -> str:
    """Return why this deployment was called; without `content` nothing that quotes an endpoint."""
    return "" if reason is None else words(reason, quoted=content)


def _failure(text: str | None, kind: str, *, content: bool) -> str | None:
    """Return the error's text; without `content` its kind only, since the text may quote a reply."""
    return text if text is None or content else kind or "_OTHER"


def _set(known: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in known.items() if value is not None and value != ""}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an OpenAI message to the conventions' form: a role and parts."""
    role, content = str(message.get("role", "")), message.get("content")
    if role == "tool":
        part = {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": _cut(content)}
        return {"role": role, "parts": [part]}
    parts = [_part(p) for p in (content if isinstance(content, list) else [content]) if p]
    return {"role": role, "parts": [*parts, *(_asked(c) for c in message.get("tool_calls") or ())]}


def _part(part: Any) -> dict[str, Any]:
    text = part.get("text") if isinstance(part, Mapping) else part
    return _text(text if isinstance(text, str) else json.dumps(part, ensure_ascii=False, default=str))


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": _cut(text)}


def _asked(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    return {
        "type": "tool_call",
        "id": call.get("id"),
        "name": function.get("name", ""),
        "arguments": _cut(function.get("arguments")),
    }


def _cut(value: Any) -> Any:
    return value[:_LONG] if isinstance(value, str) else value


def _json(value: Any) -> str | None:
    """Return a text as it is, any other value as JSON; truncated."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return None if value is None else said[:_LONG]
