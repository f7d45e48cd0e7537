"""When a model fails for good, ask the next one of the list; say who failed and why."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from orchmagic.errors import ModelError, RateLimited, error_kind
from orchmagic.models.types import Emit, Handler, ModelRequest, ModelResponse
from orchmagic.models.wire.http_errors import kind, say
from orchmagic.trace.events import FellBack


class Fallback:
    """Tries `request.model`, then `request.fallback` in order, each once.

    A wrong key or request is not passed on, nor is a spent budget. When none answers, the last error is raised
    and names all that were tried.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        models = tuple(dict.fromkeys((request.model, *request.fallback)))
        short: list[str] = []
        long: list[str] = []
        for number, model in enumerate(models, 1):
            try:
                answer = await handler(replace(request, model=model))
            except ModelError as error:
                short.append(f"{model}: {kind(error)}{_after(error)}")
                long.append(f"{kind(error)} from {model}{_after(error)}: {error}")
                if not error.falls_back or number == len(models):
                    error.args = (_last_words(error, long),)
                    raise
                fell = partial(FellBack, call=request.call, source=model, target=models[number])
                self._emit(fell(error=say(error) + _all(error), error_kind=error_kind(error)))
            else:
                if not short:
                    return answer
                how = "" if answer.reason == "first choice" else f"; {answer.reason}"
                return replace(answer, reason=f"fallback from {'; from '.join(short)}{how}")
        raise AssertionError("unreachable: the last model answers or raises")


def _after(error: ModelError) -> str:
    return f" after {error.attempts} attempts" if error.attempts > 1 else ""


def _all(error: ModelError) -> str:
    return f" ({error.attempts} attempts)" if error.attempts > 1 else ""


def _last_words(error: ModelError, tried: list[str]) -> str:
    if len(tried) == 1:
        return f"{error}{_all(error)}{_advice(error)}"
    return f"none of {len(tried)} models answered: {'; '.join(tried)}"


def _advice(error: ModelError) -> str:
    """Where the endpoint asks for a wait: that is for others to answer meanwhile."""
    asked = isinstance(error, RateLimited) and error.retry_after is not None
    return ": write --fallback MODEL, or give the alias another deployment" if asked else ""
