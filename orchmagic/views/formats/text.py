"""The text view for terminals: a row per step, then the reasons."""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.core.text_format import more, table
from orchmagic.trace import humanize, marks, summary
from orchmagic.trace.record import Record, Span
from orchmagic.views import View
from orchmagic.views.span_list import lines

_ROWS = 60
_FIGURES = (3, 4, 5)  # indices of the numeric columns: time, tokens, cost


def render(record: Record) -> str:
    """Return plain text of at most about a hundred lines."""
    return "\n".join((*_table(record), *_reasons(record)))


def _reasons(record: Record) -> Iterator[str]:
    remarks = [
        f"  {span.id}: {humanize.one_line(remark, 200)}"
        for span in record.spans
        for remark in (*map(str, span.why), summary.waits(span, 200))
        if remark
    ]
    yield from remarks[:_ROWS]
    if len(remarks) > _ROWS:
        yield f"  {more(len(remarks) - _ROWS, 'remarks')}"


def _table(record: Record) -> Iterator[str]:
    shown, left = lines(record, _ROWS)
    if shown:
        yield table([_row(record, span, depth) for span, depth in shown], right=_FIGURES)
    if left:
        yield more(left, "rows")


def _row(record: Record, span: Span, depth: int) -> tuple[str, ...]:
    return (
        marks.of(span).sign,
        "  " * depth + humanize.one_line(summary.label(record, span)),
        summary.models(record, span) or span.kind.replace("more", ""),
        humanize.seconds(span.seconds),
        f"{humanize.tokens(span.usage)} tok",
        humanize.money(span.cost, span.unpriced) if span.usage.total else "",
        ", ".join(filter(None, (marks.trouble(span), *summary.story(record, span)))),
    )


plug = View("text", "text/plain", render)
