"""What of a run is done again: after a stop, by `retry`, and what stays failed (its dead letters)."""

from __future__ import annotations

from typing import Any

from orchmagic.trace import span_id
from orchmagic.trace.record import Record


def spans_to_reask(record: Record) -> frozenset[str]:
    """The spans that failed although a model answered: `resume` calls the model again, the answer is no use."""
    asks = {s.parent for s in record.spans if s.kind == "ask" and s.status == "done"}
    return frozenset(s.id for s in record.spans if s.status == "failed" and s.id in asks)


def spans_to_retry(record: Record) -> frozenset[str]:
    """The innermost spans that failed: `retry` runs them again and pays again, all else comes from the journal."""
    failed = [s for s in record.spans if s.status == "failed" and s.kind not in {"ask", "attempt"}]
    around = {s.parent for s in failed}
    return frozenset(s.id for s in failed if s.id not in around)


def dead_letters(record: Record) -> list[dict[str, Any]]:
    """The items that failed for good: step, item (from 1), input, error, attempts."""
    return [
        {
            "step": span_id.path(item.parent or ""),
            "item": int(item.name),
            "input": item.input,
            "error": item.error,
            "attempts": sum(s.kind == "attempt" for s in record.below(item)),
        }
        for item in record.spans
        if item.kind == "item" and item.status == "failed"
    ]
