"""The order of a plan's steps: which may be done next, and why a plan cannot be carried out.

Steps are texts, or objects (dicts or records) that name in `after` the numbers (from 1) of the steps they wait for.
Results are dicts with `round` (which plan they belong to), `number` (of the step) and `result` (None: it failed).
Expressions of cells call these functions, and exported modules copy them: lines fit 88 columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def ready(
    steps: Sequence[Any],
    results: Sequence[Mapping[str, Any]] | None,
    turn: int,
    *,
    parallel: bool = False,
) -> list[int]:
    """Say by number which steps wait for nothing any more; [] when none is left.

    Steps that name nothing to wait for are done in their order, one by one (`parallel`:
    all at once). A plan that cannot be carried out to its end (a circle, a number that
    is not there) is not begun: [].
    """
    waits: dict[int, set[int]] = {}
    for number, step in enumerate(steps, 1):
        after = awaited(step)
        if after is None:
            after = [] if parallel else list(range(1, number))
        waits[number] = set(after)
    if len(reachable(waits)) < len(waits):
        return []
    done = {entry["number"] for entry in results or () if entry["round"] == turn}
    return [n for n in waits if n not in done and waits[n] <= done]


def flaws(
    steps: Sequence[Any],
    results: Sequence[Mapping[str, Any]] | None,
    turn: int,
    errors: Mapping[str, str] | str | None = None,
) -> str:
    """Say what is wrong with a plan: it cannot be begun, or steps failed; else "".

    `errors` tells why steps failed: one text for all, or one for each in their order.
    """
    waits = {n: awaited(step) or [] for n, step in enumerate(steps, 1)}
    unknown = [(n, m) for n, after in waits.items() for m in after if m not in waits]
    known = {n: {m for m in after if m in waits} for n, after in waits.items()}
    reached = reachable(known)
    circle = [str(n) for n in waits if n not in reached]
    told = [] if steps or results else ["the plan has no step"]
    for number, other in unknown:
        told.append(f"step {number} waits for step {other}, which is not in the plan")
    if circle:
        told.append(f"steps {', '.join(circle)} wait for each other")
    mine = [entry for entry in results or () if entry["round"] == turn]
    failed = [entry["number"] for entry in mine if entry["result"] is None]
    whys = list(errors.values()) if isinstance(errors, Mapping) else []
    if isinstance(errors, str) or len(whys) != len(failed):
        whys = [errors if isinstance(errors, str) else ""] * len(failed)
    for number, why in zip(failed, whys, strict=True):
        told.append(f"step {number} failed{why and ': '}{why}")
    return "; ".join(told)


def awaited(step: Any) -> list[int] | None:
    """Return the numbers that a step names in `after`; None when it names nothing."""
    if isinstance(step, Mapping):
        return list(step["after"] or ()) if "after" in step else None
    return list(step.after or ()) if hasattr(step, "after") else None


def reachable(waits: Mapping[int, set[int]]) -> set[int]:
    """Return the numbers that come to their turn when all before them are done."""
    reached: set[int] = set()
    while found := {n for n in waits if n not in reached and waits[n] <= reached}:
        reached |= found
    return reached
