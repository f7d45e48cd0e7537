"""The run history, journals and threads of all kernels of this user, in one SQLite file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from orchmagic.core import process
from orchmagic.errors import InputError, StoreError
from orchmagic.storage.database import Database, DatabaseSchema
from orchmagic.storage.journal import RunJournal, as_text
from orchmagic.storage.writes import Ledger, row_number

# runs and writes name the process that works on them (pid, host, life: see process.py); empty `life`: none
HISTORY = DatabaseSchema(
    """
CREATE TABLE runs(number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, pattern TEXT, status TEXT, started TEXT,
    updated TEXT, pid INTEGER, host TEXT, life TEXT, notebook TEXT, user TEXT, source TEXT, sources TEXT,
    options TEXT, inputs TEXT, parent TEXT, record TEXT, events TEXT, cost REAL, unpriced INTEGER DEFAULT 0,
    tokens INTEGER, seconds REAL);
CREATE TABLE journal(run TEXT, id TEXT, key TEXT, own INTEGER, value TEXT, PRIMARY KEY(run, id));
CREATE INDEX journal_key ON journal(run, key);
CREATE TABLE writes(number INTEGER PRIMARY KEY AUTOINCREMENT, tool TEXT, key TEXT, call TEXT, state TEXT,
    result TEXT, run TEXT, at TEXT, pid INTEGER, host TEXT, life TEXT, UNIQUE(tool, key));
CREATE TABLE turns(thread TEXT, number INTEGER, role TEXT, content TEXT, run TEXT, PRIMARY KEY(thread, number));
""",
    added=(("runs", "unpriced", "INTEGER DEFAULT 0"), ("runs", "caller", "TEXT")),
)
SUMMARY = "#summary"  # the key of a summary in a thread
KEPT = 1000  # runs that `prune` keeps
DAYS = 30  # a run beyond KEPT that waits or runs is kept this long


@dataclass(frozen=True, slots=True)
class Stored:
    """A run as stored in the history. `status` "lost": it was running, and its process is gone.

    `source` is the text of its cell, `sources` those of nested orchestrations, by name; `record` and `events` are
    JSON, empty in lists of runs. `started` and `updated` are ISO 8601 in UTC, `cost` in US dollars as far as prices
    are known (without the `unpriced` calls), `seconds` the run's duration. `parent` is the run that it replays.
    `caller` is the run whose notebook code started it: its cost is counted there, too.
    """

    id: str
    name: str
    pattern: str
    status: str
    started: str
    updated: str
    pid: int
    host: str
    notebook: str = ""
    user: str = ""
    parent: str | None = None
    caller: str | None = None
    cost: float = 0.0
    unpriced: int = 0
    tokens: int = 0
    seconds: float = 0.0
    source: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    options: Any = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] | None = None
    events: Sequence[Any] = ()


class Store:
    """The run history in file `path`. If it is None or cannot be used, the history is in memory.

    All methods are thread-safe. Disk errors cause a StoreWarning, not an exception.
    """

    def __init__(self, path: Path | None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.database = Database(path, HISTORY, "run history")
        self.ledger = Ledger(self.database, self._now)
        self._clock = clock
        self._unsaved = 0

    def begin(
        self,
        name: str,
        pattern: str,
        *,
        source: str = "",
        sources: Mapping[str, str] | None = None,
        options: Any = None,
        inputs: Mapping[str, Any] | None = None,
        parent: str | None = None,
        caller: str | None = None,
        notebook: str = "",
        user: str = "",
    ) -> str:
        """Add a run with status running, in this process; return its id ("r17"), which is never reused."""
        texts = [as_text(x) for x in (source, sources or {}, options, inputs or {})]
        now = self._now()
        who = process.this()
        values = (name, pattern, now, now, who.pid, who.host, who.life, notebook, user, parent, caller, *texts)
        added = self.database.write(_BEGIN, *values)
        if added is not None and added.lastrowid:
            return f"r{added.lastrowid}"
        self._unsaved += 1
        return f"unsaved{self._unsaved}"

    def save(self, id_: str, status: str, record: Mapping[str, Any], events: Sequence[Any]) -> None:
        """Store a run's status, events and `record` (`Record.to_streamed_json()`, with its cost and tokens)."""
        usage = record.get("usage", {})
        tokens = usage.get("input", 0) + usage.get("output", 0)
        sums = (record.get("cost", 0.0), record.get("unpriced", 0), tokens, record.get("seconds", 0.0))
        self.database.write(
            _SAVE, status, self._now(), _record_text(record), as_text(events), *sums, row_number(id_, "r")
        )

    def take(self, id_: str, was: Collection[str] = ()) -> bool:
        """Set a run to running, in this process; False if it is running already, here or elsewhere.

        Also False if `was` is given and the status is none of these: another process resumed the run.
        """
        who = process.this()
        try:
            with self.database.exclusive() as execute:  # two kernels may do this at once
                rows = execute(_ONE, row_number(id_, "r")).fetchall()
                now = [_stored(row).status for row in rows]
                if "running" in now or (was and not {*now} <= {*was}):
                    return False
                execute(_TAKE, who.pid, who.host, who.life, self._now(), row_number(id_, "r"))
        except StoreError as error:
            self.database.complain("written", str(error))
        return True

    def run(self, id_: str) -> Stored:
        """Return a run with all its fields.

        Raises:
            InputError: the history has no run of this id.
        """
        rows = self.database.read(_WHOLE, row_number(id_, "r"))
        if not rows:
            raise InputError(f"there is no run {id_!r} in the history: %orch runs lists those that are there")
        return _stored(rows[0])

    def runs(self, limit: int = 50, name: str | None = None) -> list[Stored]:
        """Return the latest runs, newest first, without the large fields: inputs, sources, record and events."""
        return [_stored(row) for row in self.database.read(_LATEST, name, name, limit)]

    def journal(
        self,
        id_: str,
        parent: str | None = None,
        fresh: Callable[[str], bool] | None = None,
        *,
        paid: bool = False,
    ) -> RunJournal:
        """Return the journal of a run; see RunJournal."""
        return RunJournal(self.database, id_, parent, fresh, paid=paid)

    def copy_journal(self, run: str, to: str) -> None:
        """Copy the journal of `run` to that of the run `to`, as entries that are not its own."""
        self.database.write(_COPY, to, run)

    def thread(self, name: str) -> list[dict[str, Any]]:
        """Return the messages of a thread, oldest first, without summaries; empty if there is no such thread."""
        rows = self.database.read(_SPOKEN, name, SUMMARY)
        return [message for row in rows if isinstance(message := _json(row["content"], None), dict)]

    def turns(self, name: str, before: str = "") -> list[tuple[str, list[dict[str, Any]]]]:
        """Return (key, messages) of the turns of a thread before the turn `before`; all if there is no such turn.

        Turns that have a summary are left out; the summary itself is a turn with the key SUMMARY.
        """
        found: list[tuple[str, list[dict[str, Any]]]] = []
        rows = self.database.read("SELECT run, content FROM turns WHERE thread = ? ORDER BY number", name)
        for key, group in groupby(rows, lambda row: row["run"] or ""):
            if key == before:
                break
            found = [] if key == SUMMARY else found
            found.append((key, [m for row in group if isinstance(m := _json(row["content"], None), dict)]))
        return found

    def extend(
        self, thread: str, key: str, messages: Sequence[Mapping[str, Any]], summary: tuple[str, Turn] | None = None
    ) -> None:
        """Add the turn `key` to a thread. If there is a turn of this key, it is replaced at its place.

        `summary` (key of a turn, messages) stands for all turns before that turn. A summary of a replaced turn is
        deleted.
        """
        try:
            with self.database.exclusive() as execute:
                rows = execute(
                    "SELECT run, role, content FROM turns WHERE thread = ? ORDER BY number", thread
                ).fetchall()
                old = [(row["run"] or "", row["role"], row["content"]) for row in rows]
                new = _with_turn(old, key, _rows(key, messages), summary)
                same = next(
                    (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
                )
                execute("DELETE FROM turns WHERE thread = ? AND number > ?", thread, same)
                for place, (run, role, content) in enumerate(new[same:], same + 1):
                    execute(_TURN, thread, place, role, content, run)
        except StoreError as error:
            self.database.complain("written", str(error))

    def clear_thread(self, name: str) -> int:
        """Delete a thread; return how many messages it had."""
        gone = self.database.write("DELETE FROM turns WHERE thread = ?", name)
        return gone.rowcount if gone is not None else 0

    def threads(self) -> dict[str, int]:
        """Return the threads: name -> number of messages."""
        rows = self.database.read(_COUNTS, SUMMARY)
        return {row["thread"]: row["turns"] for row in rows}

    def prune(self, keep: int = KEPT, days: float = DAYS) -> list[str]:
        """Delete all but the latest `keep` runs; waiting and running ones only after `days`. Return their ids."""
        old = (self._clock() - timedelta(days=days)).isoformat(timespec="seconds")
        rows = self.database.read(_OLD, keep, old)
        gone = [f"r{row['number']}" for row in rows]
        for id_ in gone:
            self.forget(id_)
        return gone

    def forget(self, run: str) -> bool:
        """Delete a run and its journal; False if there is none. Threads and writes stay."""
        self.database.write("DELETE FROM journal WHERE run = ?", run)
        gone = self.database.write("DELETE FROM runs WHERE number = ?", row_number(run, "r"))
        return gone is not None and gone.rowcount == 1

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self.database.close()

    def _now(self) -> str:
        return self._clock().isoformat(timespec="seconds")


Turn: TypeAlias = Sequence[Mapping[str, Any]]
_Row: TypeAlias = tuple[str, str, str]  # key, role, content of a message


def _rows(key: str, messages: Turn) -> list[_Row]:
    return [(key, str(message.get("role", "")), as_text(dict(message))) for message in messages]


def _with_turn(old: list[_Row], key: str, new: list[_Row], summary: tuple[str, Turn] | None) -> list[_Row]:
    keys = [row[0] for row in old]
    at = keys.index(key) if key in keys else len(old)
    after = [row for row in old[at:] if row[0] not in {key, SUMMARY}]  # a summary after it was also one of it
    found = [*old[:at], *new, *after]
    if summary is not None:
        found = [row for row in found if row[0] != SUMMARY]
        first = next((i for i, row in enumerate(found) if row[0] == summary[0]), len(found) - len(new) - len(after))
        found[first:first] = _rows(SUMMARY, summary[1])
    return found


def _record_text(record: Mapping[str, Any]) -> str:
    """Return `as_text(record)`, written span by span: the encoder holds every token of what it writes in memory."""
    if "spans" not in record:
        return as_text(record)
    text = StringIO()
    text.write("{" + "".join(f"{as_text(n)}:{as_text(value)}," for n, value in record.items() if n != "spans"))
    text.write('"spans":[')
    for i, span in enumerate(record["spans"]):
        text.write("," * (i > 0) + as_text(span))
    text.write("]}")
    return text.getvalue()


def _stored(row: Any) -> Stored:
    values = dict(row)
    who = process.Process(values["pid"], values["host"], values.pop("life"))
    if values["status"] == "running" and who.gone:
        values["status"] = "lost"
    values |= {name: _json(values[name], empty) for name, empty in _JSON.items() if name in values}
    return Stored(id=f"r{values.pop('number')}", **values)


def _json(text: str | None, otherwise: Any) -> Any:
    try:
        return otherwise if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return otherwise


_JSON: dict[str, Any] = {"source": "", "sources": {}, "options": None, "inputs": {}, "record": None, "events": ()}
_LIGHT = ", ".join(["number", "life", *(f.name for f in fields(Stored) if f.name not in {"id", *_JSON})])
_WHOLE = f"SELECT {_LIGHT}, {', '.join(_JSON)} FROM runs WHERE number = ?"  # noqa: S608 - built from constants
_ONE = f"SELECT {_LIGHT} FROM runs WHERE number = ?"  # noqa: S608 - as above
_LATEST = f"SELECT {_LIGHT} FROM runs WHERE ? IS NULL OR name = ? ORDER BY number DESC LIMIT ?"  # noqa: S608 - as above
_BEGIN = (
    "INSERT INTO runs(status, cost, tokens, seconds, name, pattern, started, updated, pid, host, life, notebook, user, "
    "parent, caller, source, sources, options, inputs) "
    "VALUES ('running', 0, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_TAKE = "UPDATE runs SET status = 'running', pid = ?, host = ?, life = ?, updated = ? WHERE number = ?"
_COPY = (
    "INSERT OR REPLACE INTO journal(run, id, key, own, value) SELECT ?, id, key, 0, value FROM journal WHERE run = ?"
)
_SPOKEN = "SELECT content FROM turns WHERE thread = ? AND run IS NOT ? ORDER BY number"
_COUNTS = "SELECT thread, count(*) AS turns FROM turns WHERE run IS NOT ? GROUP BY thread ORDER BY thread"
_TURN = "INSERT INTO turns(thread, number, role, content, run) VALUES (?, ?, ?, ?, ?)"
_SAVE = (
    "UPDATE runs SET status = ?, updated = ?, record = ?, events = ?, cost = ?, unpriced = ?, tokens = ?, seconds = ? "
    "WHERE number = ?"
)
_OLD = (
    "SELECT number FROM runs WHERE number NOT IN (SELECT number FROM runs ORDER BY number DESC LIMIT ?) "
    "AND (status NOT IN ('waiting', 'running') OR updated < ?)"
)
