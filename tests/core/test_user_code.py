"""Code that is not ours: what it raises becomes an error, and a cancel or a Ctrl-C stays what it is."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from orchmagic.core.function_threads import in_thread
from orchmagic.core.user_code import busy_function, contained, contained_await, described
from orchmagic.errors import CodeExit


class PanicException(BaseException):
    """A Rust panic, as pyo3 raises it."""


NO_ERRORS = [
    SystemExit(2),
    KeyboardInterrupt(),
    StopIteration(),
    StopAsyncIteration(),
    GeneratorExit(),
    asyncio.CancelledError(),
    PanicException("index out of bounds"),
]


def raising(error):
    def function():
        raise error

    return function


async def raising_async(error):
    raise error


def in_other_thread(function):
    found = []

    def work():
        try:
            with contained():
                function()
        except BaseException as error:  # noqa: BLE001 - looked at below
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("error", NO_ERRORS, ids=lambda e: type(e).__name__)
def test_what_is_no_error_becomes_one_with_its_cause(error):
    found = in_other_thread(raising(error))
    assert isinstance(found, CodeExit)
    assert found.__cause__ is error
    assert str(found).startswith(type(error).__name__)


@pytest.mark.parametrize("error", NO_ERRORS, ids=lambda e: type(e).__name__)
async def test_a_future_holds_all_of_them(error):
    with pytest.raises(CodeExit, match=type(error).__name__):
        await asyncio.wait_for(in_thread(raising(error), "f"), 20)


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("x"), RecursionError(), MemoryError()], ids=repr)
async def test_an_error_stays_what_it_is(error):
    with pytest.raises(type(error)):
        await in_thread(raising(error), "f")


def test_the_main_thread_hears_its_ctrl_c_and_no_exit():
    with pytest.raises(KeyboardInterrupt), contained():
        raise KeyboardInterrupt
    with pytest.raises(CodeExit), contained():
        raise SystemExit


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), StopAsyncIteration()], ids=repr)
async def test_what_an_async_function_raises_is_an_error(error):
    with pytest.raises(CodeExit, match=type(error).__name__), contained_await():
        await raising_async(error)


async def test_a_cancel_of_the_task_passes():
    async def waits():
        with contained_await():
            await asyncio.Event().wait()

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_errors_of_threads_and_loops_say_what_to_write():
    connection = sqlite3.connect(":memory:")
    found = in_other_thread(lambda: connection.execute("select 1"))
    connection.close()
    assert "check_same_thread=False" in described(found)
    assert "inside the function" in described(RuntimeError("Task got Future attached to a different loop"))
    assert described(RuntimeError("no")) == "RuntimeError: no"


PLACES = [
    ("<ipython-input-3-ab>", {"__name__": "__main__"}, "rude (line 2)"),
    ("<ipython-input-3-ab>", {}, "rude (line 2)"),
    ("/tmp/ipykernel_7/12.py", {"__name__": "__main__"}, "rude (line 2)"),
    (str(Path.cwd() / "helpers.py"), {"__name__": "helpers"}, "rude (line 2)"),
    ("<string>", {"__name__": "__main__"}, "rude (line 2)"),
    ("<string>", {"__name__": "orchmagic.trace.events"}, ""),
    ("<attrs generated init x>", {"__name__": "some.package"}, ""),
    (asyncio.__file__, {"__name__": "asyncio"}, ""),
]


@pytest.mark.parametrize(("file", "space", "named"), PLACES)
def test_a_busy_function_is_named_if_it_is_of_the_notebook(file, space, named):
    started, over = threading.Event(), threading.Event()
    text = "def rude():\n    started.set() or over.wait(10)\n"
    exec(compile(text, file, "exec"), space := space | {"started": started, "over": over})
    thread = threading.Thread(target=space["rude"])
    thread.start()
    try:
        assert started.wait(10)
        assert busy_function(thread.ident) == named
    finally:
        over.set()
        thread.join()
