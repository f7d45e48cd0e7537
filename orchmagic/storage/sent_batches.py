"""The batches that were sent to endpoints, and which requests are in them: on disk before anybody waits for one.

So a batch outlives its kernel: the same request finds its line, by its hash, and is not paid again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchmagic.core import process
from orchmagic.core.process import Process
from orchmagic.storage.database import Database, Execute
from orchmagic.storage.schema import DatabaseSchema

BATCHES = DatabaseSchema(
    """
CREATE TABLE batches(tag TEXT PRIMARY KEY, id TEXT, alias TEXT, provider TEXT, model TEXT, base_url TEXT, key_env TEXT,
    requests INTEGER, sent TEXT, pid INTEGER, host TEXT, life TEXT);
CREATE TABLE lines(tag TEXT, custom_id TEXT, request TEXT, PRIMARY KEY(tag, custom_id));
CREATE INDEX lines_request ON lines(request)
"""
)
_DAYS = 30  # endpoints keep the files of a batch about as long


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch. `tag` is our name of it, `id` the endpoint's ("" = it may not have arrived); `sent` is ISO 8601 in UTC.

    `requests` were sent in it, `left` of them are not collected yet (only `all` counts them). `sender` is the kernel
    that waits for it.
    """

    tag: str
    id: str
    alias: str
    provider: str
    model: str
    base_url: str
    key_env: str
    requests: int
    sent: str
    sender: Process
    left: int = 0


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A request in a batch: its id in the file, and the batch."""

    custom_id: str
    batch: SentBatch


class BatchStore:
    """The batches in file `path`; in memory if it is None. All methods are thread-safe; none stores a text."""

    def __init__(self, path: Path | None) -> None:
        self._database = Database(path, BATCHES, "list of batches")

    def begin(self, batch: SentBatch, requests: Mapping[str, str]) -> None:
        """Enter a batch that will be sent now; `requests` are the hashes of its requests by custom_id.

        Raises:
            StoreError: it cannot be written, so the batch must not be sent.
        """
        who = batch.sender
        with self._database.exclusive(durable=True) as execute:
            execute(
                _ENTER, batch.tag, batch.id, batch.alias, batch.provider, batch.model, batch.base_url, batch.key_env,
                batch.requests, batch.sent, who.pid, who.host, who.life,
            )  # fmt: skip  # one record
            for custom_id, request in requests.items():
                execute("INSERT INTO lines(tag, custom_id, request) VALUES (?, ?, ?)", batch.tag, custom_id, request)

    def arrived(self, tag: str, id_: str) -> None:
        """Note the endpoint's id of a batch, and that this kernel waits for it."""
        who = process.this()
        values = id_, who.pid, who.host, who.life, tag
        self._database.write("UPDATE batches SET id = ?, pid = ?, host = ?, life = ? WHERE tag = ?", *values)

    def collected(self, lines: Iterable[tuple[str, str]]) -> None:
        """Delete lines (tag, custom_id) whose answers are used; returns at once. A batch without lines goes too."""
        gone = [*lines]

        def delete(execute: Execute) -> None:
            for tag, custom_id in gone:
                execute("DELETE FROM lines WHERE tag = ? AND custom_id = ?", tag, custom_id)
            execute(_WITHOUT_LINES)

        self._database.post(delete)

    def forget(self, tag: str) -> None:
        """Delete a batch: nothing of it can be collected."""
        with self._database.exclusive() as execute:
            execute("DELETE FROM lines WHERE tag = ?", tag)
            execute("DELETE FROM batches WHERE tag = ?", tag)

    def holding(self, request: str) -> list[BatchLine]:
        """The lines with this request, the oldest first."""
        return [BatchLine(row["custom_id"], _batch(row)) for row in self._database.read(_HOLDING, request)]

    def custom_ids(self, tag: str) -> list[str]:
        """The requests of a batch that are not collected."""
        return [row["custom_id"] for row in self._database.read("SELECT custom_id FROM lines WHERE tag = ?", tag)]

    def all(self) -> Sequence[SentBatch]:
        """The batches with lines that are not collected, the oldest first; deletes those that are too old."""
        before = (datetime.now(UTC) - timedelta(days=_DAYS)).isoformat()
        self._database.write("DELETE FROM lines WHERE tag IN (SELECT tag FROM batches WHERE sent < ?)", before)
        self._database.write(_WITHOUT_LINES)
        return [_batch(row) for row in self._database.read(_ALL)]

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._database.close()


def _batch(row: Mapping[str, object]) -> SentBatch:
    found: dict[str, object] = {name: row[name] for name in _COLUMNS}
    sender = Process(*(row[name] for name in ("pid", "host", "life")))  # type: ignore[arg-type]  # as `begin` wrote it
    return SentBatch(**found, sender=sender)  # type: ignore[arg-type]  # as above


_COLUMNS = ("tag", "id", "alias", "provider", "model", "base_url", "key_env", "requests", "sent", "left")
_ENTER = "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# without counting lines, since each request of a large batch looks for its line
_HOLDING = """
SELECT custom_id, batches.*, requests AS left FROM lines JOIN batches USING (tag) WHERE request = ?
ORDER BY sent, custom_id
"""
_ALL = """
SELECT batches.*, (SELECT count(*) FROM lines WHERE lines.tag = batches.tag) AS left FROM batches ORDER BY sent
"""
_WITHOUT_LINES = "DELETE FROM batches WHERE tag NOT IN (SELECT tag FROM lines)"
