"""`%orch dash`: statistics of all runs, as static tables; with `--live` as a figure that updates itself."""

from __future__ import annotations

import asyncio
import importlib.util
import time
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchmagic.core.text_format import table
from orchmagic.storage.statistics import Dashboard, Spent, summary
from orchmagic.trace import humanize
from orchmagic.trace.humanize import safe
from orchmagic.views.dashboard_figure import figure, headline
from orchmagic.views.html_table import html_table

if TYPE_CHECKING:
    from orchmagic.runtime.session import Session

_NAME = 40  # characters of a name
_HEADS = ("runs", "failed", "cost", "tokens", "median", "95th percentile", "from cache")
_FIGURES = range(1, 8)  # indices of the numeric columns
_FIT = {"autosize": True, "template": "none"}  # as wide as its cell, without Plotly's default style
_PERIOD, _SHARE = 1.0, 20  # seconds between polls of the runs; drawing takes at most 1/20 of the time


def text(totals: Dashboard) -> str:
    """Formats the statistics as text: a line per pattern, model and day, and the waiting runs."""
    return "\n".join(_text(totals))


def html(totals: Dashboard) -> str:
    """Formats them as static HTML: a table each of patterns, models and days."""
    head = f"<div>{safe(' · '.join(headline(totals)))}</div>"
    tables = "".join(html_table(rows, right=_FIGURES) for rows in _tables(totals))
    waiting = "".join(f"<div>{safe(line)}</div>" for line in _waiting(totals))
    return f"<div {humanize.BLOCK}>{head}{tables}{waiting}</div>"


def live(session: Session) -> Any:
    """Returns the session's one dashboard, a Plotly FigureWidget that updates itself.

    `close()` stops the updates.

    Raises:
        ImportError: a package is missing; says what to install.
    """
    if importlib.util.find_spec("anywidget") is None:
        raise ImportError("--live needs anywidget: pip install anywidget; %orch dash works without")
    watch = _WATCHES.get(session)
    if watch is None or not watch.open:
        watch = _WATCHES[session] = _Watch(session)
    return watch.widget


class _Watch:
    """Polls the session's runs once a second and redraws only after a change."""

    def __init__(self, session: Session) -> None:
        from plotly.graph_objects import FigureWidget  # type: ignore[import-untyped]  # noqa: PLC0415 - takes two seconds

        self._session = session
        self._seen = self._state()
        shown = figure(summary(session.services.history.store))
        self.widget: Any = FigureWidget(data=shown["data"], layout=shown["layout"] | _FIT)
        self.widget._config = shown["config"]  # noqa: SLF001 - the only way to hide Plotly's buttons in a widget
        self.task = session.services.loop.submit(self._work())

    @property
    def open(self) -> bool:
        return self.widget.comm is not None

    async def _work(self) -> None:
        pause = _PERIOD
        while self.open:
            await asyncio.sleep(pause)
            now = self._state()
            if now != self._seen and self.open:
                self._seen = now
                began = time.monotonic()
                await self._draw()
                pause = max(_PERIOD, _SHARE * (time.monotonic() - began))

    def _state(self) -> tuple[Any, ...]:
        return tuple((r.id, r.status, len(r.trace.events)) for r in self._session.runs)

    async def _draw(self) -> None:
        now = {r.id: r.record for r in self._session.runs if r.status == "running"}
        totals = await asyncio.to_thread(summary, self._session.services.history.store, now)
        shown = figure(totals)
        with self.widget.batch_update():
            for old, new in zip(self.widget.data, shown["data"], strict=True):
                old.update(new, overwrite=True)
            self.widget.layout.update(shown["layout"] | _FIT, overwrite=True)


_WATCHES: weakref.WeakKeyDictionary[Session, _Watch] = weakref.WeakKeyDictionary()


def _text(totals: Dashboard) -> Iterator[str]:
    yield " · ".join(headline(totals))
    yield from (f"\n{table(rows, right=_FIGURES)}" for rows in _tables(totals))
    if totals.waiting:
        yield ""
    yield from _waiting(totals)


def _tables(totals: Dashboard) -> Iterator[list[tuple[str, ...]]]:
    days = [day for day, _ in totals.days if day.runs]
    for title, group in (("pattern", totals.patterns), ("model", totals.models), ("day", days)):
        if group or (title == "day" and totals.days):
            yield [(title, *_HEADS), *map(_line, group)]


def _waiting(totals: Dashboard) -> Iterator[str]:
    for run, name, since in totals.waiting:
        yield f"? {run} {humanize.one_line(name, _NAME)} waits for you since {since[:16]}"


def _line(spent: Spent) -> tuple[str, ...]:
    p50, p95 = (spent.percentile(part) for part in (0.5, 0.95))
    return (
        humanize.one_line(spent.name, _NAME),
        f"{spent.runs:,}",
        f"{spent.failed:,}" if spent.failed else "",
        humanize.money(spent.cost, spent.unpriced),
        f"{spent.tokens:,}",
        "" if p50 is None else humanize.seconds(p50),
        "" if p95 is None else humanize.seconds(p95),
        "" if spent.hits is None else f"{spent.hits:.0%}",
    )
