"""The name of an answer in the cache: a hash over all that can change the answer, and nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from orchmagic.models import Deployment, ModelRequest, wire

_VERSION = 1


def key(request: ModelRequest, deployment: Deployment) -> str:
    """sha256 over endpoint, body and vote; aliases, step names and call ids are no part of it."""
    body: dict[str, Any] = wire.body(request, deployment)
    body.pop("stream", None)
    body.pop("stream_options", None)
    whole = [_VERSION, deployment.provider, deployment.base_url, deployment.tools, request.vote, body]
    text = json.dumps(whole, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
