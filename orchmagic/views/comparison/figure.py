"""The Plotly figure of several runs: for every step a bar of each run, on one time axis.

A letter in each row names its run, beside its color.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from orchmagic.core.text_format import more
from orchmagic.trace import humanize, marks, summary
from orchmagic.trace.record import Record, Span
from orchmagic.views.bar_figure import Bar, BarRow, bar_figure, end_of, seconds
from orchmagic.views.comparison.steps import drawn, label, steps
from orchmagic.views.palette import RUNS
from orchmagic.views.timeline.rows import PATTERNS, length

LETTERS = "ABCDEF"
STEPS = 30
_OUTPUT = 46  # characters of a value in a hover text


def figure(records: Sequence[Record], notes: Sequence[str]) -> dict[str, Any]:
    """Return `{"data", "layout", "config"}`; `notes`: a text on the quality of each run, in its row."""
    ids, shown = steps(records), drawn(records)
    rows = [_run(i, record, note) for i, (record, note) in enumerate(zip(records, notes, strict=True))]
    for id_ in shown[:STEPS]:
        rows += _step(records, id_, label(ids, id_))
    if len(shown) > STEPS:
        rows.append(BarRow(more(len(shown) - STEPS, "steps")))
    if len(shown) < len(ids):
        rows.append(BarRow("", f"not drawn: {len(ids) - len(shown):,} that took hardly any time"))
    return bar_figure(rows, end_of(max(1e-3, *(record.seconds for record in records))), seconds)


def _run(i: int, record: Record, note: str) -> BarRow:
    heading = f"{LETTERS[i]} {record.run} {record.name}"
    words = (*summary.figures(record), marks.trouble(record), note)
    said = f"Output: {humanize.one_line(record.output, _OUTPUT)}"
    hover = "\n".join(filter(None, (f"{LETTERS[i]} · {record.run}", *words, said)))
    bar = Bar(0.0, record.seconds, RUNS[i], hover, PATTERNS.get(record.status, ""))
    return BarRow(heading, " · ".join(filter(None, words)), (bar,), record.status == "failed")


def _step(records: Sequence[Record], id_: str, name: str) -> Iterator[BarRow]:
    for i, record in enumerate(records):
        span = next((s for s in record.steps if s.id == id_), None)
        if span is not None:
            cached = summary.cache(record, span)
            bar = Bar(
                span.start, length(record, span), RUNS[i], _hover(i, record, span),
                "/" if cached else PATTERNS.get(span.status, ""),
            )  # fmt: skip
            words = " · ".join(filter(None, (*_spent(record, span), marks.trouble(span), cached)))
            yield BarRow(f"{LETTERS[i]} {name}", words, (bar,), span.status == "failed")


def _spent(record: Record, span: Span) -> tuple[str, ...]:
    money = (f"{humanize.tokens(span.usage)} tokens", humanize.money(span.cost, span.unpriced))
    return (humanize.seconds(length(record, span)), *(money if span.usage.total else ()))


def _hover(i: int, record: Record, span: Span) -> str:
    made = f"{humanize.sides(span.kind)[1]}: {humanize.one_line(span.output, _OUTPUT)}"
    texts = (
        f"{LETTERS[i]} · {record.run} · {span.name} · {marks.of(span).word}",
        summary.models(record, span),
        ", ".join(_spent(record, span)),
        *(humanize.one_line(str(why), _OUTPUT) for why in span.why[:4]),
        humanize.one_line(span.error, _OUTPUT) if span.error else made,
    )
    return "\n".join(filter(None, texts))
