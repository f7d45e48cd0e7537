"""Runs the writes of a database in order, so that no event loop waits for a locked file.

What a turn of an event loop posts is written at its end, together, in one transaction: no thread has to be woken for
it. If the file is locked, and for what takes long or is posted elsewhere, a thread writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from orchmagic.storage.sqlite_files import RETRY_EVERY

if TYPE_CHECKING:
    from orchmagic.storage.database import Execute

Action: TypeAlias = Callable[["Execute"], object]
"""Runs statements in the transaction of the given function."""


class WriterThread:
    """Runs actions in order, on the event loop that posts them or on a daemon thread.

    Those that find the file locked are run again, on the thread, until it is not. `run` runs the first or more of some
    actions in one transaction and returns for each of these whether it was committed. `locked` is called once actions
    wait for SAY seconds.
    """

    SAY = 3.0
    AT_ONCE = 300  # actions in one transaction

    def __init__(self, run: Callable[[Sequence[Action]], Sequence[bool]], locked: Callable[[], None]) -> None:
        self._run = run
        self._locked = locked
        self._jobs: deque[tuple[Action, Callable[[bool], None]]] = deque()
        self._posted = 0  # how many, ever
        self._waiting: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._late = False  # the file is locked for longer than SAY: nobody waits for it
        lock = threading.RLock()
        self._change = threading.Condition(lock)  # told when jobs are done
        self._work = threading.Condition(lock)  # told when the thread has something to do: it is not woken for each job
        self._turn = threading.Lock()  # held while jobs run
        self._thread: threading.Thread | None = None
        self._on_thread = False  # the thread runs what there is
        self._turn_of: asyncio.AbstractEventLoop | None = None  # this loop will run them
        self._ends = False
        self._process = os.getpid()

    def post(self, action: Action, done: Callable[[bool], None], *, long: bool = False) -> None:
        """Add an action; `done(committed)` is called where it ran. `long`: it is run on the thread."""
        loop = None if long else _running_loop()
        with self._change:
            self._jobs.append((action, done))
            self._posted += 1
            if loop is None:
                self._hand_over()
            elif not self._on_thread and self._turn_of is not loop:
                self._turn_of = loop
                loop.call_soon(self._end_of_turn)

    def _hand_over(self) -> None:
        """Give all jobs to the thread; `_change` is held."""
        self._on_thread = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="orchmagic-history", daemon=True)
            self._thread.start()
        self._work.notify_all()

    def _end_of_turn(self) -> None:
        """Run the first jobs in the loop, unless the thread has them; it gets the rest. If the file is locked, all."""
        self._turn_of = None
        if not self._on_thread and self._turn.acquire(blocking=False):
            try:
                with contextlib.suppress(sqlite3.OperationalError, Warning):
                    self._run_some(self._run)
            finally:
                self._turn.release()
        with self._change:
            if self._jobs:
                self._hand_over()

    async def settled(self) -> None:
        """Wait until all that was posted is committed or refused, or the file is locked for longer than SAY seconds."""
        with self._change:
            if not self._jobs or self._late or self._process != os.getpid():
                return
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            self._waiting.append((self._posted, loop, future))
        await future

    def flush(self, seconds: float) -> bool:
        """Wait until all jobs posted before are done; False if some are not after `seconds`.

        True in a forked child, which has no thread.
        """
        if self._process != os.getpid():
            return True
        with self._change:
            if self._jobs:
                self._hand_over()
            last = self._posted
            return self._change.wait_for(lambda: self._posted - len(self._jobs) >= last, seconds)

    def close(self, seconds: float) -> bool:
        """Run the jobs that are left, for at most `seconds`, and end the thread; False if some were left."""
        done = self.flush(seconds)
        with self._change:
            self._ends = True
            self._work.notify_all()
        if self._thread is not None and self._process == os.getpid():
            self._thread.join(seconds)
        self._release(self._posted)
        return done

    def _serve(self) -> None:
        while True:
            with self._change:
                self._on_thread = bool(self._jobs)
                self._work.wait_for(lambda: self._on_thread or self._ends)
                if self._ends:
                    return
            with self._turn, contextlib.suppress(Warning):  # a thread has nobody to raise it to
                self._run_some(self._until_done)

    def _run_some(self, run: Callable[[Sequence[Action]], Sequence[bool]]) -> None:
        """Run the first jobs in one transaction and tell who waits for them; `_turn` is held."""
        with self._change:
            jobs = list(islice(self._jobs, self.AT_ONCE))
        if not jobs:
            return
        committed = run([action for action, _ in jobs])
        for (_, done), good in zip(jobs, committed, strict=False):
            with contextlib.suppress(Exception):  # the session may be closing; the thread goes on
                done(good)
        with self._change:
            self._late = False
            for _ in committed:
                self._jobs.popleft()
            self._change.notify_all()
        self._release(self._posted - len(self._jobs))

    def _release(self, done: int) -> None:
        """Let those go on who wait for the first `done` actions."""
        with self._change:
            ready = [waiter for waiter in self._waiting if waiter[0] <= done]
            self._waiting = [waiter for waiter in self._waiting if waiter[0] > done]
        here = _running_loop()
        for loop in {loop for _, loop, _ in ready}:
            futures = [future for _, of, future in ready if of is loop]
            if loop is here:
                _resolve(futures)
                continue
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_resolve, futures)

    def _until_done(self, actions: Sequence[Action]) -> Sequence[bool]:
        began = time.monotonic()
        while not self._ends:
            try:
                return self._run(actions)
            except sqlite3.OperationalError:
                if not self._late and time.monotonic() - began > self.SAY:
                    self._late = True
                    with contextlib.suppress(Warning):
                        self._locked()
                    self._release(self._posted)
                time.sleep(RETRY_EVERY)
        return [False] * len(actions)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _resolve(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
