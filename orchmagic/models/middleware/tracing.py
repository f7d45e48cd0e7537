"""Emits events when a model call starts and when it finishes, fails or is cancelled."""

from __future__ import annotations

import asyncio

from orchmagic.errors import error_kind
from orchmagic.models import images
from orchmagic.models.types import Emit, Handler, ModelRequest, ModelResponse
from orchmagic.trace.events import CallFailed, CallFinished, CallStarted


class Tracing:
    """Emits CallStarted, then CallFinished or CallFailed. If an answer has no text, its tool calls are the text."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        span = request.call.rpartition(".")[0] or request.call
        messages = tuple(images.describe_images(request.messages))
        self._emit(CallStarted(call=request.call, span=span, model=request.model, messages=messages))
        try:
            answer = await handler(request)
        except asyncio.CancelledError:
            self._emit(CallFailed(call=request.call, error="cancelled", error_kind="cancelled"))
            raise
        except Exception as error:
            text = str(error) or type(error).__name__
            self._emit(CallFailed(call=request.call, error=text, error_kind=error_kind(error)))
            raise
        self._emit(
            CallFinished(
                call=request.call,
                text=answer.text or ", ".join(f"{c.name}({c.arguments})" for c in answer.tool_calls),
                model=answer.model,
                provider=answer.provider,
            )
        )
        return answer
