"""The Batch API of an endpoint: requests go out together as one file, and are answered within 24 h at a lower price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from orchmagic.models import PROVIDERS
from orchmagic.models.types import Deployment

HOURS = 24
"""The most hours that a batch takes (`completion_window`); what is not answered by then has expired."""
AT_ONCE = 10_000
"""Rows or items that run side by side if their calls go through a batch, unless a limit is set: each wave is a wait."""
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class BatchState:
    """What an endpoint says of a batch. `done` of `total` requests are processed; the files are ids, "" if none.

    `errors`: why the batch as a whole failed, as `error` objects.
    """

    id: str
    status: str
    output_file: str = ""
    error_file: str = ""
    errors: tuple[Mapping[str, Any], ...] = ()
    done: int = 0
    total: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more will be processed."""
        return self.status in _ENDED


class BatchEndpoint(Protocol):
    """The Batch API of one deployment. All methods raise a ModelError if the endpoint cannot be asked, or refuses."""

    async def send(self, lines: Sequence[bytes], tag: str) -> str:
        """Upload the lines as a file and begin a batch with it; returns its id. `tag` is stored with the batch."""

    async def find(self, tag: str) -> BatchState | None:
        """The latest batch with this tag; None if there is none."""

    async def state(self, id_: str) -> BatchState:
        """How far a batch is."""

    async def read(self, file: str) -> str:
        """The text of an output or error file."""

    async def cancel(self, id_: str) -> BatchState:
        """Cancel a batch; what is answered already can still be collected, and is billed."""


def in_batch(deployment: Deployment) -> Deployment:
    """The deployment as it is called through its Batch API; unchanged if its provider has none."""
    return replace(deployment, batch=True) if PROVIDERS.get(deployment.provider).batches else deployment


@runtime_checkable
class BatchProvider(Protocol):
    """A provider whose endpoints may have a Batch API; its plug says `batches=True`."""

    def batches(self, deployment: Deployment) -> BatchEndpoint: ...
