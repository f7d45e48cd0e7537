"""Bridges sync and async code: an event loop on its own thread, and an interruptible wait.

`asyncio.run` is not possible in the kernel's thread: the kernel's own loop already runs there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

Q = TypeVar("Q")
T = TypeVar("T")

_TICK = 0.1  # a pending SIGINT is only seen between waits (ipykernel#881)
PATIENCE = 0.9  # seconds for a cancelled run to complete its trace


class EventLoopThread:
    """Runs coroutines on a daemon thread, which starts with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; starts its thread when needed."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="orchmagic-loop", daemon=True)
                self._thread.start()
            return self._loop

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's thread."""
        return self._thread is threading.current_thread()

    def must_not_be_current(self) -> None:
        """Raises RuntimeError on the loop's thread, which must not wait for itself."""
        if self.is_current:
            raise RuntimeError("this call waits for the loop it runs on: use `await NAME.arun(…)` here")

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start `work`; call from any thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def wait(self, future: concurrent.futures.Future[T]) -> T:
        """Waits for the result of `future`. An interrupt (SIGINT) cancels it and is raised again."""
        self.must_not_be_current()
        try:
            while not future.done():
                concurrent.futures.wait([future], timeout=_TICK)
        except KeyboardInterrupt:
            future.cancel()
            raise
        return future.result()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Start `work` and wait for it."""
        return self.wait(self.submit(work))

    def on_loop(self, action: Callable[[], None]) -> None:
        """Runs `action` on the loop's thread and waits; does nothing if the thread does not exist."""
        if self._loop is None:
            return

        async def there() -> None:
            action()

        self.run(there())

    def on_own_loop(self, call: Callable[[Q], Awaitable[T]]) -> Callable[[Q], Awaitable[T]]:
        """Wraps `call` for use on other loops: it still runs on this loop, which owns the HTTP clients."""

        async def there(question: Q) -> T:
            return await call(question)

        async def here(question: Q) -> T:
            return await asyncio.wrap_future(self.submit(there(question)))

        return here

    def close(self) -> None:
        """Stop the loop. Safe to call twice."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(PATIENCE)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Body of the thread: runs the loop until it is stopped, then cancels open tasks and closes it."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def waited(future: concurrent.futures.Future[T]) -> T:
    """Awaits `future` on another loop, such as the kernel's; an interrupt is seen between two ticks."""
    here = asyncio.wrap_future(future)
    while not here.done():
        await asyncio.wait({here}, timeout=_TICK)
    return here.result()


def settle(done: threading.Event) -> bool:
    """Waits up to `PATIENCE` seconds for a cancelled run to finish its record; False on timeout."""
    return done.wait(PATIENCE)
