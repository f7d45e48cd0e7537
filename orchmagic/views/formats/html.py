"""The static view of a run's steps: HTML without scripts and pictures, for GitHub, nbviewer, nbconvert, light or dark.

Each row is a line of the saved notebook. Where a page strips styles, the tables and words are still readable at 420 px.
All foreign text is escaped, and isolated (`<bdi>`) where it runs from right to left. What the answer above says is not
said again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from orchmagic.core.text_format import more
from orchmagic.trace import humanize, marks, span_id, summary
from orchmagic.trace.humanize import safe
from orchmagic.trace.record import Record, Span
from orchmagic.views import View
from orchmagic.views.html_table import html_table
from orchmagic.views.palette import toned
from orchmagic.views.span_list import lines

_ROWS = 60
_IN = "\u00a0\u00a0\u00a0"  # indentation that needs no style
_HEADS = ("", "step", "time", "tokens", "cost", "what was unusual, model")
_FIGURES = (2, 3, 4)  # indices of the numeric columns


def render(record: Record) -> str:
    """Return one self-contained `<div>`: a table with a row per step and part, and the input and output of each."""
    shown, left = lines(record, _ROWS)
    rows = [_HEADS, *(_row(record, span, depth) for span, depth in shown)]
    detailed = [(span, depth) for span, depth in shown if span.kind not in {"tool", "more"}]
    known = _known(record, detailed)
    failed = "".join(_details(record, s, 0, known[s.id], opened=True) for s, _ in detailed if s.status == "failed")
    others = "".join(_details(record, s, d, known[s.id], opened=False) for s, d in detailed if s.status != "failed")
    inside = f"<details><summary>Inputs and outputs</summary>\n{others}</details>\n" if others else ""
    note = f"<div>{more(left, 'rows')}</div>\n" if left else ""
    return f"<div {humanize.BLOCK}>\n{html_table(rows, right=_FIGURES)}\n{note}{failed}{inside}</div>"


def _row(record: Record, span: Span, depth: int) -> tuple[str, ...]:
    spent = (humanize.tokens(span.usage), humanize.money(span.cost, span.unpriced)) if span.usage.total else ("", "")
    took = humanize.seconds(span.seconds) if record.seconds else ""
    return (
        marks.of(span).sign.strip(),
        f"{_IN * depth}{summary.label(record, span)}",
        took,
        *spent,
        _said(record, span),
    )


def _said(record: Record, span: Span) -> str:
    state = "" if span.status == "waiting" else marks.trouble(span)
    if span.kind in {"tool", "more"}:
        return state
    said = (
        state,
        *summary.story(record, span),
        summary.waits(span),
        summary.scores(span),
        summary.models(record, span),
    )
    return " \u00b7 ".join(filter(None, said))


def _known(record: Record, shown: Iterable[tuple[Span, int]]) -> dict[str, tuple[Any, ...]]:
    """Return by span the values that the page says already: the answer, and the prompt of the votes before it."""
    listed = bool(record.steps) and any(s.kind == "item" for s in record.inside(record.steps[-1]))  # as a table
    hidden = listed or record.status in {"failed", "waiting"} or record.output is None
    answer = () if hidden else (record.output,)
    known, prompts = {}, dict[str | None, Any]()
    for span, _ in shown:
        before = prompts.get(span.parent) if span.kind == "vote" else None
        known[span.id] = answer if before is None else (*answer, before)
        prompts[span.parent] = span.input
    return known


def _details(record: Record, step: Span, depth: int, said: tuple[Any, ...], *, opened: bool) -> str:
    story = "".join(f"<div>{safe(line)}</div>\n" for line in _story(record, step))
    error = f'<div style="{toned("failed")}">\u2717 {safe(step.error)}</div>\n' if step.error else ""
    known = step.asked["question"] if step.asked else None
    sides = zip(humanize.sides(step.kind), (step.input, step.output), strict=True)
    above = "<div><i>{}</i>: as above</div>\n".format
    both = "".join(above(word) if v in said else _value(word, v) for word, v in sides if v and v != known)
    inner = span_id.path(step.id) if opened and step.parent else summary.label(record, step)
    head = f"<summary>{_IN * depth}{safe(inner)}</summary>\n"
    return f"<details{' open' if opened else ''}>{head}{error}{story}{_asked(step)}{both}</details>\n"


def _asked(step: Span) -> str:
    """Return the question of a span to a person, if any."""
    if not step.asked:
        return ""
    value = step.asked["value"]
    question = f"<div>{safe(humanize.one_line(step.asked['question'], 400))}</div>\n"
    return question + (_value("About", value) if value else "")


def _value(word: str, value: Any) -> str:
    """Return a value under its heading: messages as `role: content` lines, anything else as text or JSON."""
    return f"<i>{word}</i>\n<div style=white-space:pre-wrap>{safe(humanize.shown(humanize.said(value)))}</div>\n"


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
        yield f"{tool.name}({humanize.one_line(tool.input)}) \u2192 {humanize.one_line(tool.error or tool.output, 200)}"
    yield from map(str, step.why)


plug = View("html", "text/html", render)
