"""`%orch batches`: the batches that endpoints work on, and whose answers are not collected yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from orchmagic.core.text_format import table
from orchmagic.errors import InputError, OrchError, nearest
from orchmagic.notebook.commands.registry import command

if TYPE_CHECKING:
    from orchmagic.models.batching import BatchEndpoint, BatchState
    from orchmagic.runtime.session import Session
    from orchmagic.storage.sent_batches import SentBatch

_HOW = "Run the cell again, or %orch resume RUN, to collect answers; %orch batches cancel ID to stop one."


@command
def batches(session: Session, action: str = "", id_: str = "") -> str:
    """Batches [cancel ID]: those sent to a Batch API and not collected yet, and how far they are"""
    known = session.services.history.batches.all()
    if action == "cancel" and id_:
        return _cancelled(session, known, id_)
    if action:
        raise InputError(f"unknown command {action!r}: write %orch batches or %orch batches cancel ID")
    if not known:
        return "No batch waits to be collected."
    rows = session.services.loop.run(_rows(session, known))
    return table([("batch", "model", "requests", "sent", "state"), *rows]) + f"\n{_HOW}"


def _cancelled(session: Session, known: Sequence[SentBatch], id_: str) -> str:
    batch = next((b for b in known if b.id == id_), None)
    if batch is None:
        ids = [b.id for b in known if b.id]
        raise InputError(f"no batch {id_!r} (known: {', '.join(ids) or 'none'}){nearest(id_, ids)}")

    async def cancel() -> BatchState:
        return await _endpoint(session, batch).cancel(batch.id)

    state = session.services.loop.run(cancel())
    return f"{id_} is {state.status}. What was answered before is billed, and collected when you run the cell again."


async def _rows(session: Session, known: Sequence[SentBatch]) -> list[tuple[str, ...]]:
    states = await asyncio.gather(*(_state(session, batch) for batch in known))
    return [
        (b.id or "?", b.alias, f"{b.left:,} of {b.requests:,}", _time(b.sent), state)
        for b, state in zip(known, states, strict=True)
    ]


async def _state(session: Session, batch: SentBatch) -> str:
    """How far the endpoint says that a batch is, or why it cannot be asked."""
    try:
        endpoint = _endpoint(session, batch)
        state = await (endpoint.state(batch.id) if batch.id else endpoint.find(batch.tag))
    except OrchError as error:
        return str(error)
    if state is None:
        return "did not arrive"
    return f"{state.status}, {state.done:,} of {state.total:,} done"


def _endpoint(session: Session, batch: SentBatch) -> BatchEndpoint:
    """The endpoint that a batch was sent to, with today's key; made on the session's loop."""
    from orchmagic.models.batching import BatchProvider  # noqa: PLC0415 - only this command needs it
    from orchmagic.models.types import Deployment  # noqa: PLC0415 - as above

    provider = session.services.models.provider(batch.provider)
    if not isinstance(provider, BatchProvider):
        raise InputError(f"the provider {batch.provider!r} of {batch.id} has no Batch API")
    where = batch.base_url or None, batch.key_env or None
    return provider.batches(Deployment(batch.alias, batch.provider, batch.model, *where))


def _time(sent: str) -> str:
    return f"{datetime.fromisoformat(sent).astimezone():%d %b %H:%M}"
