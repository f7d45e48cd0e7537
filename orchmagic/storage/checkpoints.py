"""Open LangGraph's checkpointer for paused runs: SQLite, or Postgres by URL.

State is JSON and LangGraph's interrupts. Nothing else is read: LangGraph's own serializer imports and calls what a
stored checkpoint names, so a planted row would run code. State that holds an API key is not stored: the run waits in
memory, and in another kernel it starts again from its record.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from orchmagic.core.redaction import KeyValues
from orchmagic.errors import SettingsError, StoreError
from orchmagic.storage.sqlite_files import may_be_damage, retry_while_locked


class UnreadableCheckpointError(ValueError):
    """A stored checkpoint holds something else than JSON and interrupts; it was not read."""


_SCHEMES = ("postgresql://", "postgres://")
Close = Callable[[], Awaitable[None]]


async def open_saver(where: str | Path, keys: KeyValues | None = None) -> tuple[Any, Close]:
    """Return (checkpointer, close function) for the running loop; `where` is a file or a `postgresql://` URL.

    State with one of the `keys` stays in memory.

    Raises:
        SettingsError: it cannot be opened; the text says what to write.
        StoreError: the file is damaged in no way, but cannot be written: a read-only or full disk, no folder.
    """
    from orchmagic.storage.keyless_checkpoints import KeylessSaver  # noqa: PLC0415 - heavy

    match where:
        case Path():
            saver, close = await _sqlite(where)
        case str(url) if url.startswith(_SCHEMES):
            saver, close = await _postgres(url)
        case _:
            scheme = str(where).partition("://")[0]  # the rest may hold a password
            write = "write postgresql://user@host/database, or leave it out for SQLite"
            raise SettingsError(f"checkpoints is {scheme!r}: {write}")
    return KeylessSaver(saver, KeyValues() if keys is None else keys), close


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
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # noqa: PLC0415 - heavy

    connection = await aiosqlite.connect(file)
    saver = AsyncSqliteSaver(connection, serde=serializer())
    try:
        await saver.setup()
    except BaseException:
        await connection.close()
        raise
    return saver, connection.close


def serializer() -> Any:
    """Return a serializer that reads msgpack of JSON and interrupts; it raises UnreadableCheckpointError for others."""
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer  # noqa: PLC0415 - heavy

    class PlainSerializer(JsonPlusSerializer):
        def loads_typed(self, data: tuple[str, bytes]) -> Any:
            if data[0] not in _TYPES:  # "json" builds what it names, "pickle" calls it
                raise UnreadableCheckpointError(f"a stored checkpoint of type {data[0]!r} is not read")
            try:
                return super().loads_typed(data)
            except ValueError as error:
                raise UnreadableCheckpointError(f"a checkpoint is not read: {error.__cause__ or error}") from None

    return PlainSerializer(pickle_fallback=False, __unpack_ext_hook__=_interrupt)


_TYPES = {"null", "msgpack", "bytes"}
_BY_NAME = 2  # LangGraph's code of an object in msgpack: (module, name, fields)


def _interrupt(code: int, data: bytes) -> Any:
    """Rebuild an interrupt, the only object in our checkpoints.

    Raises:
        UnreadableCheckpointError: it is another object.
    """
    import ormsgpack  # noqa: PLC0415 - comes with LangGraph
    from langgraph.types import Interrupt  # noqa: PLC0415 - heavy

    option = ormsgpack.OPT_NON_STR_KEYS
    match ormsgpack.unpackb(data, ext_hook=_interrupt, option=option) if code == _BY_NAME else None:
        case ["langgraph.types", "Interrupt", {"value": value, "id": str() as id_}]:
            return Interrupt(value=value, id=id_)
    raise UnreadableCheckpointError("it names an object, which would be built or called")


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
    saver = AsyncPostgresSaver(connection, serde=serializer())
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
