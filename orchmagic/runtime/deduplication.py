"""What was told once is not told again: a node that goes on after a pause visits its finished parts anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orchmagic.runtime.tools import Repeated
from orchmagic.trace.events import (
    CallFinished,
    Decided,
    Event,
    NodeFinished,
    NodeSkipped,
    Repaired,
    RunFinished,
    RunStarted,
    ToolFinished,
)
from orchmagic.trace.record import Trace


class EventDeduplicator:
    """Passes events to a trace, but for those of a span, question or tool call that has ended well."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.repeats: list[str] = []
        self._ended: set[str] = set()
        self._told: set[Event] = set()

    def repeated(self, done: Repeated) -> None:
        """A write was not done again. What this run did itself in an earlier life is no news."""
        told = f"{done.call} was done before, by run {done.run}: its result was served"
        if done.run != self.trace.run:
            self.note(told)

    def note(self, text: str) -> None:
        """What is said, once, with the run's end."""
        if text not in self.repeats:
            self.repeats.append(text)

    def forget(self) -> None:
        """The run begins anew."""
        self.repeats.clear()
        self._ended.clear()
        self._told.clear()

    def load(self, events: Iterable[Event]) -> None:
        """Take over what was told before a restart."""
        for event in events:
            self._note(event)

    def __call__(self, event: Event) -> None:
        if self._is_new(event):
            self._note(event)
            self.trace.add(event)

    def _is_new(self, event: Event) -> bool:
        match event:
            case RunStarted() | RunFinished():
                return True
            case Decided() | Repaired():
                return replace(event, at=0.0) not in self._told
            case _:
                return getattr(event, "call", None) not in self._ended and (
                    hasattr(event, "call") or getattr(event, "span", None) not in self._ended
                )

    def _note(self, event: Event) -> None:
        match event:
            case NodeFinished() | NodeSkipped():
                self._ended.add(event.span)
            case CallFinished():
                self._ended.add(event.call)
            case ToolFinished(error=None):
                self._ended.add(event.call)
            case Decided() | Repaired():
                self._told.add(replace(event, at=0.0))
            case _:
                pass
