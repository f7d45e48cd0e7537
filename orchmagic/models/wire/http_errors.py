"""What can go wrong between us and an endpoint, as ModelErrors: one clear line each, never a key in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from orchmagic.errors import (
    CallTimeout,
    ConnectionLost,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RefusedReply,
    RequestRejected,
    ServerFailed,
    UnusableReply,
)
from orchmagic.models.types import Deployment
from orchmagic.models.wire.chat_completions import one_line
from orchmagic.models.wire.urls import KEY_ENV, host, shown
from orchmagic.trace.events import Usage

_SHORT = 90  # characters of a reason among several
_SECRET = 8  # characters: a shorter key is a placeholder such as "none", and may be part of a word

# an account with nothing left also answers 429 or 400: waiting does not help there
_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_FILTER = {"content_filter", "content_policy_violation"}

# The first rule that holds for the status and the error's codes decides.
_RULES: tuple[tuple[Callable[[int, set[str]], object], type[ModelError], str], ...] = (
    (
        lambda status, codes: status == HTTPStatus.PAYMENT_REQUIRED or codes & _QUOTA,
        QuotaExhausted,
        "the account at {host} has nothing left ({status}): {said}",
    ),
    (
        lambda _, codes: codes & _FILTER,
        RefusedReply,
        "a content filter of {host} stopped the request: {said}",
    ),
    (lambda status, _: status == HTTPStatus.TOO_MANY_REQUESTS, RateLimited, "429 from {host}{wait}: {said}"),
    (lambda status, _: status == HTTPStatus.REQUEST_TIMEOUT, CallTimeout, "408 from {host}: {said}"),
    (
        lambda status, _: status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        ServerFailed,
        "{status} from {host}: {said}",
    ),
    (
        lambda status, _: status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN},
        RequestRejected,
        "{key} was refused by {host} ({status}): {said}",
    ),
    (
        lambda status, _: status == HTTPStatus.NOT_FOUND,
        RequestRejected,
        "{host} has no model {model!r}, or base_url is wrong (404): {said}",
    ),
    (lambda *_: True, RequestRejected, "{host} rejected the request ({status}): {said}"),
)


def rejected(
    deployment: Deployment, status: int, detail: Mapping[str, Any] | str, retry_after: str | None = None
) -> ModelError:
    """The error for an answer with `status`; `detail` is the body's `error` object, or its text."""
    said, codes = _read(detail)
    kind, text = next((kind, text) for holds, kind, text in _RULES if holds(status, codes))
    wait = seconds(retry_after)
    asked = "" if wait is None else f", which asks to wait {wait:.4g} s"
    words = {"wait": asked, "host": _at(deployment), "key": deployment.key_env or KEY_ENV, "model": deployment.model}
    error = kind(
        text.format(status=status, said=said, **words),
        model=deployment.model,
        provider=deployment.provider,
        status=status,
    )
    if isinstance(error, RateLimited):
        error.retry_after = wait
    if isinstance(error, UnusableReply):  # the filter stopped the request before a model saw it
        error.usage, error.cost = Usage(), 0.0
    return error


def _read(detail: Mapping[str, Any] | str) -> tuple[str, set[str]]:
    if isinstance(detail, str):
        return redact(one_line(detail)) or "no reason given", set()
    said = redact(one_line(str(detail.get("message") or ""))) or "no reason given"
    return said, {str(detail.get(key)) for key in ("code", "type")}


def late(deployment: Deployment, limit: float | None) -> CallTimeout:
    """No complete answer within `limit` seconds."""
    within = "in time" if limit is None else f"within {limit:g} s"
    text = f"{deployment.model} at {_at(deployment)} did not answer {within}: raise timeout, or add a fallback"
    return CallTimeout(text, model=deployment.model, provider=deployment.provider)


def lost(deployment: Deployment, how: str) -> ConnectionLost:
    """The connection to a running endpoint broke."""
    text = f"the connection to {_at(deployment)} broke: {redact(one_line(how))}"
    return ConnectionLost(text, model=deployment.model, provider=deployment.provider)


def unreachable(deployment: Deployment, how: str = "") -> ConnectionLost:
    """No connection came about, so nothing was spent."""
    what = f" ({redact(one_line(how))})" if how else ""
    place = shown(deployment.base_url or deployment.provider)
    text = f"nothing answers at {place}: start the server or change base_url{what}"
    error = ConnectionLost(text, model=deployment.model, provider=deployment.provider)
    error.may_have_spent = False
    return error


def garbled(deployment: Deployment, status: int, how: str) -> ServerFailed:
    """An answer that is not JSON of the protocol: a proxy's page, or a server in trouble."""
    text = f"{_at(deployment)} did not answer in the protocol (is base_url right?): {redact(one_line(how, 120))}"
    return ServerFailed(text, model=deployment.model, provider=deployment.provider, status=status)


def _at(deployment: Deployment) -> str:
    return host(deployment.base_url or deployment.provider)


def seconds(retry_after: str | None) -> float | None:
    """A Retry-After header, seconds or an HTTP date, as seconds from now; None when it says nothing."""
    if not retry_after:
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", retry_after):
        return float(retry_after)
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def status_of(detail: Mapping[str, Any]) -> int:
    """The status of an error that came without one: in a stream, or with status 200."""
    code = str(detail.get("code") or detail.get("status") or "")
    return int(code) if re.fullmatch(r"[45]\d\d", code) else HTTPStatus.INTERNAL_SERVER_ERROR


def redact(text: str) -> str:
    """The text without anything that looks like a key."""
    return re.sub(r"\b(?:sk|rk|pk|gsk|xai|nvapi)[-_][\w*-]{6,}|(?<=Bearer )\S+", "[key]", text)


def without(error: ModelError, key: str) -> ModelError:
    """The same error; its text does not hold `key`."""
    if len(key) >= _SECRET:
        error.args = (str(error).replace(key, "[key]"),)
    return error


def kind(error: ModelError) -> str:
    """`429`, or `call timeout` where the endpoint gave no status."""
    words = re.sub(r"(?<!^)([A-Z])", r" \1", type(error).__name__).lower()
    return str(error.status) if error.status else words


def say(error: ModelError) -> str:
    """The error's own words, its kind before them where they do not name it."""
    words = str(error)
    return words if kind(error) in words else f"{kind(error)}: {words}"


def each(tried: Sequence[tuple[str, ModelError]]) -> str:
    """One short reason, the last, for each of those that were tried, and how often that was."""
    last: dict[str, ModelError] = dict(tried)
    times = Counter(name for name, _ in tried)
    many = {name: f" ({n} times)" if n > 1 else "" for name, n in times.items()}
    return "; ".join(f"{kind(e)} from {name}{many[name]}: {one_line(str(e), _SHORT)}" for name, e in last.items())
