"""The rows of the timeline: steps and their parts, with label, remarks and hover text."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap

from orchmagic.trace import humanize, marks, summary
from orchmagic.trace.record import Record, Span
from orchmagic.views.span_list import lines

ROWS = 40
_LINE, _LINES, _WHYS = 46, 3, 3  # limits of a hover text: characters of a line, lines of a value, reasons
_MOST = 0.5  # share of a run's time above which a step's share is written
PATTERNS = {"failed": "x", "retried": "x", "cancelled": "-", "rejected": "|", "waiting": "."}


@dataclass(frozen=True, slots=True)
class Row:
    """A row: a step, or (`depth` > 0) a part of one; `calls` are the attempts drawn within its bar."""

    span: Span
    depth: int
    label: str
    words: tuple[str, ...]  # time, tokens, cost, and what is unusual, most important first
    hover: str
    cached: bool
    critical: bool
    calls: tuple[Span, ...] = ()

    @property
    def pattern(self) -> str:
        return "/" if self.cached else PATTERNS.get(self.span.status, "")


def rows_of(record: Record) -> tuple[list[Row], int]:
    """Return the rows from top to bottom, at most `ROWS`, and the number of rows left out."""
    shown, more = lines(record, ROWS)
    hangs = set(critical(record.steps))
    for span, _ in shown:
        if span.id in hangs:
            hangs |= critical(tuple(s for s in record.inside(span) if s.kind not in {"ask", "attempt"}))
    return [_row(record, span, depth, span.id in hangs) for span, depth in shown], more


def _row(record: Record, span: Span, depth: int, hangs: bool) -> Row:
    label = f"{marks.of(span).sign} {summary.label(record, span)[:28]}"
    if span.kind in {"tool", "more"}:
        hover = _tool(span) if span.kind == "tool" else span.name
        return Row(span, depth, label, tuple(_spoken(record, span)), hover, cached=False, critical=hangs)
    asks = [s for s in record.inside(span) if s.kind == "ask"]
    tries = tuple(s for ask in asks for s in _tries(record, ask))
    if len(tries) == 1 and tries[0].status == "done":  # an attempt that succeeded at once needs no bar of its own
        tries = ()
    cached = bool(summary.cache(record, span))
    return Row(span, depth, label, _beside(record, span), _hover(record, span, hangs), cached, hangs, tries)


def critical(steps: tuple[Span, ...]) -> set[str]:
    """Return the ids of the steps on the critical path, found from the last end back to the start."""
    found: set[str] = set()
    at = float("inf")
    for step in sorted((s for s in steps if s.end is not None), key=lambda s: s.end or 0.0, reverse=True):
        if (step.end or 0.0) <= at + 1e-6:
            found.add(step.id)
            at = step.start
    return found


def forks(rows: list[Row]) -> bool:
    """Whether some row is not on the critical path; only then is it worth marking."""
    return not all(r.critical for r in rows if r.span.seconds)


def _tries(record: Record, ask: Span) -> tuple[Span, ...]:
    """Return the attempts of a model call; truncated records leave out an only one, so the call stands for it."""
    return record.inside(ask) or ((ask,) if ask.age is None and not ask.recalled else ())


def length(record: Record, span: Span) -> float:
    """Return the duration of a span in seconds, so far if it is open."""
    return span.seconds if span.end is not None else max(0.0, record.seconds - span.start)


def _spoken(record: Record, span: Span) -> list[str]:
    if span.status == "skipped":
        return [marks.of(span).word]
    failed = f"Failed: {humanize.one_line(span.error, 60)}" if span.status == "failed" and span.error else ""
    state = failed or summary.waits(span, 60) or marks.trouble(span)
    spent = (f"{humanize.tokens(span.usage)} tokens", humanize.money(span.cost, span.unpriced))
    figures = (humanize.seconds(length(record, span)), *(spent if span.usage.total else ()))
    return [text for text in (*figures, state, _slow(record, span)) if text]


def _slow(record: Record, span: Span) -> str:
    """Return a step's share of the run's time if it is large and other steps took time, too; else empty."""
    others = [s for s in record.steps if s.id != span.id and s.seconds > record.seconds / 100]
    share = span.seconds / max(record.seconds, 1e-9)
    return f"{share:.0%} of total time" if span.parent is None and others and share >= _MOST else ""


def _beside(record: Record, step: Span) -> tuple[str, ...]:
    said = [*_spoken(record, step), *summary.story(record, step)]
    if step.id == [s for s in record.beside(step) if s.name == step.name][-1].id:  # only in the last round
        said.append(summary.scores(step))
    return tuple(humanize.one_line(part, 60) for part in said if part)


def _hover(record: Record, step: Span, on_path: bool) -> str:
    models = summary.models(record, step)
    took, cost = humanize.seconds(length(record, step)), humanize.money(step.cost, step.unpriced)
    figures = f"{took}, {humanize.tokens(step.usage)} tokens, {cost}"
    texts = [
        " · ".join((summary.label(record, step), _kind(step))),
        f"{figures}, {models}" if models else figures,
        summary.cache(record, step),
        "sets the total time" if on_path else "",
    ]
    inside = record.inside(step)
    whys = [str(w) for a in (step, *inside) for w in a.why] + [w for a in inside for w in summary.choices(record, a)]
    texts += [humanize.one_line(w, _LINE) for w in whys][:_WHYS]
    texts += _wrapped("error: ", step.error)
    given, made = humanize.sides(step.kind)
    texts += _wrapped(f"{given}: ", humanize.said(step.input))
    texts += _wrapped(f"{made}: ", step.output)
    return _lines(texts)


def _wrapped(word: str, value: object) -> list[str]:
    """Return a value wrapped to a few lines, since Plotly does not wrap hover texts."""
    said = humanize.one_line(value, _LINE * _LINES)
    return wrap(word + said, _LINE) if said else []


def _tool(tool: Span) -> str:
    head = f"{tool.name} · {_kind(tool)} · {humanize.seconds(tool.seconds)}"
    given, made = humanize.sides(tool.kind)
    return _lines([head, *_wrapped(f"{given}: ", tool.input), *_wrapped(f"{made}: ", tool.error or tool.output)])


def _kind(span: Span) -> str:
    """`model call · Done`."""
    return f"{humanize.KINDS.get(span.kind, span.kind)} · {marks.of(span).word}"


def attempt_hover(attempt: Span) -> str:
    """Return the hover text of an attempt that failed or was one of several."""
    head = f"{attempt.name} at {attempt.model}: {marks.of(attempt).word} after {humanize.seconds(attempt.seconds)}"
    return _lines([head, *(humanize.one_line(text, 2 * _LINE) for text in (attempt.error, *map(str, attempt.why)))])


def _lines(lines: list[str]) -> str:
    return "\n".join(line for line in lines if line)
