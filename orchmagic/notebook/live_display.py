"""The live display of an active run, redrawn at most ten times a second.

It is empty at the start, and its last content is the result: nothing moves at the end. A run that ends within `DELAY`
shows no progress.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from orchmagic.trace.events import AttemptStarted, CallFailed, CallFinished, Event, RunFinished, TextStreamed
from orchmagic.trace.record import MIME, Record
from orchmagic.views import card
from orchmagic.views.live import frame, line

if TYPE_CHECKING:
    from orchmagic.graph.model import Graph
    from orchmagic.runtime.run import Run

EMPTY = {"text/plain": "", "text/html": ""}
DELAY = 0.25  # seconds before the first frame: a shorter run would only flicker

_FASTEST = 0.1  # seconds between two updates
_SHARE = 20  # drawing takes at most 1/20 of the time
_IDLE = 0.5  # seconds between two updates when only the clock moves
_MOST, _KEPT = 4_000, 2_000  # characters of a streamed answer: maximum, and the rest after a cut


class Screen(Protocol):
    """The output of a live view: IPython's display handle, or a terminal line."""

    def update(self, data: dict[str, Any], /) -> None: ...


class LiveDisplay:
    """Redraws on events of a run; all on the session's loop, so it needs no lock.

    `hold`: the last frame stays until the result or `clear`. `shown`: a frame was drawn. `as_card`: the front end draws
    our own MIME type.
    """

    def __init__(
        self,
        run: Run,
        screen: Screen,
        clock: Callable[[], float] = time.monotonic,
        *,
        hold: bool = False,
        as_card: bool = False,
        shown: bool = False,
    ) -> None:
        self._run = run
        self._screen = screen
        self._clock = clock
        self._hold = hold
        self.as_card = as_card
        self._drawn = clock() + DELAY - _FASTEST
        self._cost = 0.0
        self._timer: Any = None
        self._soon = False  # the timer is set for an event, not for the elapsed time
        self._streamed = StreamedText()
        self.shown = shown
        self._ended = False

    def on_event(self, event: Event) -> None:
        """Schedules a redraw; at the end of the run, clears the display."""
        self._streamed.on_event(event)
        if isinstance(event, RunFinished):
            self._ended = True
            self._stop()
            if not self._hold:
                self.clear()
        elif not self._soon and not self._ended:
            self._soon = True
            self._stop()
            self._arm(max(0.0, self._drawn + self._pause - self._clock()))

    def clear(self) -> None:
        """Clears the display. Callable from any thread after the run has ended."""
        self._ended = True
        if self.shown:
            self.shown = False
            self._show(EMPTY)

    def finish(self, data: dict[str, Any]) -> None:
        """Shows the result in place of the last frame. Callable from any thread after the run has ended."""
        self._ended, self.shown = True, False
        self._show(data)

    @property
    def _record(self) -> Record:
        """The current record of the run; box labels keep their first words but no item counts, so sizes stay fixed."""
        record = self._run.record
        return replace(record, picture=replace(self._run.trace.picture, taken=record.picture.taken))

    @property
    def _pause(self) -> float:
        return max(_FASTEST, self._cost * _SHARE)

    def _arm(self, delay: float) -> None:
        import asyncio  # noqa: PLC0415 - already loaded during a run

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
        self._show(self._frame())
        self.shown = True
        self._drawn = self._clock()
        self._cost = self._drawn - began
        self._arm(max(_IDLE, self._pause))

    def _frame(self) -> dict[str, Any]:
        return _frame(self._record, self._streamed.current, as_card=self.as_card)

    def _show(self, data: dict[str, Any]) -> None:
        try:
            self._screen.update(data)
        except Exception:  # noqa: BLE001 - a closed front end must not stop a run
            self._ended = True


class StreamedText:
    """Collects streamed answers. Shows one until it ends, then the next, so that it can be read."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._last = ("", "")

    @property
    def current(self) -> tuple[str, str]:
        """(call, its text so far); the last answer if none is streaming."""
        return next(iter(self._texts.items()), self._last)

    def on_event(self, event: Event) -> None:
        match event:
            case TextStreamed(call=call, text=text):
                self._texts[call] = _bounded(self._texts.get(call, "") + text)
            case AttemptStarted(call=call):
                self._texts.pop(call, None)
            case CallFinished(call=call) | CallFailed(call=call) if call in self._texts:
                self._last = (call, self._texts.pop(call))


def _bounded(text: str) -> str:
    """The end of a long text, cut rarely and between words, so that its lines do not wrap differently each time."""
    return text if len(text) <= _MOST else text[-_KEPT:].partition(" ")[2] or text[-_KEPT:]


class DisplayHandle:
    """A display of the current cell, empty at first; any thread can update it."""

    def __init__(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - in a kernel only

        self._handle: Any = display(EMPTY, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # untyped there

    def update(self, data: dict[str, Any], /) -> None:
        self._handle.update(data, raw=True)


class _Terminal:
    """A terminal line that each update overwrites."""

    def update(self, data: dict[str, Any], /) -> None:
        line = data["text/plain"][: shutil.get_terminal_size().columns - 1]
        sys.stdout.write(f"\r\x1b[2K{line}")
        sys.stdout.flush()


def watch(
    run: Run, *, in_kernel: bool, as_card: bool = False, place: DisplayHandle | None = None
) -> LiveDisplay | None:
    """Shows the progress of `run`; does nothing if output goes to a pipe, a file or `%%capture`.

    `place`: the display of `announced`.
    """
    if captured() if in_kernel else not sys.stdout.isatty():
        return None
    screen = place or (DisplayHandle() if in_kernel else _Terminal())
    live = LiveDisplay(run, screen, hold=in_kernel, as_card=as_card, shown=place is not None)
    run.watch(live.on_event)
    return live


@contextmanager
def announced(graph: Graph, *, as_card: bool) -> Iterator[DisplayHandle | None]:
    """Shows the graph while the first run of a kernel imports LangGraph, which takes half a second.

    Yields the display, in which the run goes on; None if there is nothing to wait for.
    """
    if "langgraph.graph" in sys.modules or captured():
        yield None
        return
    from orchmagic.graph.draw import picture  # noqa: PLC0415 - once in a kernel

    place = DisplayHandle()
    record = Record("", graph.name, graph.pattern, picture=picture(graph))
    first = _frame(record, as_card=as_card)
    if as_card:
        first[MIME]["card"]["waits"] = "Importing LangGraph, once in this kernel"
    place.update(first)
    try:
        yield place
    except BaseException:
        place.update(EMPTY)
        raise


def _frame(record: Record, says: tuple[str, str] = ("", ""), *, as_card: bool) -> dict[str, Any]:
    if not as_card:
        return frame(record, *says)
    return {MIME: card.payload(record, live=True, says=says), "text/plain": line(record)}


def captured() -> bool:
    """Whether `%%capture` collects displays, which would store each frame."""
    from IPython.core.displaypub import CapturingDisplayPublisher  # noqa: PLC0415 - in a kernel only
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - as above

    return isinstance(getattr(get_ipython(), "display_pub", None), CapturingDisplayPublisher)
