"""The default cache: diskcache in a private folder, JSON text only (`_text_disk.py` says why)."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from diskcache import Timeout  # type: ignore[import-untyped]  # it ships no types
from diskcache.core import DBNAME  # type: ignore[import-untyped]  # as above

from orchmagic.errors import SettingsError
from orchmagic.models.cache import CachePlug, Complaints
from orchmagic.models.cache.stores._text_disk import GoneError, RefusedError, TextStore
from orchmagic.storage.sqlite_files import is_damaged, is_log_without_file, may_be_damage, process_lock, put_aside

T = TypeVar("T")

_SIZE = 2**30  # bytes; the oldest answers are removed first
_LOCKED = 5.0  # seconds to wait while another process writes
_AGAIN = 60.0  # seconds until a folder that could not be opened is tried again
_LOOKS = 3  # attempts to read an entry whose file is being replaced
_ORPHAN = 3600.0  # seconds; an older file without an entry was left by a killed process
_SUM = 8  # hex digits of the checksum

# the errors of sqlite3, diskcache and json for a full disk, another owner or a manipulated row
_TROUBLE = (
    sqlite3.Error, Timeout, RefusedError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError,
)  # fmt: skip  # one line each says no more

_TABLES = frozenset({"Cache", "Settings"})


class DiskCache:
    """Stores answers in `folder` (mode 0700), shared by all kernels of this user. `size` in bytes.

    An unreadable answer or one with a wrong checksum is a miss. A damaged file is moved to `damaged/` and replaced by
    a new one, which other kernels find at their next use. A folder that cannot be opened is tried again after a
    minute, or after `close`. Each of these causes one CacheWarning.
    """

    def __init__(self, folder: Path, size: int = _SIZE, clock: Callable[[], float] = time.monotonic) -> None:
        if size <= 0:
            raise ValueError(f"size is {size}: write a number of bytes")
        self.folder = folder
        self._lock_file = folder / "lock"
        self._size = size
        self._clock = clock
        self._store: TextStore | None = None
        self._given_up: float | None = None
        self._lock = threading.RLock()
        self._complain = Complaints()

    def get(self, key: str) -> dict[str, Any] | None:
        return self._try("read", lambda store: _object(key, _text(store, key)), None)

    def set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> None:
        # ASCII escapes: a lone surrogate in a reply has no UTF-8 form to be stored in
        self._try("written", lambda store: store.set(key, _signed(key, json.dumps(dict(value))), expire=ttl), None)

    def delete(self, key: str) -> None:
        self._try("written", lambda store: store.delete(key), None)

    def clear(self) -> int:
        count = int(self._must(lambda store: store.clear()))
        self._sweep()
        return count

    def stats(self) -> dict[str, Any]:
        entries, size = self._must(lambda store: (len(store), int(store.volume())))
        return {"entries": entries, "bytes": size, "path": str(self.folder)}

    def close(self) -> None:
        """Close the file, for all threads; a later use opens it again."""
        with self._lock:
            self._given_up = None
            self._let_go()

    def _try(self, doing: str, action: Callable[[TextStore], T], otherwise: T) -> T:
        if self._given_up is not None and self._clock() < self._given_up:
            return otherwise
        try:
            return self._healing(action)
        except _TROUBLE as error:
            self._complain(
                doing, f"the cache in {self.folder} cannot be {doing} ({_cause(error)}): going on without it"
            )
            return otherwise

    def _must(self, action: Callable[[TextStore], T]) -> T:
        try:
            return self._healing(action)
        except _TROUBLE as error:
            raise SettingsError(
                f"the cache in {self.folder} cannot be used ({_cause(error)}): make the folder writable, or set "
                "ORCHMAGIC_CACHE_DIR to another"
            ) from error

    def _healing(self, action: Callable[[TextStore], T]) -> T:
        """Run `action`; if the file is damaged, move it away and run `action` on a new one."""
        with self._lock:
            try:
                return action(self._opened())
            except (sqlite3.Error, Timeout, OSError) as error:
                gone = self._store is not None and self._store.moved  # another process has replaced it
                if self._store is not None:
                    self._store.undo()
                if not gone and not self._healed(_cause(error)):
                    raise
                self._let_go()
                return action(self._opened())

    def _opened(self) -> TextStore:
        if self._store is not None and self._store.moved:  # by another process that found it damaged, or by a person
            self._let_go()
        if self._store is None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self.folder.chmod(0o700)  # an older folder too
                with process_lock(self._lock_file):
                    if is_log_without_file(self.folder / DBNAME):
                        self._move_aside(f"{DBNAME} is gone")
                    self._store = TextStore(str(self.folder), _LOCKED, self._size)
            except (sqlite3.OperationalError, OSError):
                self._given_up = self._clock() + _AGAIN  # else every call could wait as long as this one
                raise
            self._given_up = None
        return self._store

    def _let_go(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _healed(self, error: BaseException) -> bool:
        """Move the file away if it is damaged; whether it was."""
        if not may_be_damage(error):
            return False
        with process_lock(self._lock_file):
            damage = is_damaged(self.folder / DBNAME, _TABLES)
            if damage:
                self._move_aside(str(error))
        return damage

    def _move_aside(self, why: str) -> None:
        """Move the files to `damaged/`, replacing those of an earlier failure."""
        aside = self.folder / "damaged"
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(aside)
        aside.mkdir(mode=0o700)
        put_aside(self.folder / DBNAME, aside / DBNAME)
        for old in self.folder.glob("[0-9a-f][0-9a-f]"):
            with contextlib.suppress(FileNotFoundError):
                old.rename(aside / old.name)
        self._complain("heal", f"the cache in {self.folder} is damaged ({why}): moved to {aside}, begun anew")

    def _sweep(self) -> None:
        """Delete value files without an entry, left by processes that were killed while writing."""
        for file in self.folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*.val"):
            with contextlib.suppress(OSError):  # another process may delete it too
                if time.time() - file.stat().st_mtime > _ORPHAN:
                    file.unlink()


def _text(store: TextStore, key: str) -> str | None:
    for _ in range(_LOOKS):
        with contextlib.suppress(GoneError):
            text: str | None = store.get(key)
            return text
    return None


def _signed(key: str, text: str) -> str:
    return f"{zlib.crc32(f'{key} {text}'.encode()):0{_SUM}x}{text}"


def _object(key: str, signed: str | None) -> dict[str, Any] | None:
    if signed is None:
        return None
    text = signed[_SUM:]
    if signed != _signed(key, text):
        raise RefusedError("a stored answer is not as it was written")
    value = json.loads(text)
    if not isinstance(value, dict):
        raise RefusedError(f"a stored value is a {type(value).__name__}, not an object")
    return value


def _cause(error: BaseException) -> BaseException:
    """The SQLite error behind `error`: diskcache raises a bare Timeout if it cannot begin to write."""
    inner = error.__context__ if isinstance(error, Timeout) else None
    return inner if isinstance(inner, sqlite3.Error) else error


plug = CachePlug("disk", lambda folder: DiskCache(Path(folder)))
