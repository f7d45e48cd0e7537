"""What the figure shows, row by row: steps and what is inside them, each with its words. Places are plotly.py's."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from orchmagic import words
from orchmagic.trace import Record, Span
from orchmagic.views._tree import lines

ROWS = 60
PATTERNS = {"failed": "x", "retried": "x", "cancelled": "-", "waiting": "."}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the figure: a step, or (`depth` > 0) a part of one; `calls` are the attempts to draw within it."""

    span: Span
    depth: int
    label: str
    words: str
    hover: str
    cached: bool
    critical: bool
    calls: tuple[Span, ...] = ()

    @property
    def pattern(self) -> str:
        return "/" if self.cached else PATTERNS.get(self.span.status, "")


def rows_of(record: Record) -> tuple[list[Row], int]:
    """The lines of the figure, from top to bottom, at most `ROWS`; and how many more there are."""
    shown, more = lines(record, ROWS)
    hangs = set(critical(record.steps))
    for span, _ in shown:
        if span.id in hangs:
            hangs |= critical(tuple(s for s in record.inside(span) if s.kind not in {"ask", "attempt"}))
    return [_row(record, span, depth, span.id in hangs) for span, depth in shown], more


def _row(record: Record, span: Span, depth: int, hangs: bool) -> Row:
    mark = " " if span.kind == "more" else words.MARKS.get(span.status, "·")
    label = f"{mark} {words.label(record, span)[:28]}"
    if span.kind in {"tool", "more"}:
        hover = _tool(span) if span.kind == "tool" else plain(span.name)
        return Row(span, depth, label, _spoken(record, span), hover, cached=False, critical=hangs)
    asks = [s for s in record.inside(span) if s.kind == "ask"]
    tries = _told(tuple(s for ask in asks for s in _tries(record, ask)))
    cached = bool(words.cache(record, span))
    return Row(span, depth, label, _beside(record, span), _hover(record, span, hangs), cached, hangs, tries)


def critical(steps: tuple[Span, ...]) -> set[str]:
    """The ids of the steps that the run's length hangs on: from the last end back to the start."""
    found: set[str] = set()
    at = float("inf")
    for step in sorted((s for s in steps if s.end is not None), key=lambda s: s.end or 0.0, reverse=True):
        if (step.end or 0.0) <= at + 1e-6:
            found.add(step.id)
            at = step.start
    return found


def forks(rows: list[Row]) -> bool:
    """Something ran beside something else: only then is there a path to point out."""
    return not all(r.critical for r in rows if r.span.seconds)


def _tries(record: Record, ask: Span) -> tuple[Span, ...]:
    """The attempts of a question; an only one is left out of a record that is bounded, and is the question."""
    return record.inside(ask) or ((ask,) if ask.age is None and not ask.recalled else ())


def _told(tries: tuple[Span, ...]) -> tuple[Span, ...]:
    """One attempt that went well is its step: it needs no bar of its own."""
    return () if len(tries) == 1 and tries[0].status == "done" else tries


def length(record: Record, span: Span) -> float:
    """Seconds that a span took, so far if it is open."""
    return span.seconds if span.end is not None else max(0.0, record.seconds - span.start)


def _spoken(record: Record, span: Span) -> str:
    said = words.seconds(length(record, span))
    return said if span.status == "done" else f"{said}, {words.waits(span) or span.status}"


def _beside(record: Record, step: Span) -> str:
    said = [step.status] if step.status == "skipped" else [_spoken(record, step)]
    said += [words.parts(record, step), words.cache(record, step).partition(" (")[0]]
    asks = [s for s in record.inside(step) if s.kind == "ask"]
    tries = [s for ask in asks for s in record.inside(ask) if s.kind == "attempt"]
    if retried := sum(s.status == "retried" for s in tries):
        said.append(f"{retried} {'retry' if retried == 1 else 'retries'}")
    if asked := sum(s.status == "retried" for s in asks):
        said.append(f"{asked} re-ask{'' if asked == 1 else 's'}")
    if any("fell back" in w for ask in asks for w in ask.why):
        said.append("fallback")
    said.append(words.scores(step))
    return plain(words.one_line(", ".join(filter(None, said)), 90))


def _hover(record: Record, step: Span, on_path: bool) -> str:
    lines = [f"{words.label(record, step)} ({step.kind}, {step.status})", words.models(record, step)]
    lines += [
        f"{words.seconds(length(record, step))}, {step.usage.total:,} tokens, {words.money(step.cost)}",
        words.cache(record, step),
        "on the critical path" if on_path else "",
    ]
    lines += [words.one_line(w, 90) for a in (step, *record.inside(step)) for w in a.why][:6]
    if step.error:
        lines.append(words.one_line(step.error, 90))
    lines.append(f"out: {words.one_line(step.output, 90)}")
    return _lines(lines)


def _tool(tool: Span) -> str:
    result = words.one_line(tool.error or tool.output, 90)
    return _lines([f"{tool.name}({words.one_line(tool.input, 90)})", f"{words.seconds(tool.seconds)} → {result}"])


def attempt_hover(attempt: Span) -> str:
    """What is told of an attempt that failed."""
    said = f"{attempt.name} at {attempt.model}: {attempt.status} after {words.seconds(attempt.seconds)}"
    return _lines([said, words.one_line(attempt.error, 90)])


def _lines(lines: list[str]) -> str:
    return "<br>".join(plain(line) for line in lines if line)


def plain(text: str) -> str:
    """Plotly reads a little HTML in its labels, and TeX between dollars: none of it is ours."""
    return escape(words.shown(text), quote=False).replace("$", "&#36;")
