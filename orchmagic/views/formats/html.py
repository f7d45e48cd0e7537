"""The static view: HTML without scripts, for saved notebooks, GitHub, nbviewer and nbconvert, light or dark.

It is a table, to be readable where styles are stripped. All foreign text is escaped and isolated (`<bdi>`).
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from orchmagic.core.text_format import more
from orchmagic.trace import humanize, marks, span_id, summary
from orchmagic.trace.humanize import safe
from orchmagic.trace.record import Record, Span
from orchmagic.views import View
from orchmagic.views.palette import span_color
from orchmagic.views.span_list import lines

_ROWS = 100
_IN = "&nbsp;&nbsp;&nbsp;"  # indent without styles, which GitHub strips
_LEFT = ' style="text-align:left"'


def render(record: Record) -> str:
    """Return one self-contained `<div>`: a row per step and part, and the input and output of each."""
    shown, left = lines(record, _ROWS)
    heads = _cells("th", ("", "step", "", "time", "tokens", "cost", "model"))
    rows = "".join(_line(record, span, depth) for span, depth in shown)
    note = f"<div>{more(left, 'rows')}</div>" if left else ""
    detailed = [(span, depth) for span, depth in shown if span.kind not in {"tool", "more"}]
    failed = "".join(_details(record, s, 0, opened=True) for s, _ in detailed if s.status == "failed")
    others = "".join(_details(record, s, d, opened=False) for s, d in detailed if s.status != "failed")
    inside = f"<details><summary>Inputs and outputs</summary>{others}</details>" if others else ""
    table = "border-collapse:separate;border-spacing:8px 1px;margin:4px 0;white-space:nowrap"
    return (
        f"<div {humanize.BLOCK}>"
        f'<div style="overflow-x:auto"><table style="{table}"><tr>{heads}</tr>{rows}</table></div>'
        f"{note}{failed}{inside}</div>"
    )


def _line(record: Record, span: Span, depth: int) -> str:
    name = f"{_IN * depth}{safe(summary.label(record, span))}"
    if span.kind == "tool":
        return _row(record, span, name, marks.trouble(span))
    state = "" if span.status == "waiting" else marks.trouble(span)
    said = (
        summary.models(record, span),
        state,
        *summary.story(record, span),
        summary.waits(span),
        summary.scores(span),
    )
    return _row(record, span, name, " · ".join(filter(None, said)))


def _row(record: Record, span: Span, name: str, note: str) -> str:
    figures = (
        humanize.seconds(span.seconds),
        humanize.tokens(span.usage) if span.usage.total else "",
        humanize.money(span.cost, span.unpriced) if span.usage.total else "",
    )
    cached = summary.cache(record, span)
    mark = escape(marks.of(span).sign).strip()
    cells = (mark, name, _bar(record, span, striped=bool(cached)))
    shown = (*cells, *(escape(f).replace(" ", "&nbsp;") for f in figures), safe(note) if note else "")
    return f"<tr>{_cells('td', shown)}</tr>"


def _cells(tag: str, texts: tuple[str, ...]) -> str:
    """Return table cells. Texts are left-aligned; the page aligns numbers."""
    sides = {1: _LEFT, 6: _LEFT}
    return "".join(f"<{tag}{sides.get(i, '')}>{text}</{tag}>" for i, text in enumerate(texts))


def _bar(record: Record, span: Span, *, striped: bool) -> str:
    whole = max(record.seconds, 1e-9)
    left = min(99.3, 100 * span.start / whole)
    wide = min(100 - left, max(0.7, 100 * span.seconds / whole))
    color = span_color(span.kind, span.status)
    fill = f"repeating-linear-gradient(45deg,{color} 0 3px,transparent 3px 6px)" if striped else color
    return (
        '<div style="width:160px;background:rgba(127,127,127,.15)">'
        f'<div style="margin-left:{left:.1f}%;width:{wide:.1f}%;height:10px;background:{fill}"></div></div>'
    )


def _details(record: Record, step: Span, depth: int, *, opened: bool) -> str:
    story = "".join(f"<div>{safe(line)}</div>" for line in _story(record, step))
    error = f"<div>✗ {safe(step.error)}</div>" if step.error else ""
    known = step.asked["question"] if step.asked else None
    sides = zip(humanize.sides(step.kind), (step.input, step.output), strict=True)
    both = "".join(_value(word, v) for word, v in sides if v and v != known)
    inner = span_id.path(step.id) if opened and step.parent else summary.label(record, step)
    head = f"<summary>{_IN * depth}{safe(inner)}</summary>"
    return f"<details{' open' if opened else ''}>{head}{error}{story}{_asked(step)}{both}</details>"


def _asked(step: Span) -> str:
    """Return the question of a span to a person, if any."""
    if not step.asked:
        return ""
    value = step.asked["value"]
    return f"<div>{safe(humanize.one_line(step.asked['question'], 400))}</div>" + (
        _value("about", value) if value else ""
    )


def _value(word: str, value: Any) -> str:
    """Return a value as HTML: messages as `role: content` lines, anything else as JSON."""
    said = isinstance(value, list) and all(isinstance(m, dict) and m.keys() == {"role", "content"} for m in value)
    text = "\n".join(f"{m['role']}: {m['content']}" for m in value) if said else value
    return f'<div>{word}</div><pre style="white-space:pre-wrap">{safe(humanize.shown(text))}</pre>'


def _story(record: Record, step: Span) -> Iterator[str]:
    """Yield the reasons of a step, its tool calls, and cost and reasons of its model calls."""
    asks = [s for s in record.inside(step) if s.kind == "ask"]
    for ask in asks:
        if len(asks) > 1 or ask.why:
            tokens = f"{'~' * ask.usage.estimated}{ask.usage.input:,} + {ask.usage.output:,} tokens"
            spent = f"{tokens}, {humanize.money(ask.cost, ask.unpriced)}"
            why = "; ".join((*map(str, ask.why), *summary.choices(record, ask))) or "first choice"
            yield f"{ask.model or ask.name}: {humanize.seconds(ask.seconds)}, {spent}, {why}"
    for tool in (s for s in record.inside(step) if s.kind == "tool"):
        yield f"{tool.name}({humanize.one_line(tool.input)}) → {humanize.one_line(tool.error or tool.output, 200)}"
    yield from map(str, step.why)


plug = View("html", "text/html", render)
