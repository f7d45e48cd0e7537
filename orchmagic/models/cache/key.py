"""The cache key of a request: a hash of everything that can change the answer, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from orchmagic.models.types import Deployment, ModelRequest
from orchmagic.models.wire import chat_completions, json_tools

_VERSION = 1  # raise it when stored answers must not be served any more


def key(request: ModelRequest, deployment: Deployment, *, sample: bool = True) -> str:
    """sha256 (hex) of endpoint, body, vote and (if `sample`) sample; not of aliases, step names or call ids.

    Only the top level of the body is sorted: a model writes the properties of a schema in their order, so that order
    can change the answer.
    """
    whole_reply = replace(request, stream=False) if request.stream else request
    body = sorted(sent(whole_reply, deployment).items())
    whole = [_VERSION, deployment.provider, (deployment.base_url or "").rstrip("/"), request.vote, body]
    whole += [request.sample] if sample and request.sample else []
    # ASCII escapes: lone surrogates in hostile text have no UTF-8 form
    return hashlib.sha256(json.dumps(whole, separators=(",", ":")).encode("ascii")).hexdigest()


def sent(request: ModelRequest, deployment: Deployment) -> dict[str, Any]:
    """The request body as sent, with tools in the form that the deployment supports."""
    return chat_completions.body(json_tools.encode(request) if deployment.tools == "json" else request, deployment)
