"""Open LangGraph's checkpointer for paused runs: SQLite, or Postgres by URL. State is JSON, never pickled."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from orchmagic.errors import SettingsError, StoreError
from orchmagic.storage.database import may_be_damage, retry_while_locked

_SCHEMES = ("postgresql://", "postgres://")
Close = Callable[[], Awaitable[None]]


async def open_saver(where: str | Path) -> tuple[Any, Close]:
    """Return (checkpointer, close function) for the running loop; `where` is a file or a `postgresql://` URL.

    Raises:
        SettingsError: it cannot be opened; the text says what to write.
        StoreError: the file is damaged in no way, but cannot be written: a read-only or full disk, no folder.
    """
    match where:
        case Path():
            return await _sqlite(where)
        case str(url) if url.startswith(_SCHEMES):
            return await _postgres(url)
    scheme = str(where).partition("://")[0]  # the rest may hold a password
    write = "write postgresql://user@host/database, or leave it out for SQLite"
    raise SettingsError(f"checkpoints is {scheme!r}: {write}")


async def _sqlite(file: Path) -> tuple[Any, Close]:
    try:
        with closing(await asyncio.to_thread(retry_while_locked, lambda: _held(file))):
            return await _set_up(file)
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, OSError) or not may_be_damage(error):
            raise StoreError(f"the checkpoints {file} cannot be written ({error})") from None
        write = "move the file away to begin a new one"
        raise SettingsError(f"the checkpoints {file} cannot be used ({error}): {write}") from None


async def _set_up(file: Path) -> tuple[Any, Close]:
    import aiosqlite  # noqa: PLC0415 - only needed at the first pause
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer  # noqa: PLC0415 - heavy
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # noqa: PLC0415 - heavy

    connection = await aiosqlite.connect(file)
    saver = AsyncSqliteSaver(connection, serde=JsonPlusSerializer(pickle_fallback=False))
    try:
        await saver.setup()
    except BaseException:
        await connection.close()
        raise
    return saver, connection.close


def _held(file: Path) -> sqlite3.Connection:
    """Create the file with mode 0600 and hold it open, so that no other kernel's exit removes SQLite's log."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)
    connection = sqlite3.connect(file, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        connection.close()
        raise
    return connection


async def _postgres(url: str) -> tuple[Any, Close]:
    try:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver  # noqa: PLC0415 - an extra
        from psycopg import AsyncConnection, Error  # noqa: PLC0415 - as above
        from psycopg.rows import dict_row  # noqa: PLC0415 - as above
    except ImportError:
        raise SettingsError('checkpoints in Postgres need an extra: pip install "orchmagic[postgres]"') from None
    try:
        connection = await AsyncConnection.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row)
    except (Error, UnicodeError) as error:
        raise _unreachable(url, error) from None
    saver = AsyncPostgresSaver(connection)
    try:
        await saver.setup()
    except Error as error:
        await connection.close()
        raise _unreachable(url, error) from None
    return saver, connection.close


def _unreachable(url: str, error: Exception) -> SettingsError:
    """Return an error with the first line of `error`, without the password that the URL may hold."""
    host = url.rpartition("@")[2].partition("?")[0]
    first = (str(error).strip().splitlines() or [type(error).__name__])[0].replace(url, host)
    return SettingsError(f"the database of the checkpoints ({host}) cannot be used: {first}")
