"""Calls the next model of the fallback list when one has failed, and emits an event with the reason."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from orchmagic.errors import ModelError, error_kind
from orchmagic.models.types import Emit, Handler, ModelRequest, ModelResponse
from orchmagic.models.wire.http_errors import kind, say
from orchmagic.trace.events import FellBack


class Fallback:
    """Tries `request.model`, then `request.fallback` in order, each once; inner layers see the models after it.

    There is no fallback after a wrong key, a wrong request or a spent budget. If no model answers, the last error is
    raised; its text names all models that were tried.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        models = tuple(dict.fromkeys((request.model, *request.fallback)))
        failures: list[str] = []
        for number, model in enumerate(models, 1):
            following = next(iter(models[number:]), None)
            try:
                asked = replace(request, model=model, fallback=models[number:]) if request.fallback else request
                return await handler(asked)
            except ModelError as error:
                after = f" after {error.attempts} attempts" if error.attempts > 1 else ""
                failures.append(f"{kind(error)} from {model}{after}: {error}")
                if following is None or not error.falls_back:
                    error.args = (_summary(error, failures),)
                    raise
                fell_back = partial(FellBack, call=request.call, source=model, target=following)
                self._emit(fell_back(error=say(error) + _attempts(error), error_kind=error_kind(error)))
        raise AssertionError("unreachable: the last model answers or raises")


def _attempts(error: ModelError) -> str:
    return f" ({error.attempts} attempts)" if error.attempts > 1 else ""


def _summary(error: ModelError, failures: list[str]) -> str:
    if len(failures) > 1:
        return f"none of {len(failures)} models answered: {'; '.join(failures)}"
    advice = "" if error.retry_after is None else ": write --fallback MODEL, or give the alias another deployment"
    return f"{error}{_attempts(error)}{advice}"
