"""The terminal's view: a row per step, and why things went as they did."""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic import words
from orchmagic.trace import Record, Span
from orchmagic.views import View

_ROWS = 60


def render(record: Record) -> str:
    """Plain text of at most some hundred lines."""
    return "\n".join((*_table(record), *_reasons(record)))


def _reasons(record: Record) -> Iterator[str]:
    for span in record.spans[: 20 * _ROWS]:
        yield from (f"  {span.id}: {words.one_line(w, 200)}" for w in span.why)


def _table(record: Record) -> Iterator[str]:
    steps = record.steps[:_ROWS]
    rows = [_row(record, s) for s in steps]
    widths = [max((len(r[i]) for r in rows), default=0) for i in range(5)]
    for row in rows:
        cells = [
            row[0],
            row[1].ljust(widths[1]),
            row[2].ljust(widths[2]),
            row[3].rjust(widths[3]),
            row[4].rjust(widths[4]),
        ]
        yield "  ".join((*cells, *row[5:])).rstrip()
    if len(record.steps) > _ROWS:
        yield f"… {len(record.steps) - _ROWS:,} more steps"


def _row(record: Record, step: Span) -> tuple[str, ...]:
    return (
        words.MARKS.get(step.status, "·"),
        words.label(record, step),
        words.models(record, step) or step.kind,
        words.seconds(step.seconds),
        f"{step.usage.total:,} tok",
        words.money(step.cost) if step.usage.total else "",
        words.cache(record, step) or ("" if step.status == "done" else step.status),
    )


plug = View("text", "text/plain", render)
