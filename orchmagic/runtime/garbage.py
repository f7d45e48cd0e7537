"""Makes Python's garbage collector rarer while runs go on: a third of the time of a wide run goes into it otherwise.

A run makes objects that stay, and Python looks through all of them again and again. Objects without cycles are freed as
always.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_OBJECTS = 20_000  # made between two collections; Python's own number is 700 to 2,000
_REST = 1.0  # seconds without a run; setting the threshold back collects at once, too long for each of many short runs

_lock = threading.Lock()
_runs = 0
_before: int | None = None  # the first threshold as it was; None: it is not raised


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Raise the collector's first threshold until a second after the last run. One that is higher, or 0 (off), stays.

    Without a running loop it is set back with the last run.
    """
    global _runs, _before  # noqa: PLW0603 - the threshold is global, too
    with _lock:
        _runs += 1
        first, *others = gc.get_threshold()
        if 0 < first < _OBJECTS:
            _before = first
            gc.set_threshold(_OBJECTS, *others)
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
        try:
            asyncio.get_running_loop().call_later(_REST, _set_back)
        except RuntimeError:
            _set_back()


def _set_back() -> None:
    global _before  # noqa: PLW0603 - as above
    with _lock:
        if _runs or _before is None:
            return
        first, *others = gc.get_threshold()
        if first == _OBJECTS:  # else someone set it meanwhile
            gc.set_threshold(_before, *others)
        _before = None
