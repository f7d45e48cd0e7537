"""Selects the spans that `resume` and `retry` run again, and lists the failed items (dead letters)."""

from __future__ import annotations

from typing import Any

from orchmagic.trace import span_id
from orchmagic.trace.record import Record


def spans_to_reask(record: Record) -> frozenset[str]:
    """The failed spans that have a model answer, which is unusable: `resume` calls the model again for them."""
    asks = {s.parent for s in record.spans if s.kind == "ask" and s.status == "done"}
    return frozenset(s.id for s in record.spans if s.status == "failed" and s.id in asks)


def spans_to_retry(record: Record) -> frozenset[str]:
    """The innermost failed spans: `retry` runs and pays them again; the rest comes from the journal."""
    failed = [s for s in record.spans if s.status == "failed" and s.kind not in {"ask", "attempt"}]
    around = {s.parent for s in failed}
    return frozenset(s.id for s in failed if s.id not in around)


def dead_letters(record: Record) -> list[dict[str, Any]]:
    """The items that failed after all retries, each with step, item (from 1), input, error, attempts."""
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
