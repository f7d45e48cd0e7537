"""The receipt of a run: a row for every answer, with who gave it, why, and what it cost."""

from __future__ import annotations

from typing import Any

from orchmagic.trace import Record


def rows(record: Record) -> list[dict[str, Any]]:
    """One dict per question; `cost` in US dollars (None = price unknown), `cache` is "hit" or "miss"."""
    found: list[dict[str, Any]] = []
    for step in record.steps:
        for ask in record.inside(step):
            if ask.kind == "ask":
                # a saved trace leaves out the one attempt that went well
                attempts = sum(s.kind == "attempt" for s in record.inside(ask)) or int(ask.age is None)
                found.append(
                    {
                        "step": step.name,
                        "model": ask.model,
                        "provider": ask.provider,
                        "reason": "; ".join(ask.why) or "first choice",
                        "attempts": attempts,
                        "input_tokens": ask.usage.input,
                        "output_tokens": ask.usage.output,
                        "cost": ask.cost,
                        "seconds": round(ask.seconds, 4),
                        "cache": "hit" if ask.age is not None else "miss",
                        "status": ask.status,
                    }
                )
    return found
