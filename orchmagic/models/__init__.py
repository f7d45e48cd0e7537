"""The model call, and the socket for providers. The types of a call are in `types`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from orchmagic.core.plugins import Registry
from orchmagic.models.types import Deployment, Emit, ModelRequest, ModelResponse


class Provider(Protocol):
    """What talks to an endpoint: the innermost handler.

    `complete` raises a ModelError (never another library's error) and never retries. `emit` gets TextStreamed
    events when `request.stream` is set. `close` is idempotent.
    """

    async def complete(self, request: ModelRequest, deployment: Deployment, emit: Emit) -> ModelResponse: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ProviderPlug:
    """A provider as the registry finds it: `create()` makes the one instance of a session, lazily."""

    name: str
    create: Callable[[], Provider]


PROVIDERS: Registry[ProviderPlug] = Registry("orchmagic.models.providers", "plug", ProviderPlug)
