"""Reads the result of one request of a batch: the answer, or the error that the same call would have raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchmagic.core.portable import status_of
from orchmagic.errors import BatchLapsed, ModelError, RateLimited, ServerFailed
from orchmagic.models.pricing import prices
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse
from orchmagic.models.wire import chat_completions, http_errors
from orchmagic.models.wire.batch_lines import BatchResult
from orchmagic.models.wire.urls import vendor

_OK = 200
_QUEUE = "token_limit_exceeded"  # the endpoint holds as many tokens of batches as the account may have waiting
_LATER = 60.0  # seconds until a batch is tried again that the queue had no room for


def outcome(
    result: BatchResult, request: ModelRequest, body: Mapping[str, Any], deployment: Deployment
) -> ModelResponse:
    """The answer to a request, with its cost at the price of batches.

    Raises:
        ModelError: as for the same call without a batch; BatchLapsed if it was not processed.
    """
    if result.lapsed:
        raise lapsed(result.message, "expired" if "expired" in result.message else "cancelled", deployment)
    answer = result.body
    if result.status != _OK or (chat_completions.error_in(answer) and "choices" not in answer):
        detail = chat_completions.error_in(answer) or {"message": ""}
        status = result.status if result.status != _OK else status_of(detail)
        raise http_errors.rejected(deployment, status, detail)
    if not isinstance(answer.get("choices"), list):
        raise http_errors.garbled(deployment, result.status, str(answer)[:200])
    try:
        found = prices.priced_answer(answer, deployment, body)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise http_errors.garbled(deployment, result.status, f"{type(error).__name__}: {error}") from error
    return chat_completions.usable(found, offered=bool(request.tools))


def lapsed(what: str, status: str, deployment: Deployment) -> BatchLapsed:
    """The error for a request that was not processed, since its batch `status` is expired or cancelled."""
    text = chat_completions.one_line(what).rstrip(".")
    error = BatchLapsed(f"{text}: nothing was paid for this request", **_who(deployment))
    if status == "cancelled":  # somebody wants it not to be made: no other batch and no fallback
        error.transient = error.falls_back = False
    else:
        error.retry_after = 0.0  # all that have expired go into the next batch together
    return error


def refused(errors: Sequence[Mapping[str, Any]], what: str, deployment: Deployment) -> ModelError:
    """The error for a batch that failed as a whole: nothing of it was processed."""
    first = errors[0] if errors else {"message": "no reason given"}
    text = chat_completions.one_line(f"{what} was refused: {first.get('message')}")
    if first.get("code") == _QUEUE:
        return RateLimited(text, retry_after=_LATER, **_who(deployment))
    return http_errors.rejected(deployment, 400, {**first, "message": text})


def no_answer(what: str, deployment: Deployment) -> ModelError:
    """The error for a request that is in no file of a completed batch."""
    error = ServerFailed(f"{what} is completed and has no answer to this request", **_who(deployment))
    error.may_have_spent = True
    return error


def _who(deployment: Deployment) -> dict[str, Any]:
    return {"model": deployment.model, "provider": vendor(deployment.provider, deployment.base_url)}
