"""The answer of a run, shown above its steps: how it ended, the path taken, and the result or the table of rows."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from orchmagic.core.text_format import more
from orchmagic.trace import humanize, marks, summary
from orchmagic.trace.baseline import remarks
from orchmagic.trace.decisions import APPROVE, EDIT, REJECT
from orchmagic.trace.humanize import safe
from orchmagic.trace.item_table import ItemTable
from orchmagic.trace.questions import PendingQuestion, answer_target, pending_questions
from orchmagic.trace.receipt import Receipt
from orchmagic.trace.record import Record
from orchmagic.views.html_table import html_table
from orchmagic.views.palette import toned

_STEPS, _ITEMS = 24, 15  # most steps of the path, rows of items
_CELL = 60  # characters of a cell
_MUTED = toned("grey")
UNFINISHED = frozenset({"failed", "cancelled", "capped"})
LAST = "Last result before it stopped:"
"""What is said above the value of a run with one of the statuses `UNFINISHED`: it is no answer."""


def bundle(record: Record) -> dict[str, Any]:
    """Return a MIME bundle: HTML without scripts and pictures, and text."""
    html = "\n".join((f"<div {humanize.BLOCK}>", *_html(record), "</div>"))
    return {"text/html": html, "text/plain": "\n".join(_text(record))}


def _html(record: Record) -> Iterator[str]:
    mark = marks.of(record)
    sign = f'<span style="{toned(mark.tone)}">{escape(mark.sign)}</span>'
    yield f"<div>{sign} <strong>{safe(summary.headline(record))}</strong> · {safe(record.run)}</div>"
    for i, line in enumerate(troubles(record)):
        weight, head = (400, "") if i % 2 else (600, "✗ ")
        yield f'<div style="{toned("failed")};font-weight:{weight}">{head}{safe(line)}</div>'
    question = _first_question(record)
    if record.reason and not question:
        yield f"<div>{safe(humanize.one_line(record.reason, 400))}</div>"
    yield from (f'<div style="{_MUTED}">{safe(line)}</div>' for line in remarks(record, above=True))
    if path := _path(record):
        yield f'<div style="{_MUTED}">{safe(path)}</div>'
    if question:
        yield from _asks(record, question)
        yield from _receipt(record)
        return
    if items := ItemTable(record):
        yield _rows(items)
    if record.output is not None and not (items and record.steps[-1].id == items.step):
        yield from _output(record)
    yield from _receipt(record)


def _output(record: Record) -> Iterator[str]:
    if record.status in UNFINISHED:
        yield f'<div style="{_MUTED}">{LAST}</div>'
    yield pre(record.output)


def _path(record: Record) -> str:
    """Return the steps that ran as text: `extract → draft → ! check → draft → reply`; empty for a single one."""
    ran = [s for s in record.steps if s.status != "skipped"]
    names = [humanize.one_line(f"{marks.of(s).sign} {s.name}" if marks.trouble(s) else s.name, 40) for s in ran]
    left = f" → {more(len(names) - _STEPS, 'steps')}" if len(names) > _STEPS else ""
    return " → ".join(names[:_STEPS]) + left if len(names) > 1 else ""


def _rows(items: ItemTable) -> str:
    """Return the items with their outputs as a table, those that failed first."""
    columns = items.columns
    heads = ("", "row", "input", *(columns or ["output"]))
    rows = [_item(items.sign(row), row, columns) for row in items[:_ITEMS]]
    left = len(items) + items.left_out.total() - len(rows)
    note = f"<div>{more(left, 'rows')}</div>" if left else ""
    table = html_table([heads, *rows], right=(1,))
    return f"<details open><summary>{safe(items.headline)}</summary>\n{table}{note}</details>"


def _item(sign: str, row: dict[str, Any], columns: list[str]) -> tuple[str, ...]:
    """Return the cells of a row: its mark, number and input, then its output by field; of a failed one the error."""
    given, made = row["input"], row["output"]
    first = next(iter(given.values()), "") if isinstance(given, dict) else given
    found = [made.get(name) for name in columns] if isinstance(made, dict) else [made]
    cells = [row["error"]] if row["error"] else found
    cells += [""] * (max(1, len(columns)) - len(cells))
    shown = (f"{v:.6g}" if isinstance(v, float) else humanize.one_line(v, _CELL) for v in (first, *cells))
    return sign, str(row["row"]), *shown


def _receipt(record: Record) -> Iterator[str]:
    """What the receipt says beside its rows, folded; the figures of each step stand in the table of steps."""
    rows = Receipt(record)
    if rows and rows.notes:
        notes = "".join(f"<div>{safe(note)}</div>" for note in rows.notes)
        yield f'<details><summary style="{_MUTED}">{safe(rows.heading)}</summary>\n{notes}</details>'


def _asks(record: Record, question: PendingQuestion) -> Iterator[str]:
    """A question, the value it is about, and the commands that answer it (not every front end shows buttons)."""
    yield f'<div style="margin:6px 0 2px"><strong>{safe(humanize.shown(question.question))}</strong></div>'
    yield from (f"{name}{pre(value)}" for name, value in action(question.value))
    ways = " · ".join(f"<code>{escape(way)}</code>" for way in commands(record, question))
    yield f'<div style="{_MUTED}">{ways}</div>'


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
    return (
        f'<pre style="white-space:pre-wrap;overflow-wrap:anywhere;margin:2px 0 6px">{safe(humanize.shown(value))}</pre>'
    )
