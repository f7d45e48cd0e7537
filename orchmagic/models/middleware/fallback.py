"""When a model fails for good, ask the next one of the list."""

from __future__ import annotations

from dataclasses import replace

from orchmagic.errors import ModelError
from orchmagic.events import FellBack
from orchmagic.models import Emit, Handler, ModelRequest, ModelResponse


class Fallback:
    """Tries `request.model`, then `request.fallback` in order. A wrong key or request is not passed on."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        models = list(dict.fromkeys((request.model, *request.fallback)))
        why = ""
        for model, following in zip(models, [*models[1:], None], strict=True):
            try:
                answer = await handler(replace(request, model=model))
            except ModelError as error:
                if not error.falls_back or following is None:
                    raise
                why = f"fallback from {model}: {error}"
                self._emit(FellBack(call=request.call, source=model, target=following, reason=str(error)))
            else:
                return replace(answer, reason=why) if why else answer
        raise AssertionError("unreachable: the last model answers or raises")
