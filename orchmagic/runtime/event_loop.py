"""Bridges sync and async code: event loops on threads of their own, and an interruptible wait.

`asyncio.run` is not possible in the kernel's thread: the kernel's own loop already runs there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVar
from weakref import WeakSet

from orchmagic.core.user_code import busy_function
from orchmagic.errors import InputError

Q = TypeVar("Q")
T = TypeVar("T")

ENGINE = "orchmagic-loop"  # the thread of the runs
FUNCTIONS = "orchmagic-async"  # the thread of the notebook's async functions
BLOCKED = 1.0  # seconds without an answer of a loop until the function that blocks it is named
_TICK = 0.1  # a pending SIGINT is only seen between waits (ipykernel#881)
PATIENCE = 0.9  # seconds for a cancelled run to complete its trace
_FORKED = (
    "the run is at work in the process that this one was forked from, so its end is not seen here: wait for it "
    "there, or start a run here"
)


def here_of(future: concurrent.futures.Future[T]) -> asyncio.Future[T]:
    """`future` on the running loop. asyncio prints no error of it when nobody asks any more, because of a stop."""
    here = asyncio.wrap_future(future)
    here.add_done_callback(lambda done: done.cancelled() or done.exception())
    return here


class EventLoopThread:
    """Runs coroutines on a daemon thread, which starts with the first one. `notify` gets one line for the user."""

    def __init__(self, name: str = ENGINE, notify: Callable[[str], None] = print) -> None:
        self._name = name
        self._notify = notify
        self._said: set[str] = set()
        self.forget()

    def forget(self) -> None:
        """Drops loop and thread, which a forked process does not have; the next use starts new ones."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._asked_at: float | None = None  # when the loop was asked for a sign of life
        self._inherited: WeakSet[concurrent.futures.Future[Any]] = getattr(self, "_futures", WeakSet())
        self._futures: WeakSet[concurrent.futures.Future[Any]] = WeakSet()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; starts its thread when needed."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._asked_at = None
                self._thread = threading.Thread(target=self._serve, args=(self._loop,), name=self._name, daemon=True)
                Context().run(self._thread.start)  # the thread outlives the step that starts it
            return self._loop

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's thread."""
        return self._thread is threading.current_thread()

    def must_not_be_current(self) -> None:
        """Raises RuntimeError on the loop's thread, which must not wait for itself, and on that of async functions."""
        if self.is_current or threading.current_thread().name == FUNCTIONS:
            raise RuntimeError("this call waits for the loop it runs on: use `await NAME.arun(…)` here")

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start `work`; call from any thread."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        self._futures.add(future)
        return future

    def wait(self, future: concurrent.futures.Future[T], patience: float | None = None) -> T:
        """Waits for the result of `future`. An interrupt (SIGINT) cancels it and is raised again.

        Raises:
            TimeoutError: it took more than `patience` seconds.
        """
        self.must_not_be_current()
        if future in self._inherited and not future.done():
            raise InputError(_FORKED)
        until = None if patience is None else time.monotonic() + patience
        try:
            while not future.done():
                concurrent.futures.wait([future], timeout=_TICK)
                self.watch()
                if until is not None and time.monotonic() > until:
                    raise TimeoutError
        except KeyboardInterrupt:
            future.cancel()
            raise
        return future.result()

    async def waited(self, future: concurrent.futures.Future[T]) -> T:
        """Awaits `future` on another loop, such as the kernel's; an interrupt is seen between two ticks."""
        if future in self._inherited and not future.done():
            raise InputError(_FORKED)
        here = here_of(future)
        while not here.done():
            await asyncio.wait({here}, timeout=_TICK)
            self.watch()
        return here.result()

    def run(self, work: Coroutine[Any, Any, T], patience: float | None = None) -> T:
        """Start `work` and wait for it, at most `patience` seconds."""
        return self.wait(self.submit(work), patience)

    def silence(self) -> float:
        """Seconds for which the loop has given no sign of life. Asks for the next one; call it again and again."""
        loop, asked_at = self._loop, self._asked_at
        if loop is None:
            return 0.0
        if asked_at is not None:
            return time.monotonic() - asked_at
        self._asked_at = time.monotonic()
        loop.call_soon_threadsafe(self._alive)
        return 0.0

    def _alive(self) -> None:
        self._asked_at = None

    @property
    def busy_with(self) -> str:
        """The notebook function in which the loop's thread is, as `rude (line 3)`; "" if it is in none."""
        ident = self._thread.ident if self._thread is not None else None
        return "" if ident is None else busy_function(ident)

    def watch(self) -> None:
        """Names the notebook code that blocks the loop, once. Whoever waits for a run calls it at each tick."""
        if self.silence() < BLOCKED or not (busy := self.busy_with) or busy in self._said:
            return
        self._said.add(busy)
        self._notify(
            f"{busy} has blocked all runs for {BLOCKED:g} s: it runs where prompts and outputs are read. "
            "Call it in a code step, which has a thread of its own."
        )

    def on_loop(self, action: Callable[[], None]) -> None:
        """Runs `action` on the loop's thread and waits a moment; does nothing if the thread does not exist."""
        if self._loop is None:
            return

        async def there() -> None:
            action()

        self.finish(there())

    def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Start `work` while the session closes: waits a moment only, since notebook code may block the loop."""
        with suppress(TimeoutError):
            self.run(work, PATIENCE)

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

    def leave(self) -> None:
        """Lets the loop stop when it can, without waiting for it; the next use starts a new one."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Body of the thread: runs the loop until it is stopped, then cancels open tasks and closes it.

        SystemExit and KeyboardInterrupt of a task end `run_forever`. The task has them as its exception, and the loop
        goes on with the others.
        """
        asyncio.set_event_loop(loop)
        try:
            while True:
                try:
                    loop.run_forever()
                    break
                except BaseException:  # noqa: BLE001 - a task of the notebook must not end all runs
                    if self._loop is not loop:
                        break
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


def settle(done: threading.Event) -> bool:
    """Waits up to `PATIENCE` seconds for a cancelled run to finish its record; False on timeout."""
    return done.wait(PATIENCE)
