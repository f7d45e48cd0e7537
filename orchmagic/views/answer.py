"""The answer of a run, shown above its trace: status, graph with the path taken, and result."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from orchmagic.trace import humanize, marks, summary
from orchmagic.trace.baseline import remarks
from orchmagic.trace.decisions import APPROVE, EDIT, REJECT
from orchmagic.trace.humanize import safe
from orchmagic.trace.questions import PendingQuestion, answer_target, pending_questions
from orchmagic.trace.receipt import Receipt
from orchmagic.trace.record import ENDS, Record
from orchmagic.views.palette import FAILED_TEXT
from orchmagic.views.svg import svg_of

_NODES = 16  # a larger graph is not drawn: it would be too small to read and too large to save
_ROWS = 12  # of the receipt below the answer
UNFINISHED = frozenset({"failed", "cancelled", "capped"})
LAST = "Last result before it stopped:"
"""What is said above the value of a run with one of the statuses `UNFINISHED`: it is no answer."""


def bundle(record: Record) -> dict[str, Any]:
    """Return a MIME bundle: HTML without scripts, and text."""
    html = f"<div {humanize.BLOCK}>{''.join(_html(record))}</div>"
    return {"text/html": html, "text/plain": "\n".join(_text(record))}


def _html(record: Record) -> Iterator[str]:
    mark = escape(marks.of(record).sign)
    yield f"<div>{mark} <strong>{safe(summary.headline(record))}</strong></div>"
    for i, line in enumerate(troubles(record)):
        weight, head = (400, "") if i % 2 else (600, "✗ ")
        yield f'<div style="{FAILED_TEXT};font-weight:{weight}">{head}{safe(line)}</div>'
    question = _first_question(record)
    if record.reason and not question:
        yield f"<div>{safe(humanize.one_line(record.reason, 400))}</div>"
    yield from (f'<div style="opacity:.75">{safe(line)}</div>' for line in remarks(record, above=True))
    if 1 < sum(kind not in ENDS for _, kind in record.picture.nodes) <= _NODES:
        yield f'<div style="margin:6px 0">{svg_of(record.picture)}</div>'
    if question:
        yield from _asks(record, question)
    elif record.output is not None:
        if record.status in UNFINISHED:
            yield f'<div style="opacity:.75">{LAST}</div>'
        yield pre(record.output)
    yield from _receipt(record)
    yield f'<div style="opacity:.6">run {safe(record.run)}</div>'


def _receipt(record: Record) -> Iterator[str]:
    """The receipt, folded: the estimates as its summary, inside a row for each answer."""
    rows = Receipt(record)
    if rows:
        yield f'<details><summary style="opacity:.75">{safe(rows.heading)}</summary>{rows.html(_ROWS)}</details>'


def _asks(record: Record, question: PendingQuestion) -> Iterator[str]:
    """A question, the value it is about, and the commands that answer it (not every front end shows buttons)."""
    yield f'<div style="margin:6px 0 2px"><strong>{safe(humanize.shown(question.question))}</strong></div>'
    yield from (f"{name}{pre(value)}" for name, value in action(question.value))
    ways = " · ".join(f"<code>{escape(way)}</code>" for way in commands(record, question))
    yield f'<div style="opacity:.75">{ways}</div>'


def _first_question(record: Record) -> PendingQuestion | None:
    return next(iter(pending_questions(record)), None) if record.status == "waiting" else None


def action(value: Any) -> list[tuple[str, Any]]:
    """Return [(heading as HTML, value)] of an approval: a tool and its arguments, or the value of a step."""
    if value is None:
        return []
    if isinstance(value, dict) and value.keys() == {"tool", "arguments"}:
        return [(f"<div>tool <strong>{safe(str(value['tool']))}</strong> with</div>", value["arguments"])]
    return [("", value)]


def commands(record: Record, question: PendingQuestion) -> tuple[str, ...]:
    """Return the commands that answer a question, for front ends without buttons."""
    target = answer_target(record, question)
    if not question.choices:
        return (f"%orch resume {target} your answer",)
    more = {APPROVE: "", EDIT: " new value", REJECT: " why"}
    return tuple(f"%orch {choice} {target}{more.get(choice, '')}" for choice in question.choices)


def _text(record: Record) -> Iterator[str]:
    yield f"{marks.of(record).sign} {summary.headline(record)}"
    yield from (line if i % 2 else f"✗ {line}" for i, line in enumerate(troubles(record)))
    question = _first_question(record)
    if question:
        yield humanize.shown(question.question)
        if question.value is not None:
            yield humanize.shown(question.value, 1_000)
        yield f"Answer with: {' · '.join(commands(record, question))} (the run goes on with it)"
        return
    if record.reason:
        yield humanize.one_line(record.reason, 400)
    yield from remarks(record, above=True)
    if record.output is not None:
        if record.status in UNFINISHED:
            yield LAST
        yield f"→ {humanize.shown(record.output, 1_000)}"
    yield f"run {record.run}"


def troubles(record: Record) -> Iterator[str]:
    """Yield a line for each error, followed by one for what went into the failed step."""
    failed = [s for s in record.steps if s.status == "failed"]
    for step in failed:
        yield f"Failed in step {step.name}: {humanize.one_line(step.error, 400)}"
        yield f"{humanize.sides(step.kind)[0]}: {humanize.one_line(humanize.said(step.input), 200)}"
    if record.error and not failed:
        yield humanize.one_line(record.error, 400)


def pre(value: Any) -> str:
    """Return a value as preformatted, wrapped HTML text."""
    style = "white-space:pre-wrap;word-break:break-word;margin:2px 0 6px"
    return f'<pre style="{style}">{safe(humanize.shown(value))}</pre>'
