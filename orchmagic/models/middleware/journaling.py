"""Serve the answers that the run's journal holds; keep each new one. An error is never kept.

Outside fallback and cache: what the run got for a question is what it gets again, whoever gave it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchmagic.models.budget import Budget
from orchmagic.models.cache import serialization
from orchmagic.models.cache.key import key
from orchmagic.models.types import Deployment, Emit, Handler, ModelRequest, ModelResponse
from orchmagic.storage.journal import Journal
from orchmagic.trace.events import JournalHit


@dataclass(slots=True)
class Journaling:
    """Just inside tracing. What an earlier life of the run paid counts against its budget, as it did then.

    A call that this life has met already (a run that waited for a person starts from its beginning) is answered
    without a word: its events and costs are in the trace.
    """

    journal: Journal
    resolve: Callable[[str], Deployment]
    emit: Emit
    budget: Budget

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        name = key(request, self.resolve(request.model))
        found = self.journal.recall(request.call, name)
        answer = None if found is None else _read(found.value)
        if found is not None and answer is not None:
            return self._recalled(request.call, answer, own=found.own)
        answer = await handler(request)
        self.journal.keep(request.call, name, serialization.dump(answer))
        self.budget.count_once(request.call)
        return answer

    def _recalled(self, call: str, answer: ModelResponse, *, own: bool) -> ModelResponse:
        paid = own and answer.age is None  # else the cache gave it, then as now for nothing
        spent = (answer.usage.total, answer.cost) if paid else ()
        if not self.budget.count_once(call, *spent):
            self.emit(JournalHit(call=call, usage=answer.usage, cost=answer.cost, paid=paid))
        return answer


def _read(data: object) -> ModelResponse | None:
    """None when it is no answer: what is damaged is asked again."""
    try:
        return serialization.load(data)  # type: ignore[arg-type]  # whatever was found, it is checked there
    except (TypeError, KeyError, AttributeError, ValueError):
        return None
