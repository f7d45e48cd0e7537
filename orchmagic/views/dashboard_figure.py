"""The Plotly figure of the run history: six small charts. Figures are written out: no colour or hover is needed.

Plain JSON, always with the same list of traces, so that a live widget can update them. Text is mid-grey on
a transparent background; heights are in pixels and widths relative, so it fits narrow and wide notebooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias

from orchmagic.core.text_format import counted
from orchmagic.trace import humanize
from orchmagic.views.palette import BLUE, GREEN, GREY, ORANGE, PAPER, PINK, RED
from orchmagic.views.text_width import fit, pack, text_width
from orchmagic.views.timeline import axes
from orchmagic.views.timeline.places import NARROW
from orchmagic.views.timeline.rows import plain

if TYPE_CHECKING:
    from orchmagic.storage.statistics import Dashboard, Spent

Amount: TypeAlias = "Callable[[Spent], float]"

_STATUSES: tuple[tuple[str, frozenset[str], str, str], ...] = (
    ("■ done", frozenset({"done"}), GREEN, ""),
    ("▨ stopped at its limit", frozenset({"capped"}), ORANGE, "/"),
    ("▤ stopped", frozenset({"cancelled"}), GREY, "-"),
    ("▥ rejected", frozenset({"rejected"}), GREY, "|"),
    ("▦ open", frozenset({"running", "waiting"}), PINK, "."),
    ("▩ failed", frozenset({"failed", "lost"}), RED, "x"),
)
_HEAD, _TITLE, _LEGEND, _DAYS, _TICKS, _LINE, _GAP = 19, 24, 17, 110, 26, 34, 18  # pixels
_LEFT, _RIGHT = (0.0, 0.47), (0.53, 1.0)  # share of the width
_MARGIN = 6  # pixels left and right
_WHOLE = NARROW - 2 * _MARGIN  # pixels of a full line and of one in a column, in a narrow notebook
_HALF = _WHOLE * _LEFT[1] - 6
_NAME, _SHORTEST = 24, 6  # characters of a pattern's or model's name, at most and at least


def figure(history: Dashboard) -> dict[str, Any]:
    """Return the Plotly figure: `{"data": [...], "layout": {...}, "config": {...}}`."""
    priced = history.all.cost > 0
    color, word = (GREEN, "Spend") if priced else (BLUE, "Tokens")
    spent = _amount(priced=priced)
    data = [
        *_by_day(history, spent, color, priced=priced),
        *_list("3", history.patterns, spent, color, lambda s: f"{_figure(s, priced)}, {counted(s.runs, 'run')}"),
        *_list("4", history.models, spent, color, lambda s: f"{_figure(s, priced)}, {counted(s.calls, 'call')}"),
        *_list("5", history.patterns, _half, BLUE, _took, _most),
        *_list("6", history.patterns, lambda s: s.hits or 0.0, ORANGE, _hits, lambda _: 1.0),
    ]
    titles = (
        f"{word} by day",
        "Runs by day",
        f"{word} by pattern",
        f"{word} by model",
        "Run time: median, 95th percentile",
        "Answers from the cache",
    )
    return {"data": data, "layout": _layout(history, titles), "config": axes.CONFIG}


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
        f"{len(history.waiting):,} waiting for a person: {_names(history.waiting)}" if history.waiting else "",
        f"models and cache: the latest {counted(history.read, 'run')}" if latest else "",
    )
    return tuple(p for p in parts if p)


def _names(waiting: Sequence[tuple[str, str, str]]) -> str:
    said = ", ".join(f"{run} {humanize.one_line(name, _NAME)}" for run, name, _ in waiting[:2])
    return f"{said} …" if len(waiting) > 2 else said  # noqa: PLR2004 - as in the line before


def _amount(*, priced: bool) -> Amount:
    return (lambda s: s.cost) if priced else (lambda s: s.tokens)


def _figure(spent: Spent, priced: bool) -> str:
    return humanize.money(spent.cost, spent.unpriced) if priced else counted(spent.tokens, "token")


def _half(spent: Spent) -> float:
    return spent.percentile(0.5) or 0.0


def _most(spent: Spent) -> float:
    return spent.percentile(0.95) or 0.0


def _took(spent: Spent) -> str:
    return f"{humanize.seconds(_half(spent))}, {humanize.seconds(_most(spent))}" if spent.seconds else "none is done"


def _hits(spent: Spent) -> str:
    return "no calls" if spent.hits is None else f"{spent.hits:.0%} of {spent.calls + spent.cached:,}"


def _by_day(history: Dashboard, amount: Amount, color: str, *, priced: bool) -> Iterator[dict[str, Any]]:
    days = [day for day, _ in history.days]
    said = [f"{d.name}: {_figure(d, priced)}, {counted(d.runs, 'run')}" for d in days]
    yield {**_bar("", days, [amount(d) for d in days], color, said), "name": "spend"}
    for name, which, tint, shape in _STATUSES:
        counts = [sum(n for status, n in statuses.items() if status in which) for _, statuses in history.days]
        said = [f"{d.name}: {n:,} {name[2:]}" for d, n in zip(days, counts, strict=True)]
        bar = _bar("2", days, counts, tint, said)
        bar["marker"]["pattern"] = {"shape": shape, "fillmode": "overlay", "fgcolor": PAPER, "size": 6}
        yield {**bar, "name": name[2:]}


def _bar(axis: str, days: Sequence[Spent], y: Sequence[float], color: str, said: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "x": [_short(d.name) for d in days],
        "y": list(y),
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "marker": {"color": color},
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
    """Yield the traces of a list: a text per row, a bar below it, and a paler bar `around` behind that."""
    places = {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}
    for of, opacity in ((around, 0.3), (amount, 1.0)):
        yield {
            "type": "bar",
            "orientation": "h",
            **places,
            "base": [0.0] * len(group),  # overlaid: only the bars of days are stacked
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
        "text": [plain(_named(s.name, said(s))) for s in group],
        "textposition": "middle right",
        "textfont": {"size": 12, "color": GREY},
        "hovertext": [plain(f"{s.name}: {said(s)}") for s in group],
        "hoverinfo": "text",
        "cliponaxis": True,  # an unusually wide font is clipped, not drawn over the next column
    }


def _named(name: str, figures: str) -> str:
    """Return name and figures on one line of a column; the name is shortened first, then the figures."""
    short = fit(humanize.one_line(name, _NAME), _HALF - text_width(f": {figures}"))
    return f"{short}: {figures}" if len(short) >= min(_SHORTEST, len(name)) else fit(f"{name}: {figures}", _HALF)


def _layout(history: Dashboard, titles: Sequence[str]) -> dict[str, Any]:
    head = [plain(line) for line in pack((fit(part, _WHOLE) for part in headline(history)), _WHOLE)]
    legend = list(pack(_statuses(history), _HALF, between="  "))
    above_days = _LEGEND * max(1, len(legend)) + 3
    rows = (above_days + _DAYS + _TICKS, *_heights(history))
    height = len(head) * _HEAD + _GAP + sum(_TITLE + row + _GAP for row in rows)
    layout: dict[str, Any] = {
        **axes.LOOK,
        "height": height,
        "margin": {"l": _MARGIN, "r": _MARGIN, "t": 0, "b": 0},
        "barmode": "stack",
        "annotations": [_note("<br>".join(head), 0.0, 1.0)],
    }
    top = len(head) * _HEAD + _GAP
    for number, row in enumerate(rows):
        for side, (left, right) in enumerate((_LEFT, _RIGHT)):
            place = 2 * number + side
            layout["annotations"].append(_note(f"<b>{plain(titles[place])}</b>", left, 1 - top / height))
            above = top + _TITLE + (above_days if number == 0 else 0)
            below = top + _TITLE + row - (_TICKS if number == 0 else 0)
            box = {"x": [left, right], "y": [1 - below / height, 1 - above / height]}
            layout |= _day_axes(history, place, box) if number == 0 else _axes(history, place, box, row)
        if number == 0:
            layout["annotations"].append(_note(_legend(legend), _RIGHT[0], 1 - (top + _TITLE - 3) / height))
        top += _TITLE + row + _GAP
    return layout


def _heights(history: Dashboard) -> tuple[int, int]:
    """Return the heights in pixels of the two rows of lists."""
    spend = max(len(history.patterns), len(history.models), 1)
    return spend * _LINE, max(len(history.patterns), 1) * _LINE


def _note(text: str, x: float, y: float) -> dict[str, Any]:
    return axes.annotation(text, x=x, y=y, yref="paper", yanchor="top")


def _statuses(history: Dashboard) -> list[str]:
    """Return the statuses that occur. Plotly's own legend would shrink the charts of a narrow notebook."""
    seen = {status for _, statuses in history.days for status, n in statuses.items() if n}
    return [name for name, which, _, _ in _STATUSES if seen & which]


def _legend(lines: Sequence[str]) -> str:
    """Return the legend as HTML, each status in its color."""
    text = "<br>".join(lines)
    for name, _, color, _ in _STATUSES:
        text = text.replace(name, f'<span style="color:{color}">{name}</span>')
    return text


def _day_axes(history: Dashboard, place: int, box: dict[str, list[float]]) -> dict[str, Any]:
    name = "" if place == 0 else str(place + 1)
    most = max((day.runs for day, _ in history.days), default=0)
    grid = {"gridcolor": "rgba(127,127,127,.25)", "zeroline": False, "fixedrange": True}
    money = {"tickformat": "~f", "tickprefix": "&#36;"} if history.all.cost > 0 else {"tickformat": "~s"}
    ticks = {"nticks": 4, **money} if place == 0 else {"dtick": max(1, -(-most // 2)), "tickformat": "~s"}
    return {
        f"xaxis{name}": {
            "type": "category", "domain": box["x"], "anchor": f"y{name}", "nticks": 5, "tickangle": 0,
            "showgrid": False, "fixedrange": True, "tickfont": {"size": 11},
        },
        f"yaxis{name}": {
            **grid, **ticks, "domain": box["y"], "anchor": f"x{name}", "rangemode": "tozero",
            "ticklabelposition": "inside top", "tickfont": {"size": 10, "color": GREY},
        },
    }  # fmt: skip


def _axes(history: Dashboard, place: int, box: dict[str, list[float]], row: int) -> dict[str, Any]:
    """Return the axes of a list chart, without grid and ticks; all rows have the same height."""
    name = str(place + 1)
    group = history.models if place == 3 else history.patterns  # noqa: PLR2004 - the fourth chart
    of: Amount = {4: _most, 5: lambda _: 1.0}.get(place, _amount(priced=history.all.cost > 0))
    flat = {"showgrid": False, "zeroline": False, "fixedrange": True, "showticklabels": False}
    most = max((of(s) for s in group), default=0) or 1
    return {
        f"xaxis{name}": {**flat, "domain": box["x"], "anchor": f"y{name}", "range": [0, most]},
        f"yaxis{name}": {**flat, "domain": box["y"], "anchor": f"x{name}", "range": [row / _LINE - 0.5, -0.5]},
    }
