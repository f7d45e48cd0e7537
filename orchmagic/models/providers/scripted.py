"""The scripted provider: answers from a Script in this process, and raises the errors of an HTTP endpoint for faults.

`install(Script(...))` registers a script; it answers the model `scripted`, or `scripted/NAME` if a name is given.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from orchmagic.errors import SettingsError, nearest
from orchmagic.models import ProviderPlug
from orchmagic.models.pricing import prices
from orchmagic.models.scripting.reply import Reply, completion, http_error, pieces
from orchmagic.models.scripting.script import Script
from orchmagic.models.types import Deployment, Emit, ModelRequest, ModelResponse
from orchmagic.models.wire import chat_completions
from orchmagic.models.wire.http_errors import garbled, late, lost, rejected
from orchmagic.trace.events import TextStreamed

DEFAULT = "scripted"
_installed: dict[str, Script] = {}


def install(script: Script, name: str = DEFAULT) -> Script:
    """Let `script` answer the model `scripted` (or `scripted/name`); replaces the script before it."""
    _installed[name] = script
    return script


def remove(name: str = DEFAULT) -> None:
    """Remove a script; the default one becomes an empty script again."""
    _installed.pop(name, None)


def find(name: str) -> Script:
    """Return the script `name`; "scripted" always exists.

    Raises:
        SettingsError: no script has that name.
    """
    if name == DEFAULT and name not in _installed:
        _installed[name] = Script()
    if name not in _installed:
        known = sorted({DEFAULT, *_installed})
        raise SettingsError(
            f"no script {name!r} (known: {', '.join(known)}): "
            f"write install(Script(...), {name!r}) first{nearest(name, known)}"
        )
    return _installed[name]


class ScriptedProvider:
    """Finds the script by the deployment's model name."""

    async def complete(self, request: ModelRequest, deployment: Deployment, emit: Emit) -> ModelResponse:
        """Return the script's next answer. A fault "timeout" raises at once; a long latency runs into the timeout."""
        script = find(deployment.model)
        body = chat_completions.body(request, deployment)
        reply, number = script.take(body)
        try:
            async with asyncio.timeout(request.timeout):
                await asyncio.sleep(reply.latency)
        except TimeoutError:
            raise late(deployment, request.timeout) from None
        _fail(reply, request, deployment)
        answer = completion(reply, body, number)
        return _speak(reply, chat_completions.response(answer, body), request, deployment, emit)

    async def close(self) -> None:
        """Nothing is open."""


def _fail(reply: Reply, request: ModelRequest, deployment: Deployment) -> None:
    error = http_error(reply)
    if error is not None:
        raise rejected(deployment, *error)
    if reply.fault == "timeout":
        raise late(deployment, request.timeout)
    if reply.fault == "garbled":
        raise garbled(deployment, 200, "<html>")


def _speak(
    reply: Reply, answer: ModelResponse, request: ModelRequest, deployment: Deployment, emit: Emit
) -> ModelResponse:
    chunks: list[Any] = (
        pieces(answer.text) if request.stream and answer.finish_reason != chat_completions.REFUSAL else []
    )
    if reply.fault == "reset":
        chunks = chunks[: len(chunks) // 2]
    for piece in chunks:
        emit(TextStreamed(call=request.call, text=piece))
    if reply.fault == "reset":
        raise lost(deployment, "reset in mid-answer, as the script says")
    spent = prices.cost(deployment, answer.usage)
    return chat_completions.usable(
        replace(answer, provider=deployment.provider, cost=spent), offered=bool(request.tools)
    )


plug = ProviderPlug(DEFAULT, ScriptedProvider)
