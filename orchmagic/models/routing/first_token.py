"""Measures the time to the first token of streamed answers, which the ranking of deployments uses."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchmagic.models.types import Emit
from orchmagic.trace.events import Event, TextStreamed


class FirstTokenTimer:
    """Forwards events, and records when the first text of a call came, between its `begin` and `end`.

    `clock` in seconds, from any origin.
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
        """Start timing a call; returns the time now."""
        self._came[call] = None
        return self._clock()

    def end(self, call: str) -> tuple[float | None, float]:
        """Stop timing a call; returns (time of its first text or None, time now)."""
        return self._came.pop(call, None), self._clock()
