"""The Stop button of a run: one small widget, there while the run goes on, and gone with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from orchmagic.notebook.live_display import DELAY, EMPTY, DisplayHandle, LiveDisplay

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run

_TICK = 0.1  # seconds between two looks whether the live view is there


class Stop:
    """Its place is made with the cell; the button comes when the run has lasted a moment.

    `live` stands above it, and comes first: a button does not jump away from the one who wants to press it.
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
