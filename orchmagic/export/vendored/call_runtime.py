"""How a module calls models: code that modules carry as it stands here, beside `core.portable`.

Each definition is copied when something in the module needs it; the constants are stand-ins for the module's own.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any, TypeAlias

from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, AsyncOpenAI
from openai.types.chat.chat_completion import Choice
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from orchmagic.core.portable import (
    FAULTS,
    as_object,
    fault_of,
    field_names,
    find_json,
    is_too_long,
    retry_wait,
    status_of,
    table_rows,
    token_confidence,
    unusable,
    validate_with,
    wait_seconds,
)

RETRIES = 2
Messages: TypeAlias = list[dict[str, Any]]


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
        answer: Any = await once.chat.completions.create(**body)
    except APIStatusError as error:
        wait = wait_seconds(error.response.headers.get("retry-after"))
        fault = fault_of(error.status_code, error.body)
        raise ModelFailedError(str(error), fault, wait) from error
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
    return usable(choices[0])


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


def usable(choice: Choice) -> Choice:
    """Return the choice if it is an answer."""
    message = choice.message
    reason = "refusal" if message.refusal else choice.finish_reason
    fault = unusable(reason, message.content or "", message.tool_calls)
    if fault is not None:
        raise ModelFailedError(message.refusal or f"finish_reason {reason}, {fault}", fault)
    return choice


def read_reply(kind: type[Any], reply: str, *, wraps: bool = False) -> Any:
    """Return the reply as JSON that fits the class; with `wraps` it may be the lone `value` of the class."""
    adapter = TypeAdapter(kind)
    data, place = find_json(reply)
    data = as_object(data, place, field_names(adapter.json_schema()), wraps=wraps)
    return to_jsonable_python(validate_with(adapter, data), round_trip=True)


def rebuilt(kind: type[Any], value: object) -> Any:
    """Return a value of the state as its class; None for a step that did not run."""
    if value is None:
        return None
    return TypeAdapter(kind).validate_json(json.dumps(value))


def as_json(value: Any) -> Any:
    """Return the value as JSON; a table is the list of its rows."""
    return to_jsonable_python(table_rows(value))


def how_sure(choice: Choice, field: str, value: object) -> float | None:
    """Return the probability of the tokens that spell the field's value."""
    tokens = (choice.logprobs and choice.logprobs.content) or []
    return token_confidence(choice.message.content or "", field, value, tokens)
