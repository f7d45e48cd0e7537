"""Checks whether an endpoint can be reached, with GET /models, which is free everywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchmagic.errors import SettingsError
from orchmagic.models.types import Deployment
from orchmagic.models.wire.chat_completions import one_line
from orchmagic.models.wire.http_errors import redact
from orchmagic.models.wire.urls import KEY_ENV, base, is_address, on_loopback, shown

if TYPE_CHECKING:
    from httpx2 import Response

TIMEOUT = 3.0  # seconds
_REFUSED = (401, 403)


@dataclass(frozen=True, slots=True)
class Reachability:
    """Whether an endpoint answered, after how many `seconds` (None = no answer); `note` is shown to the user."""

    reachable: bool
    note: str
    seconds: float | None = None


async def check(deployment: Deployment, environ: Mapping[str, str], timeout: float = TIMEOUT) -> Reachability:  # noqa: ASYNC109 - a setting of the check, as of a call
    """Request the list of the endpoint's models; nothing is generated or billed. `timeout` in seconds."""
    if deployment.provider != "openai":
        return Reachability(reachable=True, note="here")
    url = deployment.base_url or base(environ)
    if not is_address(url):
        return Reachability(reachable=False, note=f"{shown(url)} is no address")
    from httpx2 import AsyncClient, HTTPError, InvalidURL  # noqa: PLC0415 - heavy; comes with openai

    key_env = deployment.key_env or KEY_ENV
    try:
        key = environ.get(key_env)
    except SettingsError:  # the keyring cannot be read; the key column shows it
        return Reachability(reachable=False, note="not called")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    began = time.perf_counter()
    try:
        async with asyncio.timeout(timeout), AsyncClient(trust_env=not on_loopback(url)) as client:
            response = await client.get(f"{url.rstrip('/')}/models", headers=headers)
    except TimeoutError:
        return Reachability(reachable=False, note=f"no answer in {timeout:g} s")
    except (
        HTTPError,
        OSError,
        ValueError,
        ImportError,
        OverflowError,
        ExceptionGroup,
        InvalidURL,
    ) as error:  # also bad certificates and proxies
        reason = redact(one_line(str(error) or type(error).__name__, 60))
        return Reachability(reachable=False, note=f"not reached: {reason.replace(key, '[key]') if key else reason}")
    seconds = time.perf_counter() - began
    problem = _problem(response, key_env)
    return Reachability(reachable=not problem, note=problem or f"{seconds * 1000:.0f} ms", seconds=seconds)


def _problem(response: Response, key_env: str) -> str:
    """Why the response is not a list of models (wrong path, another server); "" if it is one."""
    if response.status_code in _REFUSED:
        return f"{key_env} was refused ({response.status_code})"
    if not response.is_success:
        return f"{response.status_code} for /models: is base_url right?"
    try:
        response.json()
    except ValueError:  # the page of a web server
        return f"{response.status_code}, not in the protocol: is base_url right?"
    return ""
