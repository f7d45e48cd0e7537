"""The name of an answer in the cache: a hash over all that can change the answer, and over nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from orchmagic.models.types import Deployment, ModelRequest
from orchmagic.models.wire import chat_completions, json_tools

_VERSION = 1  # raise it when stored answers must not be served any more


def key(request: ModelRequest, deployment: Deployment) -> str:
    """sha256 over endpoint, body and vote; aliases, step names and call ids are no part of it.

    Only the top level of the body is sorted: the order of a schema's properties is the order in which the model
    writes them, so it can change the answer.
    """
    body = sorted(sent(replace(request, stream=False), deployment).items())
    whole = [_VERSION, deployment.provider, (deployment.base_url or "").rstrip("/"), request.vote, body]
    # ASCII escapes: lone surrogates in hostile text have no UTF-8 form
    return hashlib.sha256(json.dumps(whole, separators=(",", ":")).encode("ascii")).hexdigest()


def sent(request: ModelRequest, deployment: Deployment) -> dict[str, Any]:
    """The body as it goes over the wire: with tools in the form that the deployment can use."""
    return chat_completions.body(json_tools.encode(request) if deployment.tools == "json" else request, deployment)
