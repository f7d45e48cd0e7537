"""What a person sees while a run goes on: one display, drawn anew at most ten times a second.

Its first and last content are empty, so that a notebook keeps the static view alone. A run that ends at once shows
nothing on its way.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from orchmagic.trace.events import AttemptStarted, CallFailed, CallFinished, Event, RunFinished, TextStreamed
from orchmagic.views.live import frame

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.trace.record import Record

EMPTY = {"text/plain": "", "text/html": ""}
DELAY = 0.25  # seconds before the first frame: what is quicker would only flash

_FASTEST = 0.1  # seconds between two updates
_SHARE = 20  # drawing may take this part of the time: 1/20
_IDLE = 0.5  # seconds between two updates when only the clock moves
_MOST, _KEPT = 4_000, 2_000  # characters of an answer under way: at most, and what is left of it then


class Screen(Protocol):
    """Where a live view draws: IPython's display handle, or a terminal's line."""

    def update(self, data: dict[str, Any], /) -> None: ...


class LiveDisplay:
    """Listens to a run and redraws; all on the session's loop, so nothing here is locked.

    `hold`: the last frame stays until `clear`, so that the result can be shown before it goes. `shown`: there is one.
    """

    def __init__(
        self, run: Run, screen: Screen, clock: Callable[[], float] = time.monotonic, *, hold: bool = False
    ) -> None:
        self._run = run
        self._screen = screen
        self._clock = clock
        self._hold = hold
        self._drawn = clock() + DELAY - _FASTEST
        self._cost = 0.0
        self._timer: Any = None
        self._soon = False  # the timer waits for a turn, not for the clock to move
        self._streamed = StreamedText()
        self.shown = False
        self._ended = False

    def on_event(self, event: Event) -> None:
        """An event of the run: draw soon; the end: clear."""
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
        """Leave nothing behind; from any thread, once the run has ended."""
        self._ended = True
        if self.shown:
            self.shown = False
            self._show(EMPTY)

    @property
    def _record(self) -> Record:
        """The run as it stands; its boxes keep their first words, not how many items, and so their size."""
        record = self._run.record
        return replace(record, picture=replace(self._run.trace.picture, taken=record.picture.taken))

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
        self._show(frame(self._record, *self._streamed.current))
        self.shown = True
        self._drawn = self._clock()
        self._cost = self._drawn - began
        self._arm(max(_IDLE, self._pause))

    def _show(self, data: dict[str, str]) -> None:
        try:
            self._screen.update(data)
        except Exception:  # noqa: BLE001 - a closed front end must not stop a run
            self._ended = True


class StreamedText:
    """The answers under way. One is shown until it ends, then the next, so that a reader can follow."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._last = ("", "")

    @property
    def current(self) -> tuple[str, str]:
        """(call, its text so far); the last answer if none is under way."""
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
    """The end of a long text, cut rarely and between words: lines that are read do not wrap anew each time."""
    return text if len(text) <= _MOST else text[-_KEPT:].partition(" ")[2] or text[-_KEPT:]


class DisplayHandle:
    """A display of the cell that runs now, empty at first; updated by its id, from any thread."""

    def __init__(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - in a kernel only

        self._handle: Any = display(EMPTY, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # untyped there

    def update(self, data: dict[str, Any], /) -> None:
        self._handle.update(data, raw=True)


class _Terminal:
    """One line that is written over."""

    def update(self, data: dict[str, Any], /) -> None:
        line = data["text/plain"][: shutil.get_terminal_size().columns - 1]
        sys.stdout.write(f"\r\x1b[2K{line}")
        sys.stdout.flush()


def watch(run: Run, *, in_kernel: bool, hold: bool = False) -> LiveDisplay | None:
    """Show `run` while it goes on; a pipe, a file and what `%%capture` takes are left alone."""
    if captured() if in_kernel else not sys.stdout.isatty():
        return None
    live = LiveDisplay(run, DisplayHandle() if in_kernel else _Terminal(), hold=hold)
    run.watch(live.on_event)
    return live


def captured() -> bool:
    """Whether displays go to a variable, which would keep each frame."""
    from IPython.core.displaypub import CapturingDisplayPublisher  # noqa: PLC0415 - in a kernel only
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - as above

    return isinstance(getattr(get_ipython(), "display_pub", None), CapturingDisplayPublisher)
