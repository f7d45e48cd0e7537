"""What a person sees while a run goes on: a line per step, the text under way, bars against the limits.

One display, updated by its id at most ten times a second. Its first and last content are empty, so what a notebook
keeps is the static view alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from orchmagic import words
from orchmagic.events import AttemptStarted, Event, RunFinished, TextStreamed
from orchmagic.trace import Record, Span

if TYPE_CHECKING:
    from orchmagic.run import Run

_FASTEST = 0.1  # seconds between two updates
_SHARE = 20  # drawing may take this part of the time: 1/20
_IDLE = 0.5  # seconds between two updates when only the clock moves
_SIDE = 4  # parts under way that are listed of one step
_TAIL = 300  # characters of the text under way
_EMPTY = {"text/plain": "", "text/html": ""}


class Screen(Protocol):
    """Where a live view draws: IPython's display handle, or a terminal's line."""

    def update(self, data: dict[str, str]) -> None: ...


class Live:
    """Listens to a run and redraws; all on the session's loop, so nothing here is locked."""

    def __init__(self, run: Run, screen: Screen, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._screen = screen
        self._clock = clock
        self._drawn = 0.0
        self._cost = 0.0
        self._timer: Any = None
        self._soon = False  # the timer waits for a turn, not for the clock to move
        self._text: dict[str, str] = {}
        self._ended = False

    def hear(self, event: Event) -> None:
        """An event of the run: draw soon; the end: clear."""
        match event:
            case TextStreamed():
                self._text[event.call] = (self._text.get(event.call, "") + event.text)[-_TAIL:]
            case AttemptStarted():
                self._text = {}
            case RunFinished():
                self._ended = True
        if self._ended:
            self._stop()
            self._show(_EMPTY)
        elif not self._soon:
            self._soon = True
            self._stop()
            self._arm(max(0.0, self._drawn + self._pause - self._clock()))

    @property
    def _pause(self) -> float:
        return max(_FASTEST, self._cost * _SHARE)

    def _arm(self, delay: float) -> None:
        import asyncio  # noqa: PLC0415 - already loaded wherever a run goes on

        self._timer = asyncio.get_running_loop().call_later(delay, self._draw)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _draw(self) -> None:
        self._timer, self._soon = None, False
        if self._ended:
            return
        began = self._clock()
        self._show(frame(self._run.record, "".join(self._text.values())))
        self._drawn = self._clock()
        self._cost = self._drawn - began
        self._arm(max(_IDLE, self._pause))

    def _show(self, data: dict[str, str]) -> None:
        try:
            self._screen.update(data)
        except Exception:  # noqa: BLE001 - a closed front end must not stop a run
            self._ended = True


def frame(record: Record, text: str) -> dict[str, str]:
    """One picture of a run under way, as HTML and as text."""
    steps = _now(record)
    rows = "".join(_row(record, s) for s in steps)
    style = "white-space:pre-wrap;max-height:6em;overflow:hidden;margin:4px 0;opacity:.75"
    tail = f'<pre style="{style}">{escape(words.shown(text))}</pre>'
    html = (
        f'<div style="font:13px system-ui,sans-serif;min-height:{1.6 * (len(steps) + 2):.1f}em">'
        f"<div><strong>{escape(words.shown(words.headline(record)))}</strong></div>"
        f'<table style="border-collapse:collapse">{rows}</table>{_bars(record)}{tail if text else ""}</div>'
    )
    last = steps[-1] if steps else None
    plain = words.headline(record) + (f" · {last.name} {words.seconds(record.seconds - last.start)}" if last else "")
    return {"text/plain": plain, "text/html": html}


def _now(record: Record) -> list[Span]:
    """The last steps, and the inner steps and tools of those under way; items and votes are counted, not listed."""
    found: list[Span] = []
    for step in record.steps[-12:]:
        found.append(step)
        if step.status == "running":
            inner = (s for s in record.below(step) if s.kind not in {"ask", "attempt", "item", "vote"})
            found += [s for s in inner if s.status == "running"][:_SIDE]
    return found


def _row(record: Record, step: Span) -> str:
    length = step.seconds if step.end is not None else record.seconds - step.start
    state = "" if step.status == "done" else step.status
    cells = (
        words.MARKS.get(step.status, "·"),
        words.label(record, step) if step.parent is None else f"\u2003{words.path(step.id)}",
        words.seconds(length),
        f"{step.usage.total:,} tokens" if step.usage.total else "",
        words.money(step.cost) if step.cost else "",
        ", ".join(filter(None, (words.parts(record, step), words.cache(record, step) or state))),
    )
    style = 'style="text-align:left;padding:0 12px 0 0"'
    return "<tr>" + "".join(f"<td {style}>{escape(words.shown(c))}</td>" for c in cells) + "</tr>"


def _bars(record: Record) -> str:
    """Time against the deadline, tokens and money against their limits; only what has a limit."""
    limits = record.limits
    pairs = (
        ("time", record.seconds, limits.get("deadline"), words.seconds),
        ("tokens", record.usage.total, limits.get("max_tokens"), lambda n: f"{n:,.0f}"),
        ("cost", record.cost, limits.get("budget"), words.money),
    )
    return "".join(_bar(name, used, most, say) for name, used, most, say in pairs if most)


def _bar(name: str, used: float, most: float, say: Callable[[float], str]) -> str:
    part = min(100.0, 100 * used / most)
    return (
        f'<span style="display:inline-block;margin-right:14px;font-size:11px">{name} {say(used)} of {say(most)} '
        '<span style="display:inline-block;width:70px;height:6px;background:rgba(127,127,127,.2)">'
        f'<span style="display:block;width:{part:.0f}%;height:6px;background:#0072b2"></span></span></span>'
    )


class _Notebook:
    """A display of the kernel that is updated by its id."""

    def __init__(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - in a kernel only

        self._handle: Any = display(_EMPTY, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # untyped there

    def update(self, data: dict[str, str]) -> None:
        self._handle.update(data, raw=True)


class _Terminal:
    """One line that is written over."""

    def update(self, data: dict[str, str]) -> None:
        line = data["text/plain"][:100]
        sys.stdout.write(f"\r\x1b[2K{line}")
        sys.stdout.flush()


def watch(run: Run, *, in_kernel: bool) -> None:
    """Show `run` while it goes on; a pipe or a file is left alone."""
    if in_kernel or sys.stdout.isatty():
        run.watch(Live(run, _Notebook() if in_kernel else _Terminal()).hear)
