"""The threads in which functions of the notebook run.

They are apart from asyncio's default executor, so that a function that never returns takes no thread from others, and
they are daemons, so that it does not keep the process from ending. At most `MOST` calls run at once. A call that nobody
waits for any more (time limit, Stop) gives up its place. If no place becomes free for a while, one more thread starts.
So stuck functions cost others little, and functions that run orchestrations with functions cannot block each other.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orchmagic.core.user_code import contained

T = TypeVar("T")

MOST = 64  # calls at once
_PATIENCE = 0.5  # seconds without a free place until one more thread starts
_GRACE, _POLLS = 0.2, 10  # seconds for functions to return after their run was stopped, and how often to look
_IDLE = 10.0  # seconds until an idle thread ends


@dataclass(eq=False)
class FunctionCall:
    """One call of a function. `name` is for people; `abandoned`: nobody waits for it, `leave` is called then."""

    name: str
    function: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)
    abandoned: bool = False
    leave: Callable[[], None] | None = None


@dataclass(eq=False)
class Owner:
    """Who calls functions: a run. `calls` have not returned; `remark` takes what is to be shown at the run's end."""

    remark: Callable[[str], None] = lambda _: None
    calls: set[FunctionCall] = field(default_factory=set)

    @staticmethod
    def current() -> Owner | None:
        """The owner of the calls that are made here; None outside a run."""
        return _OWNER.get()

    def add(self, call: FunctionCall) -> None:
        """Counts the call among `calls` until it returns."""
        self.calls.add(call)
        call.future.add_done_callback(lambda _: self.calls.discard(call))

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Makes this the owner of all calls inside."""
        token = _OWNER.set(self)
        try:
            yield
        finally:
            _OWNER.reset(token)

    async def unfinished(self) -> str:
        """`; search('x') has not returned` for calls that do not return within a moment; "" without one."""
        for _ in range(_POLLS):
            if self.calls:
                await asyncio.sleep(_GRACE / _POLLS)
        names = list(dict.fromkeys(call.name for call in tuple(self.calls)))
        return f"; {', '.join(names)} {'has' if len(names) == 1 else 'have'} not returned" if names else ""


_OWNER: ContextVar[Owner | None] = ContextVar("orchmagic_function_owner", default=None)
_CALL: ContextVar[FunctionCall | None] = ContextVar("orchmagic_function_call", default=None)


def current() -> FunctionCall | None:
    """The call that this thread runs; None elsewhere."""
    return _CALL.get()


async def in_thread(function: Callable[[], T], name: str) -> T:
    """Runs `function` in a thread, in a copy of the current context; `name` is what people read of a stuck call.

    A cancel returns at once, whatever the function does.

    Raises:
        CodeExit: it raised what is no ordinary error; other errors as they are.
    """
    call = FunctionCall(name, function)
    owner = Owner.current()
    if owner is not None:
        owner.add(call)
    THREADS.submit(call)
    try:
        return await asyncio.wrap_future(call.future)
    except asyncio.CancelledError:
        THREADS.abandon(call)
        raise


class FunctionThreads:
    """A pool of daemon threads that grows beyond `MOST` only by one each half second, while none becomes free."""

    def __init__(self) -> None:
        self.calls: set[FunctionCall] = set()  # at work
        self._waiting: deque[tuple[FunctionCall, Callable[[], None]]] = deque()
        self._changed = threading.Condition()
        self._places = 0  # threads, without those whose call was abandoned
        self._idle = 0
        self._taken = 0  # how many calls were started
        self._relieving = False

    @property
    def at_work(self) -> list[str]:
        """The names of the calls that have not returned, each once."""
        return list(dict.fromkeys(call.name for call in tuple(self.calls)))

    def submit(self, call: FunctionCall) -> None:
        """Runs the call in the current context as soon as there is a place."""
        context = copy_context()
        with self._changed:
            self._waiting.append((call, lambda: context.run(_run, call)))
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif self._places < MOST:
                self._start()
            elif not self._relieving:
                self._relieving = True
                _start_thread(self._relieve, "orchmagic-relief")

    def abandon(self, call: FunctionCall) -> None:
        """Gives the place of a call to another one. Its thread ends when the function returns."""
        with self._changed:
            if call not in self.calls or call.abandoned:
                return
            call.abandoned = True
            self._places -= 1
            if self._waiting and not self._idle:
                self._start()
        if call.leave is not None:
            call.leave()

    def _start(self) -> None:
        self._places += 1
        _start_thread(self._work, "orchmagic-function")

    def _work(self) -> None:
        while (job := self._next()) is not None:
            call, run = job
            if call.future.set_running_or_notify_cancel():
                run()
            with self._changed:
                self.calls.discard(call)
                if call.abandoned:
                    return

    def _next(self) -> tuple[FunctionCall, Callable[[], None]] | None:
        with self._changed:
            self._idle += 1
            has_work = self._changed.wait_for(lambda: self._waiting, _IDLE)
            self._idle -= 1
            if not has_work:
                self._places -= 1
                return None
            job = self._waiting.popleft()
            self.calls.add(job[0])
            self._taken += 1
            return job

    def _relieve(self) -> None:
        """Starts a thread whenever calls wait and none was taken for a while."""
        while True:
            taken = self._taken
            time.sleep(_PATIENCE)
            with self._changed:
                if not self._waiting:
                    self._relieving = False
                    return
                if self._taken == taken:
                    self._start()


def _start_thread(work: Callable[[], None], name: str) -> None:
    """Starts a daemon thread with an empty context: it outlives the step that starts it."""
    Context().run(threading.Thread(target=work, name=name, daemon=True).start)


def _run(call: FunctionCall) -> None:
    _CALL.set(call)
    try:
        with contained():
            value = call.function()
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        call.future.set_exception(error)
    else:
        call.future.set_result(value)


THREADS = FunctionThreads()


def _forget_threads() -> None:
    """In a forked process the threads are gone."""
    THREADS.__init__()  # type: ignore[misc]  # the object is shared, its state begins again


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
