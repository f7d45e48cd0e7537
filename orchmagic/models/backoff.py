"""How long to wait before a question is sent again: what the endpoint asks for, else an exponential backoff."""

from __future__ import annotations

FIRST = 0.5  # seconds: the longest first wait
LONGEST = 20.0  # seconds: doubling stops here
PATIENCE = 60.0  # seconds: an endpoint that asks for more has failed
_DOUBLINGS = 30  # more than it takes to reach the longest wait; a power beyond floats would fail


def wait(repeat: int, chance: float, retry_after: float | None = None) -> float:
    """Seconds before repeat number `repeat`, from 1 on. `chance` is random, from 0 to 1.

    Full jitter: calls that failed together must not come back together.
    """
    if retry_after is not None:
        return retry_after
    return min(LONGEST, FIRST * 2.0 ** min(repeat - 1, _DOUBLINGS)) * chance


def is_too_long(seconds: float, time_left: float | None) -> bool:
    """Whether to fail at once instead. `time_left` is what the run still has, in seconds; None: no deadline."""
    return seconds > PATIENCE or (time_left is not None and seconds >= time_left)
