"""Converts the errors of an endpoint to ModelErrors; their texts are one line and never contain a key."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from orchmagic.core.portable import fault_of, wait_seconds
from orchmagic.core.redaction import KeyValues
from orchmagic.errors import (
    CallTimeout,
    ConnectionLost,
    ModelError,
    ModelUnfit,
    QuotaExhausted,
    RateLimited,
    RefusedReply,
    RequestRejected,
    ServerFailed,
    UnusableReply,
)
from orchmagic.models.types import Deployment
from orchmagic.models.wire.chat_completions import one_line
from orchmagic.models.wire.urls import KEY_ENV, host, shown, vendor
from orchmagic.trace.events import Usage

_OK = 200
_SHORT = 90  # characters of each reason in a list

# For each fault of an HTTP status: the error that it becomes, and its text.
_ERRORS: Mapping[str, tuple[type[ModelError], str]] = {
    "quota": (QuotaExhausted, "the account at {host} has nothing left ({status}): {reason}"),
    "content_filter": (RefusedReply, "a content filter of {host} stopped the request: {reason}"),
    "malformed": (UnusableReply, "{model} wrote what {host} cannot read ({status}): {reason}"),
    "rate_limit": (RateLimited, "429 from {host}{wait}: {reason}"),
    "timeout": (CallTimeout, "408 from {host}: {reason}"),
    "server": (ServerFailed, "{status} from {host}{wait}: {reason}"),
    "key": (RequestRejected, "{key} was refused by {host} ({status}): {reason}"),
    "context": (ModelUnfit, "the prompt is too long for {model} at {host} ({status}): {reason}"),
    "no_model": (ModelUnfit, "{host} has no model {model!r}, or base_url is wrong (404): {reason}"),
    "request": (RequestRejected, "{host} rejected the request ({status}): {reason}"),
}


def rejected(
    deployment: Deployment, status: int, detail: Mapping[str, Any] | str, retry_after: str | None = None
) -> ModelError:
    """The error for an HTTP error status; `detail` is the body's `error` object, or its text."""
    fault = fault_of(status, detail)
    kind, text = _ERRORS[fault]
    wait = wait_seconds(retry_after)
    requested = "" if wait is None else f", which asks to wait {wait:.4g} s"
    words = {
        "wait": requested,
        "host": _at(deployment),
        "key": deployment.key_env or KEY_ENV,
        "model": deployment.model,
    }
    reason = detail if isinstance(detail, str) else str(detail.get("message") or "")
    error = kind(
        text.format(status=status, reason=redact(one_line(reason)) or "no reason given", **words),
        status=status,
        **_who(deployment),
    )
    error.retry_after = wait
    if fault == "malformed":
        error.may_have_spent = True
    elif isinstance(error, UnusableReply):  # the filter stopped the request before a model saw it
        error.usage, error.cost = Usage(), 0.0
    return error


def late(deployment: Deployment, limit: float | None) -> CallTimeout:
    """The error for no complete answer within `limit` seconds."""
    within = "in time" if limit is None else f"within {limit:g} s"
    text = f"{deployment.model} at {_at(deployment)} did not answer {within}: raise timeout, or add a fallback"
    return CallTimeout(text, **_who(deployment))


def lost(deployment: Deployment, how: str) -> ConnectionLost:
    """The error for a connection that broke after it was made."""
    return ConnectionLost(f"the connection to {_at(deployment)} broke: {redact(one_line(how))}", **_who(deployment))


def unreachable(deployment: Deployment, how: str = "") -> ConnectionLost:
    """The error for a connection that could not be made, so nothing was spent."""
    what = f" ({redact(one_line(how))})" if how else ""
    place = shown(deployment.base_url or deployment.provider)
    text = f"nothing answers at {place}: start the server or change base_url{what}"
    error = ConnectionLost(text, **_who(deployment))
    error.may_have_spent = False
    return error


def no_way(deployment: Deployment, how: str) -> ConnectionLost:
    """The error for certificates or proxies of the environment that do not let anybody connect; nothing was spent."""
    text = (
        f"{_at(deployment)} cannot be asked, because of this machine's certificates or proxies: mend SSL_CERT_FILE, "
        f"HTTPS_PROXY, ALL_PROXY and the like ({redact(one_line(how))})"
    )
    error = ConnectionLost(text, **_who(deployment))
    error.may_have_spent = False
    return error


def redirected(deployment: Deployment, status: int, target: str) -> RequestRejected:
    """The error for a redirect to another server, which would get the key and the prompts."""
    text = f"{_at(deployment)} redirects to {one_line(shown(target), 90)} ({status}), which is not followed"
    return RequestRejected(f"{text}: write that address as base_url if you trust it", status=status, **_who(deployment))


def garbled(deployment: Deployment, status: int, how: str) -> ServerFailed:
    """The error for an answer that is not JSON of the protocol: a proxy's page, or a failing server."""
    text = f"{_at(deployment)} did not answer in the protocol (is base_url right?): {redact(one_line(how, 120))}"
    error = ServerFailed(text, status=status, **_who(deployment))
    error.may_have_spent = status == _OK  # an answer was made, and perhaps billed
    return error


def _who(deployment: Deployment) -> dict[str, Any]:
    return {"model": deployment.model, "provider": vendor(deployment.provider, deployment.base_url)}


def _at(deployment: Deployment) -> str:
    return host(deployment.base_url or deployment.provider)


def redact(text: str) -> str:
    """Replace everything that looks like a key."""
    return re.sub(r"\b(?:sk|rk|pk|gsk|xai|nvapi)[-_][\w*-]{6,}|(?<=Bearer )\S+", "[key]", text)


def without(error: ModelError, key: str) -> ModelError:
    """Replace `key` in the text of an error; returns the error."""
    error.args = (KeyValues([key]).clean(str(error)),)
    return error


def kind(error: ModelError) -> str:
    """The kind of an error: `429`, or `call timeout` if there is no status."""
    words = re.sub(r"(?<!^)([A-Z])", r" \1", type(error).__name__).lower()
    return str(error.status) if error.status else words


def say(error: ModelError) -> str:
    """The text of an error, after its kind if the text does not contain it."""
    text = str(error)
    return text if kind(error) in text else f"{kind(error)}: {text}"


def each(tried: Sequence[tuple[str, ModelError]]) -> str:
    """The last error, shortened, of each name in `tried`, and how often it was tried."""
    last: dict[str, ModelError] = dict(tried)
    times = Counter(name for name, _ in tried)
    many = {name: f" ({n} times)" if n > 1 else "" for name, n in times.items()}
    return "; ".join(f"{kind(e)} from {name}{many[name]}: {one_line(str(e), _SHORT)}" for name, e in last.items())
