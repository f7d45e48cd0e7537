"""Compare two runs step by step, as lines of text: totals, status, inputs, outputs and errors."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from orchmagic.core.text_format import more
from orchmagic.trace import humanize, marks, summary
from orchmagic.trace.record import Record, Span

_LINES = 40  # lines shown of one difference


class Line(NamedTuple):
    """A line of a difference: its indentation, and `+` or `-` if only one run has it."""

    depth: int
    text: str
    sign: str = ""

    def __str__(self) -> str:
        return f"{'  ' * self.depth}{self.text}"


def lines(a: Record, b: Record) -> Iterator[Line]:
    """Yield a heading, the totals, each step that differs, then one line each for equal and missing steps."""
    yield Line(0, f"{a.run} {a.name} ({marks.of(a).word}) → {b.run} {b.name} ({marks.of(b).word})")
    spent = (
        f"cost {summary.total(a)} → {summary.total(b)}, tokens {humanize.tokens(a.usage)} → {humanize.tokens(b.usage)}"
    )
    yield Line(1, f"{spent}, calls {a.calls} → {b.calls}, seconds {a.seconds:.2f} → {b.seconds:.2f}")
    first, second = {s.id: s for s in a.steps}, {s.id: s for s in b.steps}
    both = [name for name in first if name in second]
    differ = [name for name in both if _facts(first[name]) != _facts(second[name])]
    for name in differ:
        yield from _step(name, first[name], second[name])
    for which, names in (("first", first.keys() - second), ("second", second.keys() - first)):
        if names:
            yield Line(0, f"{', '.join(n for n in (*first, *second) if n in names)}: only in the {which} run")
    if same := [name for name in both if name not in differ]:
        yield Line(0, f"the same: {', '.join(same)}")
    if a.output != b.output:
        yield Line(0, "output")
        yield from _text(a.output, b.output)


def _facts(step: Span) -> tuple[Any, ...]:
    return step.status, step.input, step.output, step.error


def _step(name: str, first: Span, second: Span) -> Iterator[Line]:
    before, now = marks.of(first).word, marks.of(second).word
    yield Line(0, name if before == now else f"{name}: {before} → {now}")
    given, made = humanize.sides(second.kind)
    for what, one, other in ((given, first.input, second.input), (made, first.output, second.output)):
        if one != other:
            yield Line(1, what)
            yield from _text(one, other)
    if first.error != second.error:
        yield Line(1, f"error: {first.error or 'none'} → {second.error or 'none'}")


def _text(one: Any, other: Any) -> Iterator[Line]:
    """Yield the lines that differ, marked like those of `diff`."""
    found = [d for d in difflib.ndiff(_shown(one), _shown(other)) if d[0] in "+-"]
    yield from (Line(2, line.rstrip(), line[0]) for line in found[:_LINES])
    if len(found) > _LINES:
        yield Line(2, more(len(found) - _LINES, "lines"))


def _shown(value: Any) -> list[str]:
    said = humanize.said(value)
    return (said if isinstance(said, str) else json.dumps(said, indent=1, ensure_ascii=False)).splitlines()
