"""The Batch API of an OpenAI-compatible endpoint: `/files` and `/batches`.

Source: https://platform.openai.com/docs/api-reference/batch
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from orchmagic.core.redaction import KeyValues
from orchmagic.errors import ModelError, RequestRejected
from orchmagic.models.batching import BatchState
from orchmagic.models.providers._openai_errors import translated
from orchmagic.models.types import Deployment
from orchmagic.models.wire import batch_lines, http_errors
from orchmagic.models.wire.urls import host

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_SECONDS = 60.0  # of a look
_FILE_SECONDS = 600.0  # of an upload or a download
_TAG = "orchmagic"  # the field of the metadata
_LATEST = 100  # batches that are searched for a tag


class OpenAIBatches:
    """Implements `BatchEndpoint`."""

    def __init__(self, client: AsyncOpenAI, deployment: Deployment, key: str) -> None:
        self._client = client
        self._deployment = deployment
        self._key = key

    async def send(self, lines: Sequence[bytes], tag: str) -> str:
        """Upload the lines as a file and begin a batch with it; returns its id."""
        async with self._asking(_FILE_SECONDS, without="files"):
            file = await self._client.files.create(file=("batch.jsonl", b"".join(lines)), purpose="batch")
        try:
            async with self._asking(_SECONDS, without="batches"):
                batch = await self._client.batches.create(
                    input_file_id=file.id,
                    endpoint=batch_lines.PATH,
                    completion_window="24h",
                    metadata={_TAG: tag},
                )
                return _text(batch.id)
        except ModelError as error:  # what the upload may have cost does not count: nothing was processed
            error.may_have_spent = error.may_have_spent or error.transient
            raise

    async def find(self, tag: str) -> BatchState | None:
        """The latest batch with this tag in its metadata; None if there is none among the last hundred."""
        async with self._asking(_SECONDS):
            page = await self._client.batches.list(limit=_LATEST)
            return next((_state(b) for b in page.data if (b.metadata or {}).get(_TAG) == tag), None)

    async def state(self, id_: str) -> BatchState:
        """How far a batch is."""
        async with self._asking(_SECONDS):
            return _state(await self._client.batches.retrieve(id_))

    async def read(self, file: str) -> str:
        """The text of an output or error file, without the key."""
        async with self._asking(_FILE_SECONDS):
            content = await self._client.files.content(file)
            text = content.content.decode("utf-8", "replace")
        return str(KeyValues([self._key]).clean(text))

    async def cancel(self, id_: str) -> BatchState:
        """Cancel a batch."""
        async with self._asking(_SECONDS):
            return _state(await self._client.batches.cancel(id_))

    @asynccontextmanager
    async def _asking(self, seconds: float, without: str = "") -> AsyncIterator[None]:
        """Raise every failure within the block as a ModelError; `without`: the path that an endpoint may not have."""
        try:
            async with asyncio.timeout(seconds):
                with translated(self._deployment):
                    yield
        except TimeoutError:
            raise http_errors.late(self._deployment, seconds) from None
        except ModelError as error:
            if without and error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
                raise _no_batches(self._deployment, without, error.status) from None
            raise http_errors.without(error, self._key) from None


def _no_batches(deployment: Deployment, path: str, status: int | None) -> RequestRejected:
    where = host(deployment.base_url or deployment.provider)
    write = "nothing was sent. Leave out --batch, and batch = true of the alias, to call it directly"
    return RequestRejected(
        f"{where} has no Batch API ({status} for /{path}): {write}", model=deployment.model, status=status
    )


def _state(batch: Any) -> BatchState:
    """Read a batch; servers leave out fields that OpenAI's client takes for granted."""
    errors = getattr(getattr(batch, "errors", None), "data", None) or ()
    counts = getattr(batch, "request_counts", None)
    return BatchState(
        id=_text(batch.id),
        status=_text(batch.status),
        output_file=str(getattr(batch, "output_file_id", None) or ""),
        error_file=str(getattr(batch, "error_file_id", None) or ""),
        errors=tuple(_detail(error) for error in errors),
        done=int(getattr(counts, "completed", 0) or 0) + int(getattr(counts, "failed", 0) or 0),
        total=int(getattr(counts, "total", 0) or 0),
    )


def _detail(error: Any) -> Mapping[str, Any]:
    return {"code": getattr(error, "code", None), "message": getattr(error, "message", None) or "no reason given"}


def _text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise ValueError(f"{value!r} where an id or a status was expected")
