"""A run that goes on behind the notebook: its cell has ended, and its display is updated until the run has, too.

The places are made with the cell, as a thread can only fill those: progress, Stop, result, figure, and the buttons
of a question.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from orchmagic.notebook import approval
from orchmagic.notebook.live_display import DisplayHandle, LiveDisplay
from orchmagic.notebook.stop_button import Stop

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run


class Background:
    """The display of one run. `live` is off where nobody wants to see progress."""

    def __init__(self, run: Run, *, live: bool = True) -> None:
        self._run = run
        progress = DisplayHandle()
        self._live = LiveDisplay(run, progress, hold=True)
        self.stop = Stop(run, DisplayHandle(), self._live if live else None)
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
