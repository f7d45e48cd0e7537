"""The quality of a run: the numbers in its outputs that measure it, such as a score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchmagic.trace.reasons import AGREEMENT
from orchmagic.trace.record import Record

QUALITIES = ("score", "agreement", "verified", "confidence")
"""Fields of outputs, and names of steps, whose numbers measure quality."""

_DIGITS = 3


def quality(record: Record) -> dict[str, float]:
    """Return the quality figures of a run: `step.field` -> number; true is 1.

    If a step ran several times, the last value counts; for a list of rounds, the best score.
    """
    found: dict[str, float] = {}
    for step in record.steps:
        found |= dict(_measures(step.name, step.output))
        if sure := [round(r.confidence, 2) for r in step.why if r.confidence is not None and r.basis != AGREEMENT]:
            found.setdefault(f"{step.name}.confidence", sure[-1])
    return found | {name: n for name, n in _measures("", record.output) if name not in _ends(found)}


def _ends(found: Mapping[str, float]) -> set[str]:
    return {name.rpartition(".")[2] for name in found}


def _measures(step: str, value: Any) -> Iterator[tuple[str, float]]:
    if step in QUALITIES and isinstance(value, int | float):
        yield step, float(value)
    rounds = [r for r in value if isinstance(r, Mapping)] if isinstance(value, list) else []
    scores = [r["score"] for r in rounds if isinstance(r.get("score"), int | float)]
    if scores and all("round" in r for r in rounds):
        yield f"{step}.best score" if step else "best score", float(max(scores))
    if isinstance(value, Mapping):
        for name in QUALITIES:
            if isinstance(number := value.get(name), int | float):
                yield f"{step}.{name}" if step else name, float(number)


def digits(number: float | None) -> str:
    return "" if number is None else f"{number:.{_DIGITS}g}"
