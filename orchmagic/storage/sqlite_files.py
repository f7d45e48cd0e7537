"""SQLite files that several processes share: is one damaged, is it still the one that was opened, who puts it aside?

SQLite's write-ahead log belongs to one file and is found by its name only. So who opens a file and who puts one
aside each do it `alone`, and who has one open looks, before each use, whether the name still means the same file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_PATIENCE = 5.0  # seconds to wait for another process
_TICK = 0.01  # seconds between two tries
_OTHERS = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a file

# what a damaged file may make SQLite say; a table that is missing is an ERROR, a file that is cut short may be an IOERR
_DOUBTFUL = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR}


def doubtful(error: BaseException) -> bool:
    """Whether it is worth a look at the file; locked, full, or not ours is no damage."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF in _DOUBTFUL


def patiently(opening: Callable[[], T]) -> T:
    """Open a file, again and again while SQLite says "locked" without waiting: another process begins or ends its log.

    Raises:
        sqlite3.OperationalError: it is locked for longer than a few seconds, or cannot be opened.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return opening()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(_TICK)


def damaged(file: Path, tables: frozenset[str]) -> bool:
    """Whether SQLite cannot make sense of the file, or misses `tables`; False for one that is locked or not ours."""
    if torso(file):
        return True
    try:
        return patiently(lambda: not _sound(file, tables))
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError:
        return True


def _sound(file: Path, tables: frozenset[str]) -> bool:
    address = f"{file.absolute().as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(address, timeout=_PATIENCE, uri=True)) as opened:
        found = {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return found >= tables and opened.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)]


def torso(file: Path) -> bool:
    """Whether SQLite's log is there without the file that it belongs to: it must not meet a new one."""
    return not (file.is_file() and file.stat().st_size) and Path(f"{file}-wal").is_file()


def identity(path: str | Path) -> tuple[int, int] | None:
    """What a name means now; comparable as long as somebody has the file open."""
    try:
        found = os.stat(path)  # noqa: PTH116 - before each use: a Path takes five times as long
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """While no other process is in here with the same `lock`, a file that is made beside what it protects."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(sqlite3.Error):  # nothing can be locked where nothing can be written: go on
            held = sqlite3.connect(lock, timeout=_PATIENCE, isolation_level=None)  # a lock that every system has
            stack.callback(held.close)
            held.execute("BEGIN EXCLUSIVE")
        yield


def put_aside(file: Path, aside: Path) -> None:
    """Move the file to `aside`, with what SQLite keeps beside it. The file itself first: the others look at that.

    Raises:
        OSError: it cannot be moved.
    """
    for ending in ("", *_OTHERS):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{file}{ending}").replace(f"{aside}{ending}")
