"""One execution of a cell: its run, what shows it on its way, and how it ends."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from orchmagic import views
from orchmagic.notebook import approval, live_display
from orchmagic.notebook.background import Background
from orchmagic.notebook.stop_button import Stop
from orchmagic.views import answer

if TYPE_CHECKING:
    from orchmagic.language.magic_line import RunOptions
    from orchmagic.runtime.run import Run


class Execution:
    """`shown`: somebody else shows the run, now and when it has ended."""

    def __init__(self, run: Run, options: RunOptions) -> None:
        self.run = run
        self.shown = False
        self.background = options.background
        self._result = options.result
        self._live: live_display.LiveDisplay | None = None
        self._stop: Stop | None = None
        self._behind: Background | None = None

    def in_kernel(self, *, progress: bool, awaited: bool, buttons: bool) -> None:
        """Make the displays; `awaited`: the kernel hears clicks meanwhile, and the result is shown before they go."""
        if live_display.captured():
            return
        if self.background:
            self._behind = Background(self.run, live=progress)
            self.shown, self._stop = True, self._behind.stop
        elif progress:
            self._live = live_display.watch(self.run, in_kernel=True, hold=awaited)
            self._stop = Stop(self.run, live_display.DisplayHandle(), self._live) if awaited else None
        if buttons and self._stop is not None:
            self._stop.arm()

    def in_terminal(self, *, progress: bool) -> None:
        if progress and not self.background:
            live_display.watch(self.run, in_kernel=False)

    def start(self) -> None:
        """Begin; returns at once."""
        self.run.start()
        if self._behind is not None:
            self._behind.follow()

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


def show(run: Run) -> None:
    """Two displays: a front end shows one MIME type of each, and a person wants the answer and the figure."""
    from IPython.display import display  # noqa: PLC0415 - only where a person is

    record = run.record
    for data in (answer.bundle(record), views.bundle(record)):
        display(data, raw=True)  # type: ignore[no-untyped-call]  # IPython's display is untyped
    if run.waiting is not None:
        approval.show(run)
