"""One execution of a cell: its run, what shows it on its way, how it is stopped, and how it ends.

A run in the background goes on behind the notebook: its cell has ended, and its displays are updated until the run has
ended, too. All displays are made with the cell, as a thread can only fill those.
"""

from __future__ import annotations

import threading
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from orchmagic import views
from orchmagic.notebook import approval, live_display
from orchmagic.notebook.live_display import DELAY, EMPTY, DisplayHandle, LiveDisplay
from orchmagic.views import answer

if TYPE_CHECKING:
    from orchmagic.language.magic_line import RunOptions
    from orchmagic.runtime.run import Run

_TICK = 0.1  # seconds between two looks whether the live view is there


class Execution:
    """`shown`: a background display shows the run, now and when it has ended."""

    def __init__(self, run: Run, options: RunOptions) -> None:
        self.run = run
        self.shown = False
        self.background = options.background
        self._result = options.result
        self._live: LiveDisplay | None = None
        self._stop: StopButton | None = None
        self._display: BackgroundDisplay | None = None

    def in_kernel(self, *, progress: bool, awaited: bool, buttons: bool) -> None:
        """Make the displays; `awaited`: the kernel hears clicks meanwhile, and the result is shown before they go."""
        if live_display.captured():
            return
        if self.background:
            self._display = BackgroundDisplay(self.run, live=progress)
            self.shown, self._stop = True, self._display.stop
        elif progress:
            self._live = live_display.watch(self.run, in_kernel=True, hold=awaited)
            self._stop = StopButton(self.run, DisplayHandle(), self._live) if awaited else None
        if buttons and self._stop is not None:
            self._stop.arm()

    def in_terminal(self, *, progress: bool) -> None:
        if progress and not self.background:
            live_display.watch(self.run, in_kernel=False)

    def start(self) -> None:
        """Begin; returns at once."""
        self.run.start()
        if self._display is not None:
            self._display.follow()

    def store(self, namespace: MutableMapping[str, object]) -> None:
        """Keep the output where `-o` says."""
        if self._result:
            namespace[self._result] = self.run.output

    def clear(self) -> None:
        """Take away what was shown on the way; a run in the background does so itself."""
        if self.background:
            return
        if self._stop is not None:
            self._stop.close()
        if self._live is not None:
            self._live.clear()


class BackgroundDisplay:
    """The display of a run in the background: progress, Stop, result, figure, and the buttons of a question.

    `live` is off where nobody wants to see progress.
    """

    def __init__(self, run: Run, *, live: bool = True) -> None:
        self._run = run
        progress = DisplayHandle()
        self._live = LiveDisplay(run, progress, hold=True)
        self.stop = StopButton(run, DisplayHandle(), self._live if live else None)
        self._below = approval.ResultArea(progress, DisplayHandle(), DisplayHandle(), DisplayHandle())
        if live:
            run.watch(self._live.on_event)

    def follow(self) -> None:
        """Show the end when it comes; returns at once."""
        threading.Thread(target=self._finish, name="orchmagic-background", daemon=True).start()

    def _finish(self) -> None:
        self._run.wait()
        self._below.fill(self._run)
        self.stop.close()
        self._live.clear()
        if self._run.waiting is not None and approval.widgets():
            approval.Panel(self._run, self._below.buttons, self._below).offer()


class StopButton:
    """One small widget, there while the run goes on, and gone with it.

    Its place is made with the cell; the button comes when the run has lasted a moment. `live` stands above it, and
    comes first: a button does not jump away from the one who wants to press it.
    """

    def __init__(self, run: Run, place: DisplayHandle, live: LiveDisplay | None = None) -> None:
        self._run = run
        self._place = place
        self._live = live
        self._button: Any = None
        self._lock = threading.Lock()
        self._ended = False

    def arm(self) -> None:
        """Show it a moment later, on the loop that is running: the kernel's own."""
        import asyncio  # noqa: PLC0415 - in a kernel only

        loop = asyncio.get_running_loop()

        def turn() -> None:
            if self._live is None or self._live.shown:
                self.show()
            elif not self._ended:
                loop.call_later(_TICK, turn)

        loop.call_later(DELAY, turn)

    def show(self) -> None:
        """Show the button, unless the run has ended."""
        import ipywidgets as w  # type: ignore[import-untyped]  # noqa: PLC0415 - without types, and slow to import

        with self._lock:
            if self._ended:
                return
            layout = w.Layout(width="84px", height="26px", margin="2px 0")
            self._button = w.Button(description="Stop", icon="stop", tooltip="Stop this run", layout=layout)
            self._button.on_click(self.press)
            self._place.update({**self._button._repr_mimebundle_(), "text/plain": ""})

    def press(self, _: object = None) -> None:
        """Cancel the run; returns at once, as the kernel's own thread is waiting for more clicks."""
        self._button.disabled, self._button.description = True, "Stopping"
        threading.Thread(target=self._run.cancel, name="orchmagic-stop", daemon=True).start()

    def close(self) -> None:
        """Leave nothing behind; from any thread."""
        with self._lock:
            self._ended = True
            button, self._button = self._button, None
        if button is not None:
            self._place.update(EMPTY)
            button.close()


def show(run: Run) -> None:
    """Two displays: a front end shows one MIME type of each, and a person wants the answer and the figure."""
    from IPython.display import display  # noqa: PLC0415 - only where a person is

    record = run.record
    for data in (answer.bundle(record), views.bundle(record)):
        display(data, raw=True)  # type: ignore[no-untyped-call]  # IPython's display is untyped
    if run.waiting is not None:
        approval.show(run)
