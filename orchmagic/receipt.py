"""The receipt of a run: a row for every answer, with who gave it, why, and what it cost; and its dead letters."""

from __future__ import annotations

from typing import Any

from orchmagic import words
from orchmagic.trace import Record, Span


def rows(record: Record) -> list[dict[str, Any]]:
    """One dict per question; `step` is the way to it (`digest/map/3`), `cost` in US dollars (None = price unknown),
    `cache` is "hit", "miss" or "record" (a run's own record).
    """
    return [_row(record, ask) for ask in record.spans if ask.kind == "ask"]


def _row(record: Record, ask: Span) -> dict[str, Any]:
    own = ask.age is None and not ask.recalled
    return {
        "step": words.path(ask.parent or ask.id),
        "model": ask.model,
        "provider": ask.provider,
        "reason": "; ".join(ask.why) or "first choice",
        # a saved trace leaves out the one attempt that went well
        "attempts": sum(s.kind == "attempt" for s in record.inside(ask)) or int(own),
        "input_tokens": ask.usage.input,
        "output_tokens": ask.usage.output,
        "cost": ask.cost,
        "seconds": round(ask.seconds, 4),
        "cache": "record" if ask.recalled else "miss" if own else "hit",
        "status": ask.status,
    }


def unfit(record: Record) -> frozenset[str]:
    """The spans that failed although a model answered: what it said is not worth keeping."""
    asks = {s.parent for s in record.spans if s.kind == "ask" and s.status == "done"}
    return frozenset(s.id for s in record.spans if s.status == "failed" and s.id in asks)


def broken(record: Record) -> frozenset[str]:
    """The innermost spans that failed: of a dead letter, the part that is to be done again."""
    failed = [s for s in record.spans if s.status == "failed" and s.kind not in {"ask", "attempt"}]
    around = {s.parent for s in failed}
    return frozenset(s.id for s in failed if s.id not in around)


def inside(parts: frozenset[str], id_: str) -> bool:
    """Whether a span or call belongs to one of `parts`: "map#1/2.1" to "map#1/2"."""
    return any(id_ == part or id_.startswith((f"{part}.", f"{part}/")) for part in parts)


def dead_letters(record: Record) -> list[dict[str, Any]]:
    """The items that failed for good: step, item (from 1), input, error, attempts."""
    return [
        {
            "step": words.path(item.parent or ""),
            "item": int(item.name),
            "input": item.input,
            "error": item.error,
            "attempts": sum(s.kind == "attempt" for s in record.below(item)),
        }
        for item in record.spans
        if item.kind == "item" and item.status == "failed"
    ]
