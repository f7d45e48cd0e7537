"""Where rows run past this process: on worker processes of our own, on any `concurrent.futures.Executor`, on Dask.

An engine takes one block of rows as JSON text and gives its answers as JSON text; `row_worker` is the other end.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor
from contextlib import suppress
from typing import Any, Protocol

from orchmagic.errors import InputError, OrchError, RunError, SettingsError, nearest
from orchmagic.runtime.row_worker import SIZE, run_block

_NAMES = ("processes", "dask")
_FORM = "write processes, processes:4, dask, dask://HOST:PORT, or pass a concurrent.futures.Executor"
_PATIENCE = 10  # seconds until a scheduler has answered


class LostWorker(Exception):
    """A worker process ended while it ran a block; the block can be run again."""


class RowEngine(Protocol):
    """Runs blocks of rows, at most `slots` at once."""

    slots: int

    async def run(self, slot: int, block: str) -> str:
        """Runs a block and returns its answers; cancelling it stops the worker if the engine has started it.

        Raises:
            LostWorker: the worker ended.
            OrchError: the engine cannot run blocks.
        """

    async def close(self) -> None:
        """Ends the workers that the engine has started. Safe to call twice."""


def engine_of(given: object) -> Callable[[], RowEngine]:
    """Returns how to open the engine that `engine=` names, or that is an executor.

    Raises:
        InputError: it is neither.
    """
    if isinstance(given, str):
        kind, _, count = given.partition(":")
        if kind == "processes" and re.fullmatch(r"(:[1-9]\d{0,3})?", given[len(kind) :]):
            return lambda: Processes(int(count) if count else os.cpu_count() or 1)
        if given == "dask" or re.fullmatch(r"dask://[^\s/]+:\d+", given):
            return lambda: _dask(given.removeprefix("dask").removeprefix("://"))
        raise InputError(f"engine is {given!r}: {_FORM}{nearest(kind, _NAMES)}")
    if isinstance(given, Executor) or (callable(getattr(given, "submit", None)) and hasattr(given, "map")):
        return lambda: Submitting(given)
    raise InputError(f"engine is of type {type(given).__name__}: {_FORM}")


class Processes:
    """Worker processes on this machine, each with pipes of its own: one that is killed takes no other with it."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._running: dict[int, asyncio.subprocess.Process] = {}

    async def run(self, slot: int, block: str) -> str:
        if slot not in self._running:
            self._running[slot] = await _started()
        process = self._running[slot]
        assert process.stdin is not None
        assert process.stdout is not None
        data = block.encode("utf-8", "surrogatepass")
        try:
            process.stdin.write(len(data).to_bytes(SIZE) + data)
            await process.stdin.drain()
            size = int.from_bytes(await process.stdout.readexactly(SIZE))
            return (await process.stdout.readexactly(size)).decode("utf-8", "surrogatepass")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            await self._end(slot)
            raise LostWorker(f"it ended with code {process.returncode}") from error
        except BaseException:
            await self._end(slot)
            raise

    async def close(self) -> None:
        await asyncio.gather(*(self._end(slot) for slot in tuple(self._running)))

    async def _end(self, slot: int) -> None:
        process = self._running.pop(slot, None)
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(ConnectionError):
            await process.communicate()


async def _started() -> asyncio.subprocess.Process:
    """A worker in a session of its own, which an interrupt of the terminal does not reach."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from orchmagic.runtime.row_worker import serve; serve()",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environ, start_new_session=True,
    )  # fmt: skip


class Submitting:
    """An executor. `end` closes what was started for it; blocks that run on an executor of the user's end there."""

    def __init__(self, executor: Any, slots: int | None = None, end: Callable[[], None] = lambda: None) -> None:
        self.slots = slots or _workers(executor)
        self._executor = executor
        self._end = end

    async def run(self, slot: int, block: str) -> str:  # noqa: ARG002 - the executor chooses the worker
        try:
            return await asyncio.wrap_future(self._executor.submit(run_block, block))
        except BrokenExecutor as error:
            again = "what has an answer is kept: the same call with a new executor goes on"
            raise RunError(f"the executor lost a worker and takes no more work ({_line(error)}); {again}") from error
        except OrchError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {_line(error)}"
            raise RunError(
                f"the engine's workers cannot run rows: {why}. Install this version of orchmagic there"
            ) from error

    async def close(self) -> None:
        await asyncio.to_thread(self._end)


def _workers(executor: Any) -> int:
    """How many blocks an executor runs at once, as far as it says so."""
    client = getattr(executor, "_client", None)  # of Dask
    if callable(threads := getattr(client, "nthreads", None)):
        return sum(threads().values()) or 1
    known = getattr(executor, "_max_workers", None)
    return known if isinstance(known, int) and known > 0 else os.cpu_count() or 1


def _dask(address: str) -> Submitting:
    """The workers of the scheduler at HOST:PORT; without one, a cluster of this machine, until the rows are done."""
    try:
        from distributed import Client, LocalCluster  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("engine dask needs the package distributed: pip install 'orchmagic[dask]'") from None
    cluster = None
    if not address:
        cluster = LocalCluster(n_workers=os.cpu_count(), threads_per_worker=1, dashboard_address=None)
    try:
        client = Client(cluster or f"tcp://{address}", set_as_default=False, timeout=_PATIENCE)
    except (OSError, TimeoutError):
        raise InputError(f"no Dask scheduler answers at {address}: start one, or write --engine dask") from None

    def end() -> None:
        client.close()
        if cluster is not None:
            cluster.close()

    return Submitting(client.get_executor(pure=False), end=end)


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
