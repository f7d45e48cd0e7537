"""The figure of the run history: six small charts. Every line says its figures: neither colour nor hover is needed.

Plain JSON, always with the same traces, so that a live widget can be given new ones. Text is mid-grey on a
transparent ground; heights are in pixels, widths in parts, so it reads in narrow and in wide notebooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias

from orchmagic.core.numbers import counted
from orchmagic.trace import humanize
from orchmagic.views.timeline.rows import plain

if TYPE_CHECKING:
    from orchmagic.storage.statistics import Dashboard, Spent

Amount: TypeAlias = "Callable[[Spent], float]"

_GREY, _BLUE, _GREEN, _RED, _ORANGE, _PINK = "#7f7f7f", "#0072b2", "#009e73", "#d55e00", "#e69f00", "#cc79a7"
_STATUSES: tuple[tuple[str, frozenset[str], str, str], ...] = (
    ("■ done", frozenset({"done"}), _GREEN, ""),
    ("▨ capped", frozenset({"capped"}), _ORANGE, "/"),
    ("▤ cancelled", frozenset({"cancelled"}), _GREY, "-"),
    ("▦ open", frozenset({"running", "waiting"}), _PINK, "."),
    ("▩ failed", frozenset({"failed", "lost"}), _RED, "x"),
)
_HEAD, _TITLE, _LEGEND, _DAYS, _TICKS, _LINE, _GAP = 19, 24, 20, 110, 26, 34, 18  # pixels
_LEFT, _RIGHT = (0.0, 0.47), (0.53, 1.0)  # of the width
_WIDE = 84  # characters in a line of a narrow notebook
_NAME = 24  # characters of a pattern or model


def figure(found: Dashboard) -> dict[str, Any]:
    """`{"data": [...], "layout": {...}, "config": {...}}`."""
    priced = found.all.cost > 0
    color, word = (_GREEN, "Spend") if priced else (_BLUE, "Tokens")
    spent = _cost if priced else _tokens
    data = [
        *_by_day(found, spent, color, priced=priced),
        *_list("3", found.patterns, spent, color, lambda s: f"{_said(s, priced)}, {counted(s.runs, 'run')}"),
        *_list("4", found.models, spent, color, lambda s: f"{_said(s, priced)}, {counted(s.calls, 'call')}"),
        *_list("5", found.patterns, _half, _BLUE, _took, _most),
        *_list("6", found.patterns, lambda s: s.hits or 0.0, _ORANGE, _hits, lambda _: 1.0),
    ]
    titles = (
        f"{word} by day",
        "Runs by day",
        f"{word} by pattern",
        f"{word} by model",
        "Time of a run: p50, p95",
        "Answers from the cache",
    )
    return {"data": data, "layout": _layout(found, titles), "config": {"displayModeBar": False, "responsive": True}}


def headline(found: Dashboard) -> tuple[str, ...]:
    """All in few words: runs, money, tokens, times, cache, failures, who waits."""
    whole = found.all
    if not whole.runs:
        return ("No run yet: run a cell such as %%chain",)
    p50, p95 = whole.percentile(0.5), whole.percentile(0.95)
    parts = (
        counted(whole.runs, "run"),
        humanize.spent(whole.cost, max(whole.unpriced, found.unknown)),
        f"{whole.tokens:,} tokens",
        f"p50 {humanize.seconds(p50)}" if p50 is not None else "",
        f"p95 {humanize.seconds(p95)}" if p95 is not None else "",
        f"{whole.hits:.0%} of answers from the cache" if whole.hits is not None else "",
        f"{whole.failed:,} failed",
        f"{found.running:,} running" if found.running else "",
        f"{len(found.waiting):,} waiting for a person: {_names(found.waiting)}" if found.waiting else "",
        f"models and cache: the latest {counted(found.read, 'run')}" if found.read < whole.runs - found.running else "",
    )
    return tuple(p for p in parts if p)


def _names(waiting: Sequence[tuple[str, str, str]]) -> str:
    said = ", ".join(f"{run} {humanize.one_line(name, _NAME)}" for run, name, _ in waiting[:2])
    return f"{said} …" if len(waiting) > 2 else said  # noqa: PLR2004 - as in the line before


def _cost(spent: Spent) -> float:
    return spent.cost


def _tokens(spent: Spent) -> float:
    return float(spent.tokens)


def _said(spent: Spent, priced: bool) -> str:
    return humanize.money(spent.cost, spent.unpriced) if priced else counted(spent.tokens, "token")


def _half(spent: Spent) -> float:
    return spent.percentile(0.5) or 0.0


def _most(spent: Spent) -> float:
    return spent.percentile(0.95) or 0.0


def _took(spent: Spent) -> str:
    return f"{humanize.seconds(_half(spent))}, {humanize.seconds(_most(spent))}" if spent.seconds else "none is done"


def _hits(spent: Spent) -> str:
    return "nothing asked" if spent.hits is None else f"{spent.hits:.0%} of {spent.calls + spent.cached:,}"


def _by_day(found: Dashboard, amount: Amount, color: str, *, priced: bool) -> Iterator[dict[str, Any]]:
    days = [day for day, _ in found.days]
    said = [f"{d.name}: {_said(d, priced)}, {counted(d.runs, 'run')}" for d in days]
    yield {**_bar("", days, [amount(d) for d in days], color, said), "name": "spend"}
    for name, which, tint, shape in _STATUSES:
        counts = [sum(n for status, n in statuses.items() if status in which) for _, statuses in found.days]
        said = [f"{d.name}: {n:,} {name[2:]}" for d, n in zip(days, counts, strict=True)]
        bar = _bar("2", days, counts, tint, said)
        bar["marker"]["pattern"] = {"shape": shape, "fillmode": "overlay", "fgcolor": "#ffffff", "size": 6}
        yield {**bar, "name": name[2:]}


def _bar(axis: str, days: Sequence[Spent], y: Sequence[float], color: str, said: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "x": [_short(d.name) for d in days],
        "y": list(y),
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "marker": {"color": color, "opacity": 0.85},
        "hovertext": [plain(text) for text in said],
        "hoverinfo": "text",
    }


def _short(day: str) -> str:
    known = date.fromisoformat(day)
    return f"{known:%b} {known.day}"


def _list(
    axis: str,
    group: Sequence[Spent],
    amount: Amount,
    color: str,
    said: Callable[[Spent], str],
    around: Amount = lambda _: 0.0,
) -> Iterator[dict[str, Any]]:
    """A line of words for each, and a bar beneath it; `around` is a paler bar behind that."""
    places = {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}
    for of, opacity in ((around, 0.3), (amount, 0.85)):
        yield {
            "type": "bar",
            "orientation": "h",
            **places,
            "base": [0.0] * len(group),  # one behind the other: only days are stacked
            "x": [of(s) for s in group],
            "y": [i + 0.22 for i in range(len(group))],
            "width": 0.24,
            "marker": {"color": color, "opacity": opacity},
            "hoverinfo": "skip",
        }
    yield {
        "type": "scatter",
        "mode": "text",
        **places,
        "x": [0.0] * len(group),
        "y": [i - 0.14 for i in range(len(group))],
        "text": [plain(f"{humanize.one_line(s.name, _NAME)}: {said(s)}") for s in group],
        "textposition": "middle right",
        "textfont": {"size": 12, "color": _GREY},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _layout(found: Dashboard, titles: Sequence[str]) -> dict[str, Any]:
    head = [plain(line) for line in _lines(headline(found))]
    rows = (_LEGEND + _DAYS + _TICKS, *_heights(found))
    height = len(head) * _HEAD + _GAP + sum(_TITLE + row + _GAP for row in rows)
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 6, "r": 6, "t": 0, "b": 0},
        "barmode": "stack",
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _GREY, "size": 12},
        "annotations": [_note("<br>".join(head), 0.0, 1.0)],
    }
    top = len(head) * _HEAD + _GAP
    for number, row in enumerate(rows):
        for side, (left, right) in enumerate((_LEFT, _RIGHT)):
            place = 2 * number + side
            layout["annotations"].append(_note(f"<b>{plain(titles[place])}</b>", left, 1 - top / height))
            above = top + _TITLE + (_LEGEND if number == 0 else 0)
            below = top + _TITLE + row - (_TICKS if number == 0 else 0)
            box = {"x": [left, right], "y": [1 - below / height, 1 - above / height]}
            layout |= _day_axes(found, place, box) if number == 0 else _axes(found, place, box, row)
        if number == 0:
            layout["annotations"].append(_note(_legend(found), _RIGHT[0], 1 - (top + _TITLE - 3) / height))
        top += _TITLE + row + _GAP
    return layout


def _heights(found: Dashboard) -> tuple[int, int]:
    """Pixels of the two rows of lists."""
    spend = max(len(found.patterns), len(found.models), 1)
    return spend * _LINE, max(len(found.patterns), 1) * _LINE


def _lines(parts: Sequence[str]) -> Iterator[str]:
    """The parts in lines that fit into a narrow notebook."""
    line = ""
    for part in parts:
        if line and len(line) + len(part) + 3 > _WIDE:
            yield line
            line = ""
        line = f"{line} · {part}" if line else part
    yield line


def _note(text: str, x: float, y: float) -> dict[str, Any]:
    return {
        "text": text, "x": x, "y": y, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "top",
        "showarrow": False, "align": "left",
    }  # fmt: skip


def _legend(found: Dashboard) -> str:
    """The statuses that occur: Plotly's own legend takes the room of a narrow notebook's charts."""
    seen = {status for _, statuses in found.days for status, n in statuses.items() if n}
    return "  ".join(f'<span style="color:{tint}">{name}</span>' for name, which, tint, _ in _STATUSES if seen & which)


def _day_axes(found: Dashboard, place: int, box: dict[str, list[float]]) -> dict[str, Any]:
    name = "" if place == 0 else str(place + 1)
    most = max((day.runs for day, _ in found.days), default=0)
    grid = {"gridcolor": "rgba(127,127,127,.25)", "zeroline": False, "fixedrange": True}
    money = {"tickformat": "~f", "tickprefix": "&#36;"} if found.all.cost > 0 else {"tickformat": "~s"}
    ticks = {"nticks": 4, **money} if place == 0 else {"dtick": max(1, -(-most // 2)), "tickformat": "~s"}
    return {
        f"xaxis{name}": {
            "type": "category", "domain": box["x"], "anchor": f"y{name}", "nticks": 5, "tickangle": 0,
            "showgrid": False, "fixedrange": True, "tickfont": {"size": 11},
        },
        f"yaxis{name}": {
            **grid, **ticks, "domain": box["y"], "anchor": f"x{name}", "rangemode": "tozero",
            "ticklabelposition": "inside top", "tickfont": {"size": 10, "color": _GREY},
        },
    }  # fmt: skip


def _axes(found: Dashboard, place: int, box: dict[str, list[float]], row: int) -> dict[str, Any]:
    """Of a list: nothing but its range is set; all lines have the same height."""
    name = str(place + 1)
    group = found.models if place == 3 else found.patterns  # noqa: PLR2004 - the fourth chart
    of: Amount = {4: _most, 5: lambda _: 1.0}.get(place, _cost if found.all.cost > 0 else _tokens)
    flat = {"showgrid": False, "zeroline": False, "fixedrange": True, "showticklabels": False}
    most = max((of(s) for s in group), default=0) or 1
    return {
        f"xaxis{name}": {**flat, "domain": box["x"], "anchor": f"y{name}", "range": [0, most]},
        f"yaxis{name}": {**flat, "domain": box["y"], "anchor": f"x{name}", "range": [row / _LINE - 0.5, -0.5]},
    }
