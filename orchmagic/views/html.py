"""The static view: HTML without scripts, for saved notebooks, GitHub, nbviewer and nbconvert, light or dark.

A table carries it where styles are stripped. Everything that is not ours is escaped and isolated (`<bdi>`).
"""

from __future__ import annotations

from html import escape

from orchmagic import words
from orchmagic.answer import pre, safe
from orchmagic.trace import Record, Span
from orchmagic.views import View

_ROWS = 100
_COLORS = {"failed": "#d55e00", "skipped": "#999999", "cancelled": "#999999", "waiting": "#cc79a7"}
_CELL = 'style="text-align:left"'


def render(record: Record) -> str:
    """One self-contained `<div>`: a row per step, and what went in and out of each."""
    return f'<div style="font:13px system-ui,sans-serif;line-height:1.5">{_table(record)}</div>'


def _table(record: Record) -> str:
    heads = ("", "step", "", "time", "tokens", "cost", "model", "")
    head = "".join(f"<th {_CELL}>{h}</th>" for h in heads)
    rows = "".join(_row(record, s) for s in record.steps[:_ROWS])
    more = len(record.steps) - _ROWS
    note = f"<div>… {more:,} more steps</div>" if more > 0 else ""
    details = "".join(_details(record, s) for s in record.steps[:_ROWS])
    return f'<table cellpadding="3" style="white-space:nowrap"><tr>{head}</tr>{rows}</table>{note}{details}'


def _row(record: Record, step: Span) -> str:
    whole = max(record.seconds, 1e-9)
    left, wide = 100 * step.start / whole, max(0.7, 100 * step.seconds / whole)
    color = _COLORS.get(step.status, "#0072b2" if step.kind == "call" else "#009e73")
    cached = words.cache(record, step)
    fill = f"repeating-linear-gradient(45deg,{color} 0 3px,transparent 3px 6px)" if cached else color
    bar = (
        f'<div style="width:160px;height:10px;background:rgba(127,127,127,.15)"><div style="margin-left:{left:.1f}%;'
        f'width:{min(wide, 100 - left):.1f}%;height:10px;background:{fill}"></div></div>'
    )
    note = cached or ("" if step.status == "done" else step.status)
    cells = (
        words.MARKS.get(step.status, "·"),
        words.shown(words.label(record, step)),
        None,
        words.seconds(step.seconds),
        f"{step.usage.total:,}" if step.usage.total else "",
        words.money(step.cost) if step.usage.total else "",
        words.shown(words.models(record, step)),
        note,
    )
    return f"<tr>{''.join(f'<td {_CELL}>{bar if c is None else escape(c)}</td>' for c in cells)}</tr>"


def _details(record: Record, step: Span) -> str:
    inside = [f"<div>{safe(w)}</div>" for w in step.why]
    for child in record.inside(step):
        inside += [f"<div>{safe(f'{child.name}: {w}')}</div>" for w in child.why]
        if child.kind == "tool":
            result = child.error or child.output
            inside.append(
                f"<div>{safe(f'{child.name}({words.one_line(child.input)}) → {words.one_line(result, 200)}')}</div>"
            )
    body = f"{''.join(inside)}<div>in</div>{pre(step.input)}<div>out</div>{pre(step.output)}"
    opened = " open" if step.status == "failed" else ""
    return f"<details{opened}><summary>{safe(words.label(record, step))}</summary>{body}</details>"


plug = View("html", "text/html", render)
