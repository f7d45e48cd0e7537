"""Makes `input()` and `getpass` in notebook functions ask one after the other.

Functions run side by side in threads, and a kernel has one channel for answers: two questions at once would swap their
answers, or end the kernel. A question of a function that nobody waits for any more (Stop, time limit) is withdrawn, so
that it does not take the answer to the next one.
"""

from __future__ import annotations

import builtins
import ctypes
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from orchmagic.core import function_threads

_METHODS = ("raw_input", "getpass")  # ipykernel puts them in the place of Python's functions while a cell runs
_ONE = threading.Lock()


class OneQuestionAtATime:
    """Wraps the kernel's two functions that ask; does nothing without a kernel that has them."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._wrapped: dict[str, Callable[..., str]] = {}

    def register(self) -> None:
        for name in _METHODS:
            ask = getattr(self._kernel, name, None)
            if ask is not None:
                self._wrapped[name] = _in_turn(ask)
                setattr(self._kernel, name, self._wrapped[name])
                if builtins.input == ask:  # in the cell that loads the extension
                    builtins.input = self._wrapped[name]

    def unregister(self) -> None:
        for name, wrapped in self._wrapped.items():
            if self._kernel.__dict__.get(name) is wrapped:
                delattr(self._kernel, name)  # the class has the original
        self._wrapped.clear()


def _in_turn(ask: Callable[..., str]) -> Callable[..., str]:
    @wraps(ask)
    def asking(*args: Any, **kwargs: Any) -> str:
        call = function_threads.current()
        with _ONE:
            if call is None:
                return ask(*args, **kwargs)
            thread = threading.get_ident()
            call.leave = lambda: _interrupt(thread)
            try:
                if call.abandoned:
                    raise KeyboardInterrupt
                return ask(*args, **kwargs)
            finally:
                call.leave = None

    return asking


def _interrupt(thread: int) -> None:
    """Raises KeyboardInterrupt in a thread that waits for an answer: the kernel looks for one every 10 ms."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
