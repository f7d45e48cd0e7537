"""Converts an answer to JSON and back, for the cache and the journal. JSON only, never pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from orchmagic.models.types import ModelResponse, TokenLogprob, ToolCall
from orchmagic.trace.events import Usage

_USAGE = tuple(f.name for f in fields(Usage))
_PLAIN = tuple(f.name for f in fields(ModelResponse) if f.name not in {"tool_calls", "usage", "logprobs"})


def dump(answer: ModelResponse) -> dict[str, Any]:
    """Convert an answer to JSON; `load` is the inverse."""
    # field by field: asdict would copy every text, for each call
    return {
        **{name: getattr(answer, name) for name in _PLAIN},
        "tool_calls": [asdict(call) for call in answer.tool_calls],
        "usage": {name: getattr(answer.usage, name) for name in _USAGE},
        "logprobs": answer.logprobs and [asdict(token) for token in answer.logprobs],
    }


def load(data: Mapping[str, Any]) -> ModelResponse:
    """Read a stored answer.

    Raises:
        TypeError, KeyError: the data is not an answer.
    """
    logprobs = None if data["logprobs"] is None else tuple(TokenLogprob(**t) for t in data["logprobs"])
    calls = tuple(ToolCall(**call) for call in data["tool_calls"])
    usage = Usage(**data["usage"])
    texts = (data["text"], data["finish_reason"], data["model"], data["provider"], data.get("stored_as", ""))
    if not all(isinstance(text, str) for text in (*texts, *(c.name for c in calls), *(c.arguments for c in calls))):
        raise TypeError("text was expected")
    if not all(isinstance(number, int) for number in data["usage"].values()):
        raise TypeError("a number of tokens was expected")
    if not all(isinstance(number, int | float | None) for number in (data["cost"], data["age"])):
        raise TypeError("a cost and an age were expected")
    known = {name: value for name, value in data.items() if name != "reason"}  # older versions stored it
    return ModelResponse(**{**known, "usage": usage, "tool_calls": calls, "logprobs": logprobs})


def load_entry(entry: Mapping[str, Any], ttl: float | None, now: float) -> ModelResponse | None:
    """Read a cache entry, with its age; None if it is older than `ttl` (seconds), whatever `ttl` it was stored with.

    Raises:
        TypeError, KeyError, ValueError: the entry does not hold an answer.
    """
    age = max(0.0, now - float(entry["stored"]))  # no negative age if the clock was set back
    return None if ttl is not None and age >= ttl else replace(load(entry["answer"]), age=age)
