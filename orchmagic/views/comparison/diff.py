"""What two runs of a pattern did differently, step by step: prompts, answers, models and costs, as lines of text."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any

from orchmagic.core.text_format import more
from orchmagic.trace import summary
from orchmagic.trace.record import Record, Span

_LINES = 40  # of one difference that are shown


def lines(a: Record, b: Record) -> Iterator[str]:
    """A heading, the totals, then each step that differs; steps that are the same share one line."""
    yield f"{a.run} {a.name} ({a.status}) → {b.run} {b.name} ({b.status})"
    spent = f"cost {summary.total(a)} → {summary.total(b)}, tokens {a.usage.total:,} → {b.usage.total:,}"
    yield f"  {spent}, calls {a.calls} → {b.calls}, seconds {a.seconds:.2f} → {b.seconds:.2f}"
    same: list[str] = []
    for name, first, second in _pairs(a, b):
        found = [] if first and second and _facts(first) == _facts(second) else [*_step(name, first, second)]
        if found:
            yield from found
        else:
            same.append(name)
    if same:
        yield f"the same: {', '.join(same)}"
    if a.output != b.output:
        yield "output"
        yield from _text(a.output, b.output)


def _pairs(a: Record, b: Record) -> Iterator[tuple[str, Span | None, Span | None]]:
    left, right = {s.id: s for s in a.steps}, {s.id: s for s in b.steps}
    for name in dict.fromkeys((*left, *right)):
        yield name, left.get(name), right.get(name)


def _facts(step: Span) -> tuple[Any, ...]:
    return step.status, step.input, step.output, step.error


def _step(name: str, first: Span | None, second: Span | None) -> Iterator[str]:
    if first is None or second is None:
        yield f"{name}: only in the {'second' if first is None else 'first'} run"
        return
    yield name if first.status == second.status else f"{name}: {first.status} → {second.status}"
    for what, one, other in (("asked", first.input, second.input), ("gave", first.output, second.output)):
        if one != other:
            yield f"  {what}"
            yield from _text(one, other)
    if first.error != second.error:
        yield f"  error: {first.error or 'none'} → {second.error or 'none'}"


def _text(one: Any, other: Any) -> Iterator[str]:
    """The lines that differ, as `diff` marks them."""
    found = [d for d in difflib.ndiff(_shown(one), _shown(other)) if d[0] in "+-"]
    yield from (f"    {line.rstrip()}" for line in found[:_LINES])
    if len(found) > _LINES:
        yield f"    {more(len(found) - _LINES, 'lines')}"


def _shown(value: Any) -> list[str]:
    if isinstance(value, list) and value and all(isinstance(m, dict) and "content" in m for m in value):
        return [line for m in value for line in f"{m.get('role')}: {m['content']}".splitlines()]
    return (value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)).splitlines()
