"""Runs the writes of a database in order on a thread of their own, so that no event loop waits for a locked file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable

from orchmagic.storage.sqlite_files import RETRY_EVERY


class WriterThread:
    """Runs jobs in order on a daemon thread. A job that finds the file locked is run again until it is not.

    `run` runs one job and returns whether it was committed. `locked` is called once a job waits for SAY seconds.
    """

    SAY = 3.0

    def __init__(self, run: Callable[[Callable[[], None]], bool], locked: Callable[[], None]) -> None:
        self._run = run
        self._locked = locked
        self._jobs: deque[tuple[Callable[[], None], Callable[[bool], None]]] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ends = False
        self._process = os.getpid()

    def post(self, job: Callable[[], None], done: Callable[[bool], None]) -> None:
        """Add a job."""
        with self._change:
            self._jobs.append((job, done))
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="orchmagic-history", daemon=True)
                self._thread.start()
            self._change.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until no job is left; False if some are after `seconds`. True in a forked child, which has no thread."""
        if self._process != os.getpid():
            return True
        with self._change:
            return self._change.wait_for(lambda: not self._jobs, seconds)

    def close(self, seconds: float) -> bool:
        """Run the jobs that are left, for at most `seconds`, and end the thread; False if some were left."""
        done = self.flush(seconds)
        with self._change:
            self._ends = True
            self._change.notify_all()
        if self._thread is not None and self._process == os.getpid():
            self._thread.join(seconds)
        return done

    def _serve(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._jobs or self._ends)
                if self._ends:
                    return
                job, done = self._jobs[0]
            committed = self._until_done(job)
            with contextlib.suppress(Exception):  # the session may be closing; the thread goes on
                done(committed)
            with self._change:
                self._jobs.popleft()
                self._change.notify_all()

    def _until_done(self, job: Callable[[], None]) -> bool:
        began, said = time.monotonic(), False
        while not self._ends:
            try:
                return self._run(job)
            except sqlite3.OperationalError:
                if not said and time.monotonic() - began > self.SAY:
                    said = True
                    with contextlib.suppress(Warning):  # a thread has nobody to raise it to
                        self._locked()
                time.sleep(RETRY_EVERY)
            except Exception:  # noqa: BLE001 - of one job, such as a value that is no JSON: the others go on
                return False
        return False
