"""The outcomes of rows, of evaluations and of `map`: in a file of their own, so that they push no run out.

A row is found by its key, a hash of what was run on what. A row that has no outcome yet has a journal, as a run has.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.core.redaction import KeyValues
from orchmagic.errors import StoreError
from orchmagic.storage import values
from orchmagic.storage.database import Database, Execute, bytes_in_use
from orchmagic.storage.journal import RunJournal
from orchmagic.storage.schema import DatabaseSchema
from orchmagic.storage.values import as_text

if TYPE_CHECKING:
    from orchmagic.storage.journal import Journal

ROWS = DatabaseSchema(
    """
CREATE TABLE rows(number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, name TEXT, begun TEXT, updated TEXT,
    outcome TEXT, record BLOB);
CREATE TABLE journal(run TEXT, id TEXT, key TEXT, own INTEGER, value TEXT, PRIMARY KEY(run, id));
CREATE INDEX journal_key ON journal(run, key);
CREATE TABLE blobs(hash TEXT PRIMARY KEY, data BLOB);
CREATE TABLE uses(run TEXT, hash TEXT, PRIMARY KEY(run, hash));
CREATE INDEX uses_hash ON uses(hash);
CREATE TABLE evaluations(name TEXT, version TEXT, rows TEXT, at TEXT, figures TEXT, PRIMARY KEY(name, version, rows))
""",
    version=2,
    since={"evaluations": 2},
)
_DAYS = 365
_SIZE = 2**30  # bytes of the file; beyond it, a tenth of the rows goes, the oldest first
_AT_ONCE = 500  # values of one query
_A_FEW = 100  # rows that are deleted in one transaction, so that others can write in between


@dataclass(frozen=True, slots=True)
class PastEvaluation:
    """An evaluation of `name`: `version` is a hash of its cells, `rows` one of the rows; `at` is ISO 8601.

    `figures` (JSON): `count` of rows, `undecided` conditions of the target as (text, more rows or None), and `labels`:
    judge -> number of labels that persons gave. `variants`: (name, verdict, share right, US dollars a row), of all that
    were compared. `by_label`: (label, rows right, rows, ends of the range of the share).
    """

    version: str
    rows: str
    at: str
    figures: Mapping[str, Any]
    name: str = ""


class RowStore:
    """The rows in file `path`; in memory if it is None or cannot be used. All methods are thread-safe.

    No value of `keys` is stored; a row whose outcome holds one is run again.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        keys: KeyValues | None = None,
    ) -> None:
        self.database = Database(path, ROWS, "row history")
        self._keys = KeyValues() if keys is None else keys
        self._clock = clock

    def begin(self, name: str, keys: Iterable[str]) -> dict[str, int]:
        """Enter the rows that are not there yet; return the number of each. Empty if they cannot be written."""
        wanted = [*dict.fromkeys(keys)]
        now = self._clock().isoformat(timespec="seconds")
        try:
            with self.database.exclusive() as execute:
                for key in wanted:
                    execute(
                        "INSERT OR IGNORE INTO rows(key, name, begun, updated) VALUES (?, ?, ?, ?)", key, name, now, now
                    )
                return {key: number for part in _parts(wanted) for key, number in execute(_numbers(part), *part)}
        except StoreError as error:
            self.database.complain_of(error, "rows that are done now are run again after a restart")
            return {}

    def outcomes(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the outcomes (JSON) of the rows that have one, by key."""
        self.database.flush()
        wanted = [*dict.fromkeys(keys)]
        rows = [row for part in _parts(wanted) for row in self.database.read(_outcomes(part), *part)]
        return {row["key"]: found for row in rows if (found := _json(row["outcome"])) is not None}

    def journal(self, number: int) -> Journal:
        """Return the journal of a row."""
        return RunJournal(self.database, f"r{number}", keys=self._keys)

    def save(self, number: int, outcome: Mapping[str, Any], record: Mapping[str, Any], *, final: bool) -> None:
        """Store the outcome and the record (JSON) of a row. If it is `final`, its journal is deleted."""
        text = None if self._keys.holds(outcome) else as_text(outcome)
        packed = zlib.compress(as_text(self._keys.clean(record)).encode(), 1)
        now = self._clock().isoformat(timespec="seconds")

        def keep(execute: Execute) -> None:
            execute("UPDATE rows SET updated = ?, outcome = ?, record = ? WHERE number = ?", now, text, packed, number)
            if final:
                _forget_journal(f"r{number}", execute)

        self.database.post(keep)

    def record(self, key: str) -> Any:
        """Return the record (JSON) of a row; None if it is not there."""
        self.database.flush()
        rows = self.database.read("SELECT record FROM rows WHERE key = ?", key)
        try:
            return json.loads(zlib.decompress(rows[0]["record"])) if rows else None
        except (zlib.error, ValueError, TypeError):
            return None

    def evaluated(self, name: str, version: str, rows: str, figures: Mapping[str, Any]) -> None:
        """Enter an evaluation; it replaces an earlier one of the same version on the same rows. Returns at once."""
        entry = (name, version, rows, self._clock().isoformat(), as_text(figures))
        self.database.post(lambda execute: execute(_EVALUATED, *entry))

    def evaluations(self, name: str | None = None, limit: int = -1) -> list[PastEvaluation]:
        """Return the latest evaluations of an orchestration, or of all, the latest first."""
        self.database.flush()
        found = self.database.read(_EVALUATIONS, name, name, limit)
        return [
            PastEvaluation(row["version"], row["rows"], row["at"], figures, row["name"])
            for row in found
            if isinstance(figures := _json(row["figures"]), dict)
        ]

    def forget(self, keys: Iterable[str]) -> None:
        """Delete these rows; returns at once."""
        wanted = [*keys]

        def gone(execute: Execute) -> None:
            for number in [n for part in _parts(wanted) for _, n in execute(_numbers(part), *part)]:
                _delete(number, execute)

        self.database.post(gone)

    def prune(self) -> None:
        """Delete rows that are too old or too many, a few at a time, after all that was posted; returns at once."""
        old = (self._clock() - timedelta(days=_DAYS)).isoformat(timespec="seconds")
        surplus: int | None = None  # rows with a lower number go, since the file is too large
        gone: list[int] = []

        def some(execute: Execute) -> None:
            nonlocal surplus
            execute("DELETE FROM evaluations WHERE at < ?", old)
            if surplus is None:
                surplus = execute(_TENTH).fetchone()[0] if bytes_in_use(execute) > _SIZE else 0
            gone[:] = [n for (n,) in execute(_FIRST, _A_FEW, old, surplus)]
            for number in gone:
                _delete(number, execute)

        def then(committed: bool) -> None:
            if committed and gone:
                self.database.post(some, then, long=True)

        self.database.post(some, then, long=True)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self.database.close()


def _delete(number: int, execute: Execute) -> None:
    _forget_journal(f"r{number}", execute)
    execute("DELETE FROM rows WHERE number = ?", number)


def _forget_journal(run: str, execute: Execute) -> None:
    execute("DELETE FROM journal WHERE run = ?", run)
    values.forget(run, execute)


def _parts(keys: list[str]) -> Iterable[list[str]]:
    return (keys[i : i + _AT_ONCE] for i in range(0, len(keys), _AT_ONCE))


def _numbers(keys: list[str]) -> str:
    return f"SELECT key, number FROM rows WHERE key IN ({', '.join('?' * len(keys))})"  # noqa: S608 - only marks


def _outcomes(keys: list[str]) -> str:
    return f"SELECT key, outcome FROM rows WHERE outcome IS NOT NULL AND key IN ({', '.join('?' * len(keys))})"  # noqa: S608 - as above


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


_EVALUATED = "INSERT OR REPLACE INTO evaluations(name, version, rows, at, figures) VALUES (?, ?, ?, ?, ?)"
_EVALUATIONS = "SELECT * FROM evaluations WHERE ? IS NULL OR name = ? ORDER BY at DESC LIMIT ?"
_TENTH = "SELECT coalesce(min(number), 0) + count(*) / 10 + 1 FROM rows"
_FIRST = "SELECT number FROM (SELECT * FROM rows ORDER BY number LIMIT ?) WHERE updated < ? OR number < ?"
