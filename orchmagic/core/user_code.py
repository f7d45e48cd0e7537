"""Calls code that is not ours: functions, expressions, templates and classes of the notebook, and plug-ins.

Such code may raise what ends a thread, an event loop or a process (`sys.exit`, KeyboardInterrupt, a Rust panic), or
what a future cannot hold (StopIteration). Every place that enters it uses `contained`, which makes an error of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchmagic.errors import CodeExit

_HINTS = {
    "StopIteration": "next() found nothing: write next(…, None)",
    "StopAsyncIteration": "anext() found nothing: write anext(…, None)",
    "SystemExit": "sys.exit, exit() or argparse ended the function",
}
_THREAD = (
    "notebook functions run in threads: open the connection inside the function, or with "
    "sqlite3.connect(…, check_same_thread=False)"
)
_LIST = "a table or an array arrives as a list: pandas.DataFrame(…) makes a table of it"
_LOOP = "async functions run on an event loop of their own: make the client or the task inside the function"
_LOOP_WORDS = ("different loop", "different event loop", "Event loop is closed", "no running event loop")
_PATHS = sysconfig.get_paths()
_PACKAGE = str(Path(__file__).parents[1])
_NOT_THEIRS = (_PACKAGE, _PATHS["stdlib"], _PATHS["purelib"], _PATHS["platlib"], "<frozen", "<cell>", "<template>")


@contextmanager
def contained() -> Iterator[None]:
    """Around a call of code that is not ours: raises its errors, and as `CodeExit` what is no ordinary error.

    In the main thread a KeyboardInterrupt is the user's own Ctrl-C and passes.

    Raises:
        CodeExit: the code raised SystemExit, StopIteration, a panic or another BaseException, which is its cause.
    """
    try:
        yield
    except (StopIteration, StopAsyncIteration) as error:
        raise CodeExit(described(error)) from error
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        raise CodeExit(described(error)) from error


@contextmanager
def contained_await() -> Iterator[None]:
    """Like `contained`, around an `await`: a cancel of the task passes."""
    try:
        with contained():
            yield
    except CodeExit as error:
        if isinstance(error.__cause__, asyncio.CancelledError) and _is_cancelled():
            raise error.__cause__ from None
        raise


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def described(error: BaseException) -> str:
    """An error of the user's code in one line: its type and text, and for some what to write instead."""
    if isinstance(error, CodeExit):
        return str(error)
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    hint = _HINTS.get(type(error).__name__) or _place_hint(error)
    return f"{text} ({hint})" if hint else text


def _place_hint(error: BaseException) -> str:
    """What to write if the code used an object of another thread or event loop, or rows as a table."""
    words = str(error)
    if isinstance(error, AttributeError) and words.startswith("'list' object has no"):
        return _LIST
    if isinstance(error, sqlite3.ProgrammingError) and "thread" in words:
        return _THREAD
    return _LOOP if isinstance(error, RuntimeError) and any(w in words for w in _LOOP_WORDS) else ""


def busy_function(thread: int) -> str:
    """The notebook function in which a thread (its ident) is, as `rude (line 3)`; "" if it is in none."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, for debuggers
    frames = []
    while frame is not None:
        if _is_theirs(frame.f_code.co_filename, frame.f_globals.get("__name__")):
            frames.append(frame)
        frame = frame.f_back
    return f"{frames[-1].f_code.co_name} (line {frames[0].f_lineno})" if frames else ""


def _is_theirs(file: str, module: str | None) -> bool:
    """Whether code is of the notebook; generated code (a dataclass's `__init__`) is if its module is `__main__`."""
    is_generated = file.startswith("<") and not file.startswith("<ipython-input")
    return not file.startswith(_NOT_THEIRS) and (module == "__main__" or not is_generated)
