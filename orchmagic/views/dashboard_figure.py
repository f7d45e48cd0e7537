"""The Plotly figure of the run history: bars by day, pattern and model, each with its figures in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from orchmagic.core.text_format import counted
from orchmagic.trace import humanize, marks
from orchmagic.views.bar_figure import Bar, BarRow, bar_figure
from orchmagic.views.palette import BLUE, GREEN, ORANGE

if TYPE_CHECKING:
    from orchmagic.storage.statistics import Dashboard, Spent

_NAME = 24  # characters of a pattern's or model's name


def figure(history: Dashboard) -> dict[str, Any]:
    """Return the Plotly figure: `{"data": [...], "layout": {...}, "config": {...}}`, always of one trace."""
    priced = history.all.cost > 0
    word, color = ("Spend", GREEN) if priced else ("Tokens", BLUE)
    days = [day for day, _ in history.days]
    texts = [" \u00b7 ".join((_figure(day, priced), *_statuses(counts))) for day, counts in history.days]
    first, *rest = headline(history)
    rows = [
        BarRow(first, " \u00b7 ".join(rest)),
        *_section(f"{word} by day", [_short(day.name) for day in days], texts, _amounts(days, priced), color),
        *_group(f"{word} by pattern", history.patterns, "run", priced),
        *_group(f"{word} by model", history.models, "call", priced),
        *_times(history.patterns),
        *_section(
            "Answers from the cache", _names(history.patterns), [_hits(s) for s in history.patterns],
            [s.hits or 0.0 for s in history.patterns], ORANGE, most=1.0,
        ),
    ]  # fmt: skip
    return bar_figure(rows, 1.0)


def headline(history: Dashboard) -> tuple[str, ...]:
    """Return the totals as short texts: runs, money, tokens, times, cache, failures, waiting runs."""
    whole = history.all
    if not whole.runs:
        return ("No run yet: run a cell such as %%chain",)
    p50, p95 = whole.percentile(0.5), whole.percentile(0.95)
    latest = history.read < whole.runs - history.running
    parts = (
        counted(whole.runs, "run"),
        humanize.money(whole.cost, max(whole.unpriced, history.unknown)),
        f"{whole.tokens:,} tokens",
        f"median {humanize.seconds(p50)}" if p50 is not None else "",
        f"95th percentile {humanize.seconds(p95)}" if p95 is not None else "",
        f"{whole.hits:.0%} of answers from the cache" if whole.hits is not None else "",
        f"{whole.failed:,} failed",
        f"{history.running:,} running" if history.running else "",
        f"{len(history.waiting):,} waiting for you: {_waiting(history.waiting)}" if history.waiting else "",
        f"models and cache: the latest {counted(history.read, 'run')}" if latest else "",
    )
    return tuple(p for p in parts if p)


def _waiting(waiting: Sequence[tuple[str, str, str]]) -> str:
    said = ", ".join(f"{run} {humanize.one_line(name, _NAME)}" for run, name, _ in waiting[:2])
    return f"{said} …" if len(waiting) > 2 else said  # noqa: PLR2004 - as in the line before


def _amounts(group: Sequence[Spent], priced: bool) -> list[float]:
    return [s.cost if priced else float(s.tokens) for s in group]


def _figure(spent: Spent, priced: bool) -> str:
    return humanize.money(spent.cost, spent.unpriced) if priced else counted(spent.tokens, "token")


def _statuses(counts: Mapping[str, int]) -> list[str]:
    return [f"{n:,} {marks.by_name(status).word.lower()}" for status, n in counts.items() if n] or ["no run"]


def _names(group: Sequence[Spent]) -> list[str]:
    return [humanize.one_line(s.name, _NAME) for s in group]


def _short(day: str) -> str:
    known = date.fromisoformat(day)
    return f"{known:%b} {known.day}"


def _group(title: str, group: Sequence[Spent], noun: str, priced: bool) -> Iterator[BarRow]:
    counts = [s.runs if noun == "run" else s.calls for s in group]
    texts = [f"{_figure(s, priced)} \u00b7 {counted(n, noun)}" for s, n in zip(group, counts, strict=True)]
    yield from _section(title, _names(group), texts, _amounts(group, priced), GREEN if priced else BLUE)


def _section(
    title: str,
    names: Sequence[str],
    texts: Sequence[str],
    amounts: Sequence[float],
    color: str,
    most: float = 0.0,
) -> Iterator[BarRow]:
    """Yield a heading and a row for each name; the longest bar, or `most`, is the whole width."""
    whole = most or max(amounts, default=0.0) or 1.0
    if names:
        yield BarRow(title, title=True)
    for name, text, amount in zip(names, texts, amounts, strict=True):
        bars = (Bar(0.0, amount / whole, color, f"{name}\n{text}"),) if amount else ()
        yield BarRow(name, text, bars)


def _times(group: Sequence[Spent]) -> Iterator[BarRow]:
    """Yield the rows of the run times: the median on a pale bar of the 95th percentile."""
    timed = [(s, s.percentile(0.5) or 0.0, s.percentile(0.95) or 0.0) for s in group if s.seconds]
    whole = max((most for *_, most in timed), default=0.0) or 1.0
    if timed:
        yield BarRow("Run time: median, 95th percentile", title=True)
    for spent, half, most in timed:
        name, text = humanize.one_line(spent.name, _NAME), f"{humanize.seconds(half)}, {humanize.seconds(most)}"
        bars = (Bar(0.0, most / whole, BLUE, text, opacity=0.35), Bar(0.0, half / whole, BLUE, text, inner=True))
        yield BarRow(name, text, bars)


def _hits(spent: Spent) -> str:
    return "no calls" if spent.hits is None else f"{spent.hits:.0%} of {counted(spent.calls + spent.cached, 'answer')}"
