"""`%%evaluate`: an adapter. Reads the cell, runs the evaluation with a progress line, and returns its result."""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from orchmagic.errors import RunError
from orchmagic.notebook.cell_place import place_of_cell
from orchmagic.notebook.requested_help import help_printed

if TYPE_CHECKING:
    from orchmagic.evaluation.evaluate import Evaluation
    from orchmagic.evaluation.evaluate_cell import EvaluateCell
    from orchmagic.evaluation.result import Result
    from orchmagic.notebook.magics import Face
    from orchmagic.runtime.row_runs import Progress

# ruff: noqa: PLC0415 - imports are local so that `%load_ext` stays fast
_PAUSE = 0.3  # seconds between two updates


class HasProgress(Protocol):
    """What runs rows: an evaluation, a search, a map."""

    @property
    def progress(self) -> Progress: ...


class EvaluateMagic:
    """The cell magic `%%evaluate`; the line `%evaluate` shows its help."""

    __name__ = "evaluate"

    def __init__(self, face: Face) -> None:
        self._face = face

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # built on demand, not when the extension loads
        from orchmagic.evaluation.evaluate_cell import help_text

        return help_text()

    def __call__(self, line: str, cell: str | None = None) -> Result | None:
        """Runs the cell and blocks: in a terminal, in a script, and inside other magics."""
        if cell is None:
            print(self.__doc__)  # noqa: T201 - what the user asked to see
            return None
        with help_printed():
            found, evaluation, bar = self._begin(line, cell)
            if evaluation is None:
                return None
            with bar.shown(evaluation):
                result = evaluation.run()
            return self._end(found, result)
        return None

    async def awaited(self, line: str, cell: str) -> Result | None:
        """Runs the cell without blocking the kernel."""
        with help_printed():
            found, evaluation, bar = self._begin(line, cell)
            if evaluation is None:
                return None
            with bar.shown(evaluation):
                result = await evaluation.arun()
            return self._end(found, result)
        return None

    def _begin(self, line: str, cell: str) -> tuple[EvaluateCell, Evaluation | None, ProgressLine]:
        from orchmagic.evaluation.evaluate import Evaluation
        from orchmagic.evaluation.evaluate_cell import read_cell

        place = place_of_cell(self._face.shell, self._face.names)
        names = self._face.names if place.names is None else place.names
        found = read_cell(line, cell, names, self._face.session.find)
        bar = ProgressLine(show=self._face.in_kernel and self._face.config.live)
        evaluation = Evaluation(replace(found.setup, watch=bar.update))
        if found.dry_run:
            print(evaluation.estimate())  # noqa: T201 - what the user asked to see
            return found, None, bar
        return found, evaluation, bar

    def _end(self, found: EvaluateCell, result: Result) -> Result:
        if found.baseline is not None:
            result.compare_baseline(found.baseline)
        if found.result is not None:
            place_of_cell(self._face.shell, self._face.names).binds[found.result] = result
        return result


class ProgressLine:
    """A line below the cell while rows run: how many are done, the spend, and the time that is left."""

    def __init__(self, *, show: bool) -> None:
        self._show = show
        self._handle: Any = None
        self._drawn = self._began = time.monotonic()

    @contextmanager
    def shown(self, work: HasProgress, what: str = "evaluation") -> Iterator[None]:
        """Shows the line while rows run; says how far they came, if they are stopped."""
        from orchmagic.notebook.live_display import EMPTY, DisplayHandle

        if self._show:
            self._handle = DisplayHandle()
        try:
            yield
        except (KeyboardInterrupt, CancelledError):
            from orchmagic.core.text_format import counted

            now = work.progress
            done = f"{now.stored + now.done - now.unanswered:,} of {counted(now.total, 'run')} have an answer"
            raise RunError(f"the {what} was stopped: {done}. The same cell goes on") from None
        finally:
            if self._handle is not None:
                self._handle.update(EMPTY)

    def update(self, now: Progress) -> None:
        """Redraws the line, at most a few times a second."""
        clock = time.monotonic()
        if self._handle is None or clock - self._drawn < _PAUSE:
            return
        self._drawn = clock
        self._handle.update({"text/plain": self.text(now, clock - self._began)})

    @staticmethod
    def text(now: Progress, seconds: float) -> str:
        """`57 of 240 runs · 120 stored · 2 without an answer · $0.04 · about 1 min left`."""
        from orchmagic.core.text_format import counted
        from orchmagic.trace import humanize

        rest = now.total - now.stored - now.done
        left = seconds / now.done * rest if now.done else 0.0
        parts = [
            f"{now.stored + now.done:,} of {counted(now.total, 'run')}",
            f"{now.stored:,} stored" * bool(now.stored),
            f"{now.unanswered:,} without an answer" * bool(now.unanswered),
            humanize.money(now.paid),
            f"about {humanize.seconds(left)} left" * bool(rest),
        ]
        return " · ".join(filter(None, parts))
