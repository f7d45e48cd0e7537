"""Imports what the first run needs while the kernel waits for a person, one package at a time between two messages.

On the kernel's own loop, not in a thread: two threads that import the same packages in another order can see half of
one. A cell that comes meanwhile waits for one package at most, and imports the rest itself.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib import import_module

_PAUSE = 0.02  # seconds for the kernel's messages
_NEEDED = (
    "orchmagic.runtime.session",
    "langsmith.client",
    "langsmith.run_trees",
    "langchain_core.messages",
    "langgraph.pregel",
    "langgraph.graph",
    "orchmagic.runtime.run",
    "openai",
)


class IdleImports:
    """The imports that are left; `stop` ends them. Does nothing where no loop runs: in a terminal or a script."""

    def __init__(self, modules: tuple[str, ...] = _NEEDED) -> None:
        self._left = [*reversed(modules)]
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Schedules the next import on the running loop."""
        with suppress(RuntimeError):
            self._next = asyncio.get_running_loop().call_later(_PAUSE, self._import)

    def stop(self) -> None:
        """Imports nothing more."""
        self._left.clear()
        if self._next is not None:
            self._next.cancel()

    def _import(self) -> None:
        with suppress(Exception):  # what is missing or broken is told by the cell that needs it
            import_module(self._left.pop())
        if self._left:
            self.start()
