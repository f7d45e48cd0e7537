"""The event log of one run in memory, from which its record can be derived at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchmagic.core.redaction import KeyValues
from orchmagic.core.user_code import contained, described
from orchmagic.trace import fold
from orchmagic.trace.events import (
    CallFinished,
    Decided,
    Event,
    NodeFinished,
    NodeSkipped,
    ReplyRepaired,
    RunFinished,
    RunStarted,
    TextStreamed,
    ToolFinished,
)
from orchmagic.trace.record import Picture, Record


class Trace:
    """Stores the events of a run and passes them to listeners. Not thread-safe: call it on the session's loop only.

    A resumed node runs its finished parts again; events that were already emitted are dropped.
    `remarks` are shown at the end of the run.
    """

    def __init__(
        self,
        run: str,
        name: str,
        pattern: str,
        *,
        picture: Picture | None = None,
        limits: Mapping[str, Any] | None = None,
        strongest: Mapping[str, Any] | None = None,
        usual: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        started: str = "",
        secrets: KeyValues | None = None,
    ) -> None:
        self.run = run
        self.name = name
        self.pattern = pattern
        self.picture = picture or Picture()
        self.limits = dict(limits or {})
        self.strongest = strongest
        self.usual = usual
        self.started = started
        self.events: list[Event] = []
        self.remarks: list[str] = []
        self.listeners: list[Callable[[Event], None]] = []
        self._secrets = KeyValues() if secrets is None else secrets
        self._learned = self._secrets.learned
        self._clock = clock
        self._zero: float | None = None
        self._ended: set[str] = set()  # ids of spans, model calls and tool calls that succeeded
        self._emitted: set[Event] = set()  # events without an end event, to detect repeats
        self._final: Record | None = None  # of a run that has ended, until it goes on

    @property
    def now(self) -> float:
        """Seconds since the first event."""
        return 0.0 if self._zero is None else self._clock() - self._zero

    def add(self, event: Event) -> None:
        """Set the time of a new event, store it (but for streamed text), and call the listeners.

        A listener that raises is dropped.
        """
        if not self._is_new(event):
            return
        self._remember(event)
        if self._zero is None:
            self._zero = self._clock()
        stamped = replace(self.clean(event), at=self.now)  # before anything shows, logs or stores it
        if not isinstance(event, TextStreamed):
            self.events.append(stamped)
            self._final = None
        for listener in tuple(self.listeners):
            try:
                with contained():
                    listener(stamped)
            except Exception as error:  # noqa: BLE001 - who watches a run must not end it
                self.listeners.remove(listener)
                self.remark(f"a listener of the run raised {described(error)}: it gets no more events")

    def announce(self, events: Iterable[Event]) -> None:
        """Pass events to the listeners without storing them: those of a replay, whose record is known."""
        for event in events:
            for listener in tuple(self.listeners):
                listener(event)

    def clean(self, value: Any) -> Any:
        """Return a value without API keys."""
        return self._secrets.clean(value)

    def clean_again(self) -> None:
        """Clean the stored events of keys that became known during the run."""
        if self._learned != self._secrets.learned:
            self._learned = self._secrets.learned
            self.events[:] = map(self.clean, self.events)
            self._final = None

    def remark(self, text: str) -> None:
        """Add a remark to be shown at the end of the run, unless it is there already."""
        if text not in self.remarks:
            self.remarks.append(text)

    def restart(self) -> None:
        """Clear all events, since the run starts again from its journal."""
        self.events.clear()
        self.remarks.clear()
        self._ended.clear()
        self._emitted.clear()
        self._final = None
        self._zero = None

    def load(self, events: Iterable[Event]) -> None:
        """Load the events of an earlier process; the clock continues from the last of them."""
        self.events[:] = events
        self._final = None
        for event in self.events:
            self._remember(event)
        self._zero = self._clock() - max((e.at for e in self.events), default=0.0)

    def snapshot(self) -> Record:
        """Return the record of the run at this moment; that of a run which has ended is derived once."""
        if self._final is not None:
            return self._final
        happened = tuple(self.events)
        blank = Record(
            run=self.run,
            name=self.name,
            pattern=self.pattern,
            started=self.started,
            seconds=self.now,
            limits=self.limits,
            picture=self.picture,
            strongest=self.strongest,
            usual=self.usual,
        )
        found = fold.derive(happened, blank)
        if happened and isinstance(happened[-1], RunFinished) and len(self.events) == len(happened):
            self._final = found
        return found

    def _is_new(self, event: Event) -> bool:
        match event:
            case RunStarted() | RunFinished():
                return True
            case Decided() | ReplyRepaired():
                return replace(event, at=0.0) not in self._emitted
            case _ if hasattr(event, "call"):
                return event.call not in self._ended
            case _:
                return getattr(event, "span", None) not in self._ended

    def _remember(self, event: Event) -> None:
        match event:
            case NodeFinished() | NodeSkipped():
                self._ended.add(event.span)
            case CallFinished():
                self._ended.add(event.call)
            case ToolFinished(error=None):
                self._ended.add(event.call)
            case Decided() | ReplyRepaired():
                self._emitted.add(replace(event, at=0.0))
            case RunFinished(status=status) if status != "waiting":  # only a waiting run goes on with these events
                self._ended.clear()
                self._emitted.clear()
            case _:
                pass
