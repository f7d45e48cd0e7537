"""Makes Python's garbage collector rarer while runs go on: a third of the time of a wide run goes into it otherwise.

A run makes objects that stay, and Python looks through all of them again and again. Objects without cycles are freed as
always.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_OBJECTS = 20_000  # made between two collections; Python's own number is 700 to 2,000

_lock = threading.Lock()
_runs = 0
_before = 0


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Raise the collector's first threshold until the last run ends. One that is higher, or 0 (off), stays."""
    global _runs, _before  # noqa: PLW0603 - the threshold is global, too
    with _lock:
        _runs += 1
        first, *others = gc.get_threshold()
        if _runs == 1:
            _before = first
            if 0 < first < _OBJECTS:
                gc.set_threshold(_OBJECTS, *others)
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            first, *others = gc.get_threshold()
            if not _runs and first == _OBJECTS:  # else someone set it meanwhile
                gc.set_threshold(_before, *others)
