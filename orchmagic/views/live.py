"""The live view of a running run as HTML: header, graph, a line per step, bars for the limits, the streamed text.

The layout does not shift: each step has its line from the start, columns and the text area have fixed sizes, and
digits have equal width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from html import escape
from typing import Any

from orchmagic.core.text_format import counted, more
from orchmagic.trace import humanize, marks, span_id, summary
from orchmagic.trace.humanize import safe
from orchmagic.trace.record import DOUBTS, ENDS, TIMES, VOTES, Picture, Record, Span
from orchmagic.views.palette import GREEN, NOW, ORANGE, PINK, RED
from orchmagic.views.svg import svg_of

_ROWS = 24  # steps with a line of their own, at most
_NODES = 60  # a larger graph is not drawn
_SPEAK = frozenset({"call", "sub"})  # kinds of nodes that stream text
_COLORS = {"running": NOW, "done": GREEN, "failed": RED, "waiting": PINK} | dict.fromkeys(DOUBTS, ORANGE)
_COLUMNS = "6.5em 9em 6.5em minmax(0,1fr)"  # time, tokens and cost, which fit in a wide font, and the note
_NAME = 26  # characters of a name in its column
_CUT = "white-space:nowrap;overflow:hidden;text-overflow:ellipsis"
_FIGURES = (5, 8, 5.5, 6)  # minimum em of time, tokens, cost and calls in the header, so that they do not shift
_ENDED = frozenset({"done", "failed"})
_PARTS = frozenset({"item", "vote"})
_INSIDE = frozenset({"ask", "attempt", *_PARTS})  # kinds of spans that are not steps
_SIDE = 3  # running parts that are named, at most
_NOTE = 90  # characters of a note
_NEAR = 0.8  # share of a limit above which its bar turns red


def frame(record: Record, call: str = "", text: str = "") -> dict[str, str]:
    """Return a MIME bundle with HTML and text; `text` is the answer streamed so far for `call`."""
    # the classes stop JupyterLab from reading "$1 and $2" as a formula
    html = (
        '<div class="tex2jax_ignore mathjax_ignore" style="font:13px/1.5 system-ui,sans-serif;'
        f'font-variant-numeric:tabular-nums;max-width:860px">{_header(record)}{_drawn(record)}'
        f"{''.join(_lines(record))}{_bars(record)}{_speech(record, call, text)}</div>"
    )
    return {"text/plain": line(record), "text/html": html}


def line(record: Record) -> str:
    """Return one line of text: totals, and how long the running steps have taken."""
    now = [s for s in record.steps if s.status == "running"]
    plain = [f"{s.name} {humanize.seconds(record.seconds - s.start)}" for s in now]
    return " · ".join([summary.headline(record), *plain])


def _header(record: Record) -> str:
    figures = (humanize.seconds(record.seconds), summary.tokens(record), summary.total(record), summary.calls(record))
    columns = "".join(
        f'<span style="display:inline-block;min-width:{wide}em">{escape(figure)}</span>'
        for figure, wide in zip(figures, _FIGURES, strict=True)
    )
    name = f"{_mark(_look(record))} <strong>{safe(record.name)}</strong> {escape(marks.of(record).word)}"
    return f'<div style="{_CUT}">{name}<span style="margin-left:1.2em">{columns}</span></div>'


def _look(part: Record | Span) -> str:
    return part.doubt or part.status


def _mark(status: str) -> str:
    color = _COLORS.get(status)
    style = f' style="color:{color}"' if color else ""
    return f"<span{style}>{escape(marks.by_name(status).sign)}</span>"


def _drawn(record: Record) -> str:
    steps = sum(kind not in ENDS for _, kind in record.picture.nodes)
    if not 1 < steps <= _NODES:
        return ""
    active = tuple(dict.fromkeys(s.name for s in record.steps if s.status in {"running", "waiting"}))
    return f'<div style="margin:6px 0">{_graph(record.picture, active)}</div>'


@lru_cache(maxsize=16)  # in most frames only the times change
def _graph(picture: Picture, active: tuple[str, ...]) -> str:
    return svg_of(picture, active)


def _lines(record: Record) -> list[str]:
    """Return a line per step, in graph order; of more than _ROWS steps the ones that started last."""
    visits: dict[str, list[Span]] = {n: [] for n, kind in record.picture.nodes if kind not in ENDS and kind != "start"}
    for step in record.steps:
        visits.setdefault(step.name, []).append(step)
    wide = 0.62 * min(_NAME, max(map(len, visits), default=0) + 4)  # with the number of visits
    grid = f"display:grid;grid-template-columns:1.2em {wide:.1f}em {_COLUMNS};column-gap:10px"
    if len(visits) <= _ROWS:
        return [_line(record, name, spans, grid) for name, spans in visits.items()]
    begun = [name for name, spans in visits.items() if spans]
    later = [name for name, spans in visits.items() if not spans]
    shown = set([*begun[-_ROWS:], *later][:_ROWS])
    left = f'<div style="opacity:.6">{more(len(visits) - _ROWS, "steps")}</div>'
    return [*(_line(record, name, spans, grid) for name, spans in visits.items() if name in shown), left]


def _line(record: Record, name: str, visits: Sequence[Span], grid: str) -> str:
    """Return a line: mark, name, time, tokens, cost and note; figures are sums over all visits of the step."""
    status = _look(visits[-1]) if visits else "pending"
    taken = sum(s.seconds if s.end is not None else record.seconds - s.start for s in visits)
    tokens = sum(s.usage.total for s in visits)
    cost = sum(s.cost or 0.0 for s in visits)
    cells = (
        _mark(status),
        safe(name) + (f' <span style="opacity:.6">{TIMES}{len(visits)}</span>' if len(visits) > 1 else ""),
        humanize.seconds(taken) if visits and status != "skipped" else "",
        counted(tokens, "token") if tokens else "",
        escape(humanize.money(cost, sum(s.unpriced for s in visits)) if tokens else ""),
        safe(note(record, visits[-1])) if visits else "",
    )
    looks = {"pending": "opacity:.5;", "skipped": "opacity:.5;", "running": "font-weight:600;"}.get(status, "")
    sides = ("", "", "text-align:right;", "text-align:right;", "text-align:right;", "font-weight:400;opacity:.8;")
    row = "".join(f'<span style="{side}{_CUT}">{cell}</span>' for cell, side in zip(cells, sides, strict=True))
    return f'<div data-step="{escape(name)}" style="{grid};height:22px;line-height:22px;{looks}">{row}</div>'


def _bars(record: Record) -> str:
    """Return bars for time, tokens and cost in relation to their limits, if they have one."""
    limits = record.limits
    bars = (
        _bar("time", record.seconds, limits.get("deadline"), humanize.seconds),
        _bar("tokens", record.usage.total, limits.get("max_tokens"), lambda n: f"{n:,.0f}"),
        _bar("cost", record.cost, limits.get("budget"), humanize.money, humanize.money(record.cost, record.unpriced)),
    )
    return f'<div style="display:flex;column-gap:18px;margin-top:8px;height:26px">{"".join(bars)}</div>'


def _bar(name: str, used: float, most: float | None, say: Callable[[float], str], figure: str = "") -> str:
    if not most:
        return ""
    part = min(100.0, 100 * used / most)
    color = _COLORS["failed"] if used >= _NEAR * most else _COLORS["running"]
    shape = "display:block;height:5px;border-radius:2px"
    return (
        '<span style="flex:0 1 200px;min-width:0;font-size:11px;line-height:16px">'
        f'<span style="display:block;{_CUT}"><span style="opacity:.7">{name}</span> {escape(figure or say(used))} of '
        f'{escape(say(most).removesuffix(" 0 s"))}</span><span style="{shape};background:rgba(127,127,127,.25)">'
        f'<span style="{shape};width:{part:.1f}%;background:{color}"></span></span></span>'
    )


def _speech(record: Record, call: str, text: str) -> str:
    """Return the end of the streamed text, in an area of three lines that is always there."""
    if not any(kind in _SPEAK for _, kind in record.picture.nodes):
        return ""
    who = span_id.path(call.rpartition(".")[0])
    room = "height:60px;margin-top:6px;padding-left:8px;border-left:3px solid rgba(127,127,127,.35)"
    bottom = "height:100%;display:flex;flex-direction:column;justify-content:flex-end;overflow:hidden"
    said = f'<span style="opacity:.6">{safe(who)}:</span> {safe(humanize.shown(text, len(text)))}' if text else ""
    wrap = (
        "margin-bottom:auto;white-space:pre-wrap;overflow-wrap:anywhere;line-height:20px"  # top-aligned while it fits
    )
    return f'<div style="{room}"><div style="{bottom}"><div style="{wrap}">{said}</div></div></div>'


def note(record: Record, step: Span) -> str:
    """Return a one-line note on a step: error, progress, retries, cache; may be empty."""
    return humanize.one_line(" · ".join(filter(None, _notes(record, step))), _NOTE)


def _notes(record: Record, step: Span) -> Iterator[str]:
    if step.status == "failed":
        yield humanize.one_line(step.error, _NOTE)
    yield step.doubt
    if step.status == "skipped":
        yield humanize.one_line(" ".join(map(str, step.why)), _NOTE)
    yield summary.waits(step)
    yield progress(record, step)
    if step.status == "running":
        yield _inner(record, step)
        yield _trouble(record, step)
        yield summary.batch([*record.below(step)])
    yield summary.cache(record, step)
    yield summary.scores(step)


def progress(record: Record, step: Span) -> str:
    """`37 of 100 rows, 2 failed`, `3 of 5 votes`, or empty."""
    parts = [s for s in record.inside(step) if s.kind in _PARTS]
    total = max(len(parts), _total(record, step))
    if not total:
        return ""
    word = "vote" if _votes(record, step) else "row"
    ended = sum(s.status in _ENDED for s in parts)
    failed = sum(s.status == "failed" for s in parts)
    many = word if total == 1 else f"{word}s"
    return f"{ended:,} of {total:,} {many}{f', {failed:,} failed' if failed else ''}"


def _total(record: Record, step: Span) -> int:
    """Return the number of items the step was given, or of votes it will ask for; 0 for other steps."""
    value: Any = step.input
    if isinstance(value, dict) and value.keys() == {"over", "items"} and isinstance(value["items"], int):
        return value["items"]
    return _votes(record, step)


def _votes(record: Record, step: Span) -> int:
    counts = {name: count for name, what, count in record.picture.repeats if what == VOTES}
    return counts.get(step.name, 0) if step.parent is None else 0


def _inner(record: Record, step: Span) -> str:
    """Return the innermost running steps and tools: `in write`, `find_order, refund`."""
    running = [s for s in record.below(step) if s.status == "running" and s.kind not in _INSIDE]
    outer = {s.parent for s in running}
    leaves = [s for s in running if s.id not in outer]
    word = "in " if any(s.kind != "tool" for s in leaves) else ""
    if any(s.kind == "item" for s in record.inside(step)):  # a step that runs in many items is named once
        named = list(dict.fromkeys(s.name for s in leaves))
    else:
        named = [f"{s.name} ({said})" if (said := progress(record, s)) else s.name for s in leaves]
    more = f" and {len(named) - _SIDE} more" if len(named) > _SIDE else ""
    return f"{word}{', '.join(named[:_SIDE])}{more}" if named else ""


def _trouble(record: Record, step: Span) -> str:
    """Return the last reason of a running model call (a retry, a fallback), which explains a delay."""
    asks = [
        s
        for s in record.inside(step)
        if s.kind == "ask" and s.status == "running" and s.why and s.why[-1].kind != "batch"
    ]
    return humanize.one_line(str(asks[-1].why[-1]), _NOTE) if asks else ""
