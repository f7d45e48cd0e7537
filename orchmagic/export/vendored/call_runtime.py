"""How a module calls models: code that modules carry as it stands here, beside `core.portable`.

Each definition is copied when something in the module needs it; the constants are stand-ins for the module's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from jinja2 import Environment, StrictUndefined
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, AsyncOpenAI
from openai.types.chat.chat_completion import Choice
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_jsonable_python

from orchmagic.core.portable import (
    FAULTS,
    UnfitReplyError,
    as_object,
    as_stored,
    as_text,
    asked_wait,
    fault_of,
    field_names,
    find_json,
    is_too_long,
    message_text,
    retry_wait,
    sendable,
    status_of,
    table_rows,
    token_confidence,
    unusable,
    validate_with,
    wait_seconds,
    without_thoughts,
)

REASK = "{error}"
REASKS = 1
RETRIES = 2
Messages: TypeAlias = list[dict[str, Any]]


@dataclass(frozen=True)
class Model:
    """A model, where it is served, and what every request to it carries."""

    name: str
    base_url: str
    key: str = "OPENAI_API_KEY"  # the environment variable
    limit: str = "max_tokens"
    options: dict[str, Any] = field(default_factory=dict)
    actions: bool = False  # tools as JSON, not as tool calls
    schemas_with_tools: bool = True  # else the schema is told in words there
    logprobs: bool = False


MODEL = Model("", "")
first_usable: Any = None  # a function that is each module's own: model_client writes it


class Lone(BaseModel):
    """A reply of one value, which may stand there without its field."""


def key_of(model: Model) -> str:
    """Return the key of the model's endpoint; servers of your own need none."""
    return os.environ.get(model.key, "none")


def client_of(model: Model, client: AsyncOpenAI) -> AsyncOpenAI:
    """Return a client of the model's endpoint; the given one is MODEL's."""
    if (model.base_url, model.key) == (MODEL.base_url, MODEL.key):
        return client
    return client.with_options(base_url=model.base_url, api_key=key_of(model))


class ModelFailedError(Exception):
    """A model gave no usable answer."""

    def __init__(self, text: str, fault: str, retry_after: float | None = None) -> None:
        """`fault` names a row of FAULTS; `retry_after` is what the endpoint asks for, in seconds."""
        super().__init__(text)
        self.fault = FAULTS[fault]
        self.retry_after = retry_after


async def call_once(client: AsyncOpenAI, body: Mapping[str, Any]) -> Choice:
    """Ask a model once; `call_model` counts, so the client does not retry."""
    once = client.with_options(max_retries=0)
    try:
        answer: Any = await once.chat.completions.create(**{**body, "messages": sendable(body["messages"])})
    except APIStatusError as error:
        wait = wait_seconds(asked_wait(error.response.headers))
        fault = fault_of(error.status_code, error.body)
        raise ModelFailedError(f"{error}{moved(error)}", fault, wait) from error
    except APITimeoutError as error:
        raise ModelFailedError(str(error), "timeout") from error
    except APIConnectionError as error:
        raise ModelFailedError(str(error), "connection") from error
    except APIError as error:
        raise ModelFailedError(str(error), "server") from error
    detail = getattr(answer, "error", None)
    if isinstance(detail, dict):  # some routers report errors with status 200
        raise ModelFailedError(str(detail), fault_of(status_of(detail), detail))
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list):
        raise ModelFailedError("the answer is not of the protocol", "server")
    if not choices:
        raise ModelFailedError("the answer has no choices", "empty")
    return usable(choices[0], offered="tools" in body)


def moved(error: APIStatusError) -> str:
    """Say where a redirect leads; no prompt is sent there."""
    target = error.response.headers.get("location")
    return f": redirects to {target}, which is not followed" if target else ""


async def call_model(client: AsyncOpenAI, body: Mapping[str, Any]) -> Choice:
    """Ask a model, and again where that may help."""
    count = 1
    while True:
        try:
            return await call_once(client, body)
        except ModelFailedError as error:
            chance = random.random()  # noqa: S311 - spreads attempts
            wait = retry_wait(count, chance, error.retry_after)
            if count > RETRIES or not error.fault.retried or is_too_long(wait):
                raise
        await asyncio.sleep(wait)
        count += 1


def usable(choice: Choice, *, offered: bool) -> Choice:
    """Return the choice, without what was thought, if it is an answer; `offered`: it could call tools."""
    message = choice.message
    message.content = without_thoughts(message_text(message.model_dump(include={"content"}))) or None
    reason = "refusal" if message.refusal else choice.finish_reason
    fault = unusable(reason, message.content or "", message.tool_calls, offered=offered)
    if fault is not None:
        raise ModelFailedError(message.refusal or f"finish_reason {reason}, {fault}", fault)
    return choice


async def ask(
    client: AsyncOpenAI,
    messages: Messages,
    kind: type[Any],
    *,
    form: Mapping[str, Any] | None = None,
    reasks: int = REASKS,
    **request: Any,
) -> tuple[Any, Choice]:
    """Ask for a reply that fits the class; the model is told what does not.

    Return its JSON (None for tool calls) and the choice that it stood in; `form` is
    how the schema is sent, where that is not as usual.
    """
    schema = {"name": kind.__name__, "strict": True, **(form or {})}
    schema["schema"] = TypeAdapter(kind).json_schema()
    request["response_format"] = {"type": "json_schema", "json_schema": schema}
    while True:
        choice = await first_usable(client, messages, **request)
        if "tools" in request and choice.message.tool_calls:
            return None, choice
        reply = choice.message.content or ""
        try:
            return read_reply(kind, reply, wraps=issubclass(kind, Lone)), choice
        except UnfitReplyError as error:
            if not reasks:
                raise
            wrong = {"role": "user", "content": REASK.format(error=error)}
            said = {"role": "assistant", "content": reply}
        messages = [*messages, said, wrong]
        reasks -= 1


def read_reply(kind: type[Any], reply: str, *, wraps: bool = False) -> Any:
    """Return the reply as JSON that fits the class; with `wraps` it may be the lone `value` of the class."""
    adapter = TypeAdapter(kind)
    data, place = find_json(reply)
    data = as_object(data, place, field_names(adapter.json_schema()), wraps=wraps)
    return as_stored(adapter, validate_with(adapter, data), data)


def rebuilt(kind: type[Any], value: object) -> Any:
    """Return a value of the state as its class; None for a step that did not run."""
    if value is None:
        return None
    return TypeAdapter(kind).validate_json(json.dumps(value))


async def in_thread(function: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
    """Run a function in a thread; a StopIteration, which no awaiting code would get, becomes a RuntimeError."""

    def called() -> Any:
        try:
            return function(*given, **named)
        except StopIteration as error:
            name = getattr(function, "__name__", "code")
            raise RuntimeError(f"{name} raised StopIteration: next() found nothing: write next(…, None)") from error

    return await asyncio.to_thread(called)


def as_json(value: Any) -> Any:
    """Return the value as JSON; a table is the list of its rows."""
    return to_jsonable_python(table_rows(value))


def how_sure(choice: Choice, field: str, value: object) -> float | None:
    """Return the probability of the tokens that spell the field's value."""
    tokens = (choice.logprobs and choice.logprobs.content) or []
    return token_confidence(field, value, tokens)


def environment() -> Environment:
    """Return Jinja for prompts: no HTML, no comments, missing names are errors."""
    return Environment(
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - prompts are text for a model, not HTML
        keep_trailing_newline=True,
        comment_start_string="\uf8ff{#no comments\uf8ff",
        comment_end_string="\uf8ffno comments#}\uf8ff",
        finalize=as_text,
    )


def rendered(template: str, **values: Any) -> str:
    """Fill in a prompt that has logic."""
    return environment().from_string(template).render(values)
