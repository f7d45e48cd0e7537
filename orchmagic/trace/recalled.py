"""The record of a replay: that of the replayed run, with every answer from the record and nothing paid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchmagic.trace.events import JournalHit, Usage
from orchmagic.trace.reasons import Reason
from orchmagic.trace.record import Record, Span

_UNANSWERED = {"failed", "running", "cancelled"}


def recalled(record: Record, run: str, started: str) -> Record:
    """Returns the record of the replay `run`. Its times are those of the replayed run; it has no attempts."""
    spans = tuple(_recalled(span) for span in record.spans if span.kind != "attempt")
    return replace(
        record,
        run=run,
        started=started,
        usage=Usage(),
        cost=0.0,
        unpriced=0,
        calls=0,
        cached=0,
        recalled=sum(span.recalled for span in spans),
        spans=spans,
    )


def hits(record: Record) -> Iterator[JournalHit]:
    """Yields an event for each answer of a replay, for the audit log."""
    for span in record.spans:
        if span.recalled:
            yield JournalHit(call=span.id, usage=Usage(), cost=span.saved, paid=False)


def _recalled(span: Span) -> Span:
    free = replace(span, usage=Usage(), cost=0.0, unpriced=0, charged=False)
    if span.kind != "ask" or span.status in _UNANSWERED:
        return free
    saved = span.cost if span.saved is None else span.saved
    why = (*(w for w in span.why if w.kind not in {"journal", "semantic_hit"}), Reason("journal"))
    return replace(free, recalled=True, age=None, saved=saved, why=why)
