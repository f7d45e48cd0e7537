"""Code that modules carry as it stands here: what the notebook's runs do, repeated without orchmagic.

Each function stands alone, fits 88 columns, and is copied when something in the module needs it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, TypeAlias

from openai.types.chat.chat_completion import Choice
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json, to_jsonable_python

SHOWN = 5
Messages: TypeAlias = list[dict[str, Any]]
Tools: TypeAlias = dict[str, tuple[Callable[..., Any], type[BaseModel]]]


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


def as_json(value: Any) -> Any:
    """Return the value as JSON; a table is the list of its rows."""
    if hasattr(value, "columns") and hasattr(value, "to_dict"):
        value = value.to_dict("records")
    return to_jsonable_python(value)


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
