"""Serves the answers in the run's journal, and adds each new one. Errors are not added.

It is outside fallback and cache: a resumed run gets the same answer again, whichever model or cache gave it.
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
    """Replays calls from the journal. Answers paid before the run was resumed count against its budget again.

    A run that waited for a person starts from its beginning. A call that was counted before is then answered without an
    event, because its events and costs are already in the trace.
    """

    journal: Journal
    resolve: Callable[[str], Deployment]
    emit: Emit
    budget: Budget

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        name = key(request, self.resolve(request.model), sample=False)  # the id of the call tells samples apart
        found = self.journal.recall(request.call, name)
        answer = None if found is None else _read(found.value)
        if found is not None and answer is not None:
            return self._recalled(request.call, answer, own=found.own)
        answer = await handler(request)
        self.journal.keep(request.call, name, serialization.dump(answer))
        await self.journal.settled()
        self.budget.count_once(request.call)
        return answer

    def _recalled(self, call: str, answer: ModelResponse, *, own: bool) -> ModelResponse:
        paid = own and answer.age is None  # else the answer came from a cache, at no cost
        spent = (answer.usage.total, answer.cost) if paid else ()
        if not self.budget.count_once(call, *spent):
            self.emit(JournalHit(call=call, usage=answer.usage, cost=answer.cost, paid=paid))
        return answer


def _read(data: object) -> ModelResponse | None:
    """Read a journal entry; None if it is damaged, so that the model is called again."""
    try:
        return serialization.load(data)  # type: ignore[arg-type]  # `load` checks it
    except (TypeError, KeyError, AttributeError, ValueError):
        return None
