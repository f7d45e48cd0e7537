"""Model calls: the provider plug-in interface. The data types of a call are in `types`, its layers in `pipeline`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from orchmagic.core.plugins import Registry
from orchmagic.models.types import Deployment, Emit, ModelRequest, ModelResponse


class Provider(Protocol):
    """Sends a request to an endpoint; the innermost handler of the pipeline.

    `complete` raises a ModelError (never another library's error) and never retries. `emit` gets TextStreamed
    events when `request.stream` is set. `close` is idempotent.
    """

    async def complete(self, request: ModelRequest, deployment: Deployment, emit: Emit) -> ModelResponse: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ProviderPlug:
    """The registry entry of a provider; `create()` is called at its first use, once per session.

    `batches`: it is a `batching.BatchProvider`, whose endpoints may have a Batch API.
    """

    name: str
    create: Callable[[], Provider]
    batches: bool = False


PROVIDERS: Registry[ProviderPlug] = Registry("orchmagic.models.providers", "plug", ProviderPlug)
