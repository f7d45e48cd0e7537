"""A checkpointer that writes no API key: a thread whose state holds one is kept in memory; the others are stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver

from orchmagic.core.redaction import KeyValues


class KeylessSaver(BaseCheckpointSaver[Any]):
    """Stores threads without `keys` in the checkpointer `stored`, on its event loop.

    LangGraph writes the values of a step before or after its checkpoint. So they are in memory until the next one, too.
    """

    def __init__(self, stored: Any, keys: KeyValues) -> None:
        super().__init__(serde=stored.serde)
        self._stored = stored
        self._keys = keys
        self._memory = InMemorySaver()
        self._in_memory: set[str] = set()  # threads

    def get_next_version(self, current: Any, channel: None) -> Any:
        return self._stored.get_next_version(current, channel)

    async def aget_tuple(self, config: Any) -> Any:
        return await self._place(config).aget_tuple(config)

    async def alist(self, config: Any, **filters: Any) -> AsyncIterator[Any]:
        async for found in self._place(config).alist(config, **filters):
            yield found

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        if self._keys.holds([checkpoint, metadata]):
            await self._move(config)
        if self._is_stored(config):
            self._drop_writes(_thread(config), checkpoint["id"])
            return await self._stored.aput(config, checkpoint, metadata, new_versions)
        return await self._memory.aput(config, checkpoint, metadata, checkpoint["channel_versions"])

    async def aput_writes(
        self, config: Any, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        if self._keys.holds([_plain(value) for _, value in writes]):
            await self._move(config)
        await self._memory.aput_writes(config, writes, task_id, task_path)
        if self._is_stored(config):
            await self._stored.aput_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        self._in_memory.discard(thread_id)
        await self._memory.adelete_thread(thread_id)
        await self._stored.adelete_thread(thread_id)

    def _is_stored(self, config: Any) -> bool:
        return _thread(config) not in self._in_memory

    def _place(self, config: Any) -> Any:
        return self._stored if self._is_stored(config) else self._memory

    async def _move(self, config: Any) -> None:
        """Moves a thread to memory, with its checkpoint if it has one."""
        if not self._is_stored(config):
            return
        self._in_memory.add(_thread(config))
        latest: Any = {"configurable": {"thread_id": _thread(config), "checkpoint_ns": ""}}
        found = await self._stored.aget_tuple(latest)
        if found is not None:
            versions = found.checkpoint["channel_versions"]
            await self._memory.aput(latest, found.checkpoint, found.metadata, versions)
            for task, channel, value in found.pending_writes or ():
                await self._memory.aput_writes(found.config, [(channel, value)], task)
            await self._stored.adelete_thread(_thread(config))

    def _drop_writes(self, thread: str, checkpoint: str) -> None:
        """Drops the values of earlier steps of a thread that is stored."""
        writes = self._memory.writes
        for place in [p for p in writes if p[0] == thread and p[2] != checkpoint]:
            del writes[place]


def _thread(config: Any) -> str:
    return str(config["configurable"]["thread_id"])


def _plain(written: Any) -> Any:
    """What interrupts ask; other values as they are."""
    return [getattr(part, "value", part) for part in written] if isinstance(written, list | tuple) else written
