"""Executes one cell: its run, progress display, Stop button and final display.

A background run continues after its cell has ended and updates the cell's displays. All displays are created while
the cell runs, because a thread can only update existing ones.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from orchmagic.notebook import approval, live_display
from orchmagic.notebook.live_display import DELAY, EMPTY, DisplayHandle, LiveDisplay
from orchmagic.views import card

if TYPE_CHECKING:
    from orchmagic.language.magic_line import RunOptions
    from orchmagic.runtime.run import Run

_TICK = 0.1  # seconds between polls whether the live view is shown


class Execution:
    """The execution of one cell. `shown`: a background display shows the run and its result.

    `place`: the display that already shows the graph.
    """

    def __init__(self, run: Run, options: RunOptions, place: DisplayHandle | None = None) -> None:
        self.run = run
        self._place = place
        self.shown = False
        self.background = options.background
        if options.result:
            run.keep_output_as(options.result)
        self._live: LiveDisplay | None = None
        self._stop: StopButton | None = None
        self._display: BackgroundDisplay | None = None

    def in_kernel(self, *, progress: bool, awaited: bool, buttons: bool, as_card: bool) -> None:
        """Creates the displays. `awaited`: the kernel handles clicks, and the progress stays until the result.

        `as_card`: the front end draws our own MIME type, whose header holds the Stop button.
        """
        if live_display.captured():
            return
        if self.background:
            self._display = BackgroundDisplay(self.run, self._place, live=progress, as_card=as_card)
            self.shown, self._stop = True, self._display.stop
        elif progress:
            self._live = live_display.watch(self.run, in_kernel=True, as_card=as_card, place=self._place)
            self._stop = StopButton(self.run, DisplayHandle(), self._live) if awaited and not as_card else None
        if buttons and self._stop is not None:
            self._stop.arm()

    def in_terminal(self, *, progress: bool) -> None:
        if progress and not self.background:
            live_display.watch(self.run, in_kernel=False)

    def start(self) -> None:
        """Starts the run and returns immediately."""
        self.run.start()
        if self._display is not None:
            self._display.follow()

    def finish(self, data: dict[str, Any]) -> bool:
        """Shows the result where the progress was; False if there was none."""
        if self._live is None:
            return False
        self._live.finish(data)
        return True

    def clear(self) -> None:
        """Clears the progress displays; a background run does so itself."""
        if self.background:
            return
        if self._stop is not None:
            self._stop.close()
        if self._live is not None:
            self._live.clear()


class BackgroundDisplay:
    """The display of a run in the background: progress and result, Stop, and the buttons of a question.

    `live` turns the progress display on.
    """

    def __init__(
        self, run: Run, place: DisplayHandle | None = None, *, live: bool = True, as_card: bool = False
    ) -> None:
        self._run = run
        result = place or DisplayHandle()
        self._live = LiveDisplay(run, result, hold=True, as_card=as_card, shown=place is not None)
        self.stop = None if as_card else StopButton(run, DisplayHandle(), self._live if live else None)
        self._below = approval.ResultArea(result, DisplayHandle(), as_card=as_card)
        if live:
            run.watch(self._live.on_event)

    def follow(self) -> None:
        """Waits for the end in a thread and shows it; returns immediately."""
        threading.Thread(target=self._finish, name="orchmagic-background", daemon=True).start()

    def _finish(self) -> None:
        self._run.wait()
        if self.stop is not None:
            self.stop.close()
        self._live.finish(card.output(self._run.record, card=self._live.as_card))
        if self._run.waiting is not None and approval.widgets():
            approval.Panel(self._run, self._below.buttons, self._below).offer()


class StopButton:
    """A Stop button that is shown while the run is active.

    Its display is created with the cell; the button appears after a short delay. It waits until `live`, which is
    above it, is shown: a button must not move while a person wants to press it.
    """

    def __init__(self, run: Run, place: DisplayHandle, live: LiveDisplay | None = None) -> None:
        self._run = run
        self._place = place
        self._live = live
        self._button: Any = None
        self._lock = threading.Lock()
        self._ended = False

    def arm(self) -> None:
        """Schedules the button on the running loop, which is the kernel's."""
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
        """Cancels the run in a thread, so that the kernel's thread can handle more clicks."""
        self._button.disabled, self._button.description = True, "Stopping"
        threading.Thread(target=self._run.cancel, name="orchmagic-stop", daemon=True).start()

    def close(self) -> None:
        """Removes the button. Callable from any thread."""
        with self._lock:
            self._ended = True
            button, self._button = self._button, None
        if button is not None:
            self._place.update(EMPTY)
            button.close()


def show(run: Run, execution: Execution | None, *, as_card: bool) -> None:
    """Shows the result, in the display that showed the progress if there is one: nothing moves."""
    from IPython.display import display  # noqa: PLC0415 - interactive use only

    data = card.output(run.record, card=as_card)
    if execution is None or not execution.finish(data):
        display(data, raw=True)  # type: ignore[no-untyped-call]  # IPython's display is untyped
    if run.waiting is not None:
        approval.show(run, as_card=as_card)
