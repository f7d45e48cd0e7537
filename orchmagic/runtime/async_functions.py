"""Runs async functions of the notebook on an event loop of their own: one that blocks it does not hold up the runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from orchmagic.core.function_threads import FunctionCall, Owner
from orchmagic.core.user_code import contained_await
from orchmagic.runtime.event_loop import BLOCKED, ENGINE, FUNCTIONS, EventLoopThread, here_of

_GIVEN_UP = 5.0  # seconds: a loop that is blocked for longer is left to its function, and a new one starts
_TIDYING = 0.5  # seconds that a cancelled function has for its `finally`


class AsyncFunctions:
    """All async functions share one loop, so that clients and locks that they keep are usable from call to call."""

    def __init__(self, notify: Callable[[str], None] = print) -> None:
        self._thread = EventLoopThread(FUNCTIONS, notify)

    async def run(self, value: Awaitable[Any], name: str) -> Any:
        """Awaits `value` on the functions' loop; on a loop that is not ours (`NAME.graph.ainvoke`) right here.

        Raises:
            CodeExit: it raised what is no ordinary error; other errors as they are.
        """
        if threading.current_thread().name != ENGINE:
            return await _awaited(value)
        if self._thread.silence() > _GIVEN_UP:
            self._thread.leave()
        thread, loop, tasks = self._thread, self._thread.loop, list[asyncio.Task[Any]]()

        async def there() -> Any:
            tasks.extend(filter(None, [asyncio.current_task()]))
            return await _awaited(value)

        call = FunctionCall(name, lambda: None, thread.submit(there()))
        owner = Owner.current()
        if owner is not None:
            owner.add(call)
        here = here_of(call.future)
        try:
            while not here.done():
                await asyncio.wait({here}, timeout=BLOCKED)
                busy = thread.busy_with if thread.silence() >= BLOCKED and not here.done() else ""
                if busy and owner is not None:
                    owner.remark(f"{busy} blocks the loop of all async functions: make it a plain `def`")
            return here.result()
        except asyncio.CancelledError:
            if not here.done():
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
                await asyncio.wait({here}, timeout=_TIDYING)
            raise

    def forget(self) -> None:
        """Drops the loop in a forked process."""
        self._thread.forget()

    def close(self) -> None:
        """Stop the loop. Safe to call twice."""
        self._thread.close()


async def _awaited(value: Awaitable[Any]) -> Any:
    with contained_await():
        return await value
