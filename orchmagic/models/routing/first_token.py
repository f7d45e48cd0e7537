"""When the first text of a streamed answer came: what a person waits for, and a deployment is judged by."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchmagic.models.types import Emit
from orchmagic.trace.events import Event, TextStreamed


class FirstTokenTimer:
    """Passes events on, and remembers the first text of the calls that were to be listened to.

    `clock` is in seconds, from any beginning.
    """

    def __init__(self, emit: Emit, clock: Callable[[], float] = time.monotonic) -> None:
        self._emit = emit
        self._clock = clock
        self._came: dict[str, float | None] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, TextStreamed) and event.call in self._came and self._came[event.call] is None:
            self._came[event.call] = self._clock()
        self._emit(event)

    def begin(self, call: str) -> float:
        """Listen to this call from now on; what time it is."""
        self._came[call] = None
        return self._clock()

    def end(self, call: str) -> tuple[float | None, float]:
        """When its first text came (None: there was none), and what time it is."""
        return self._came.pop(call, None), self._clock()
