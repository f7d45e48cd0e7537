"""The run history, journals and threads of all kernels of this user, in one SQLite file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from orchmagic.core import process
from orchmagic.core.redaction import KeyValues
from orchmagic.errors import InputError, StoreError
from orchmagic.storage import values
from orchmagic.storage.database import Database, Execute, bytes_in_use
from orchmagic.storage.journal import RunJournal
from orchmagic.storage.schema import DatabaseSchema
from orchmagic.storage.values import (
    INLINE,
    KeyRemovedError,
    NotKeptError,
    Values,
    as_text,
    compact_text,
    is_keyless,
    row_number,
)
from orchmagic.storage.writes import Ledger
from orchmagic.trace.record import Span, span_to_json

# runs and writes name the process that works on them (pid, host, life: see process.py); empty `life`: none
HISTORY = DatabaseSchema(
    """
CREATE TABLE runs(number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, pattern TEXT, status TEXT, started TEXT,
    updated TEXT, pid INTEGER, host TEXT, life TEXT, notebook TEXT, user TEXT, source TEXT, sources TEXT,
    options TEXT, inputs TEXT, parent TEXT, record TEXT, events TEXT, cost REAL, unpriced INTEGER DEFAULT 0,
    tokens INTEGER, seconds REAL, caller TEXT, uid TEXT, pinned INTEGER DEFAULT 0, feedback TEXT,
    doubt TEXT);
CREATE TABLE journal(run TEXT, id TEXT, key TEXT, own INTEGER, value TEXT, PRIMARY KEY(run, id));
CREATE INDEX journal_key ON journal(run, key);
CREATE TABLE writes(number INTEGER PRIMARY KEY AUTOINCREMENT, tool TEXT, key TEXT, call TEXT, state TEXT,
    result TEXT, run TEXT, at TEXT, pid INTEGER, host TEXT, life TEXT, UNIQUE(tool, key));
CREATE TABLE turns(thread TEXT, number INTEGER, role TEXT, content TEXT, run TEXT, PRIMARY KEY(thread, number));
CREATE TABLE blobs(hash TEXT PRIMARY KEY, data BLOB);
CREATE TABLE uses(run TEXT, hash TEXT, PRIMARY KEY(run, hash));
CREATE INDEX uses_hash ON uses(hash)
""",
    version=2,
    since={"blobs": 2, "uses": 2},
)
SUMMARY = "#summary"  # the key of a summary in a thread


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long runs are kept. Pinned runs are kept for ever, waiting and running ones for `active_days` at least.

    `runs`: the latest ones of each name, so that a thousand rows of one batch push no other run out. `days`: their
    greatest age. `size`: bytes of the whole history; beyond it, names with many runs give up their oldest ones first.
    """

    runs: int = 1000
    days: float = 365
    size: int = 2**30
    active_days: float = 30


KEEPING = Keeping()
_FEW = 300  # spans of a record that is written in the event loop
_AT_ONCE = 20  # runs that are deleted in one transaction, so that others can write in between


@dataclass(frozen=True, slots=True)
class Stored:
    """A run as stored in the history. `status` "lost": it was running, and its process is gone.

    `source` is the text of its cell, `sources` those of nested orchestrations, by name; `record` and `events` are
    JSON, empty in lists of runs. `started` and `updated` are ISO 8601 in UTC, `cost` in US dollars as far as prices
    are known (without the `unpriced` calls), `seconds` the run's duration. `parent` is the run that it replays.
    `caller` is the run whose notebook code started it: its cost is counted there, too.
    `uid` names the run in the world (its checkpoints); "" for a run of an older version. A `pinned` run is not pruned.
    `doubt` is why the mark of a run that is done is no check mark: see `Record.doubt`.
    `feedback` is what a person said of it (JSON); empty in lists of runs.
    `keyless`: the text of a cell held an API key and was stored without it.
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
    uid: str = ""
    pinned: bool = False
    doubt: str = ""
    keyless: bool = False
    source: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    options: Any = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] | None = None
    events: Sequence[Any] = ()
    feedback: Mapping[str, Any] | None = None


class Store:
    """The run history in file `path`. If it is None or cannot be used, the history is in memory.

    All methods are thread-safe. Disk errors cause a StoreWarning, not an exception. No value of `keys` is stored.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        keys: KeyValues | None = None,
    ) -> None:
        self.database = Database(path, HISTORY, "run history")
        self._keys = KeyValues() if keys is None else keys
        self._values = Values(self.database, self._keys)
        self.ledger = Ledger(self.database, self._now, self._keys)
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
        uid: str = "",
    ) -> str:
        """Add a run with status running, in this process; return its id ("r17"), which is never reused."""
        texts = [as_text(x) for x in (*self._values.keyless(source, sources or {}), options)]
        now = self._now()
        who = process.this()
        values = (name, pattern, now, now, who.pid, who.host, who.life, notebook, user, parent, caller, uid, *texts)
        try:
            with self.database.exclusive() as execute:
                number = execute(_BEGIN, *values).lastrowid
                given = {n: self._values.stowed(v, f"r{number}", execute) for n, v in (inputs or {}).items()}
                execute(_INPUTS, as_text(given), number)
        except StoreError as error:
            self.database.complain_of(error, "the runs of this session cannot be resumed after a restart")
            self._unsaved += 1
            return f"unsaved{self._unsaved}"
        return f"r{number}"

    def save(self, id_: str, status: str, record: Mapping[str, Any], events: Sequence[Any]) -> None:
        """Store a run's status, events and `record` (`Record.to_parts()`, with its cost and tokens)."""
        usage = record.get("usage", {})
        tokens = usage.get("input", 0) + usage.get("output", 0)
        sums = (record.get("cost", 0.0), record.get("unpriced", 0), tokens, record.get("seconds", 0.0))
        now, number = self._now(), row_number(id_, "r")
        if number < 0:  # it could not be entered
            return

        def keep(execute: Execute) -> None:
            whole = _record_text(record, lambda value: self._values.stowed(value, id_, execute))
            execute(_SAVE, status, record.get("doubt", ""), now, whole, as_text(events), *sums, number)

        self.database.post(keep, long=len(record.get("spans", ())) > _FEW)

    def take(self, id_: str, was: Collection[str] = ()) -> bool:
        """Set a run to running, in this process; False if it is running already, here or elsewhere.

        Also False if `was` is given and the status is none of these: another process resumed the run.
        """
        who = process.this()
        try:
            with self.database.exclusive() as execute:  # two kernels may do this at once
                rows = execute(f"{self._select(*_LIGHT)} WHERE number = ?", row_number(id_, "r")).fetchall()
                now = [_stored(row).status for row in rows]
                if "running" in now or (was and not {*now} <= {*was}):
                    return False
                execute(_TAKE, who.pid, who.host, who.life, self._now(), row_number(id_, "r"))
        except StoreError as error:
            self.database.complain_of(error)
        return True

    def run(self, id_: str) -> Stored:
        """Return a run with all its fields.

        Raises:
            InputError: the history has no run of this id.
        """
        self.database.flush()
        rows = self.database.read(f"{self._select(*_LIGHT, *_JSON)} WHERE number = ?", row_number(id_, "r"))
        if not rows:
            raise InputError(f"there is no run {id_!r} in the history: %orch runs lists those that are there")
        found = _stored(rows[0])
        if found.record is None:
            return found
        return replace(found, record=_with_large(found.record, self._values.shown))

    def inputs(self, stored: Stored, again: Callable[[str], Any] = lambda _: None) -> dict[str, Any]:
        """The inputs of a run, whole. `again(name)` gives one of the notebook, for one that was stored without its key.

        Raises:
            InputError: one was too large to be stored, or held a key and is not in the notebook as it was.
        """
        try:
            return {name: self._input(name, value, again) for name, value in stored.inputs.items()}
        except KeyRemovedError as error:
            write = "define it as it was, or run its cell again"
            raise InputError(f"run {stored.id} {error}, which is not stored: {write}") from None
        except NotKeptError as error:
            raise InputError(
                f"run {stored.id} cannot go on in another kernel: of its inputs ({', '.join(stored.inputs)}) one is no "
                f"longer there: {error}. Run its cell again"
            ) from None

    def _input(self, name: str, value: Any, again: Callable[[str], Any]) -> Any:
        if not is_keyless(value):
            return self._values.whole(value)
        given = again(name)
        if not self._keys.holds(given) or self._values.shown(value) != self._keys.clean(given):
            raise KeyRemovedError(f"needs its input {name!r}, which held an API key")
        return given

    def runs(self, limit: int = 50, name: str | None = None) -> list[Stored]:
        """Return the latest runs, newest first, without the large fields: inputs, sources, record and events."""
        self.database.flush()
        latest = f"{self._select(*_LIGHT)} WHERE ? IS NULL OR name = ? ORDER BY number DESC LIMIT ?"
        return [_stored(row) for row in self.database.read(latest, name, name, limit)]

    def _select(self, *names: str) -> str:
        """The start of a query; a file of another version may lack columns."""
        there = self.database.columns("runs")
        return f"SELECT {', '.join(n if n in there else f'NULL AS {n}' for n in names)} FROM runs"  # noqa: S608 - our names

    def journal(
        self,
        id_: str,
        parent: str | None = None,
        fresh: Callable[[str], bool] | None = None,
        *,
        paid: bool = False,
        new: bool = False,
    ) -> RunJournal:
        """Return the journal of a run; see RunJournal."""
        if not new or parent is not None:
            self.database.flush(1.0)  # its own entries, and those of the parent
        return RunJournal(self.database, id_, parent, fresh, paid=paid, new=new, keys=self._keys)

    def copy_journal(self, run: str, to: str) -> None:
        """Copy the journal of `run` to that of the run `to`, as entries that are not its own."""
        self.database.write(_COPY, to, run)
        self.database.write("INSERT OR IGNORE INTO uses(run, hash) SELECT ?, hash FROM uses WHERE run = ?", to, run)

    def thread(self, name: str) -> list[dict[str, Any]]:
        """Return the messages of a thread, oldest first, without summaries; empty if there is no such thread."""
        self.database.flush()
        rows = self.database.read(_SPOKEN, name, SUMMARY)
        return [message for row in rows if isinstance(message := _json(row["content"], None), dict)]

    def turns(self, name: str, before: str = "") -> list[tuple[str, list[dict[str, Any]]]]:
        """Return (key, messages) of the turns of a thread before the turn `before`; all if there is no such turn.

        Turns that have a summary are left out; the summary itself is a turn with the key SUMMARY.
        """
        self.database.flush()
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
        deleted. A key in a message is not stored: later turns read the message without it.
        """
        messages, summary = self._keys.clean(list(messages)), self._keys.clean(summary)

        def add(execute: Execute) -> None:
            rows = execute("SELECT run, role, content FROM turns WHERE thread = ? ORDER BY number", thread).fetchall()
            old = [(row["run"] or "", row["role"], row["content"]) for row in rows]
            new = _with_turn(old, key, _rows(key, messages), summary)
            same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
            execute("DELETE FROM turns WHERE thread = ? AND number > ?", thread, same)
            for place, (run, role, content) in enumerate(new[same:], same + 1):
                execute(_TURN, thread, place, role, content, run)

        self.database.post(add)

    def clear_thread(self, name: str) -> int:
        """Delete a thread; return how many messages it had."""
        gone = self.database.write("DELETE FROM turns WHERE thread = ?", name)
        return gone.rowcount if gone is not None else 0

    def threads(self) -> dict[str, int]:
        """Return the threads: name -> number of messages."""
        self.database.flush()
        rows = self.database.read(_COUNTS, SUMMARY)
        return {row["thread"]: row["turns"] for row in rows}

    def pin(self, id_: str, *, pinned: bool = True) -> None:
        """Keep a run for ever, or no longer.

        Raises:
            InputError: the history has no run of this id, or cannot be written.
        """
        self._set(id_, "pinned", pinned)

    def judge(self, id_: str, feedback: Mapping[str, Any]) -> None:
        """Keep what a person said of a run (JSON), in place of what was said before.

        Raises:
            InputError: the history has no run of this id, or cannot be written.
        """
        self._set(id_, "feedback", as_text(self._keys.clean(dict(feedback))))

    def _set(self, id_: str, column: str, value: object) -> None:
        update = f"UPDATE runs SET {column} = ? WHERE number = ?"  # noqa: S608 - our names
        changed = self.database.write(update, value, row_number(id_, "r"))
        if changed is None or changed.rowcount != 1:
            raise InputError(f"run {id_!r} is not in the history, or the history cannot be written")

    def prune(self, keeping: Keeping | None = None, gone: Callable[[list[str]], object] = lambda _: None) -> None:
        """Delete runs that need not be kept, a few at a time, after all that was posted; returns at once.

        `gone` gets the names of the checkpoints of deleted runs, on the database's thread.
        """
        kept = keeping or KEEPING
        old, active = (
            (self._clock() - timedelta(days=days)).isoformat(timespec="seconds")
            for days in (kept.days, kept.active_days)
        )
        found: list[tuple[str, str]] = []

        def some(execute: Execute) -> None:
            found[:] = [(f"r{n}", uid or f"r{n}") for n, uid in execute(_OLD, active, kept.runs, old, _AT_ONCE)]
            if not found and bytes_in_use(execute) > kept.size:
                found[:] = [(f"r{n}", uid or f"r{n}") for n, uid in execute(_CROWDED, active, _AT_ONCE)]
            for id_, _ in found:
                _forget(id_, execute)

        def then(committed: bool) -> None:
            if committed and found:
                gone([checkpoints for _, checkpoints in found])
                self.database.post(some, then, long=True)

        self.database.post(some, then, long=True)

    def forget(self, run: str) -> bool:
        """Delete a run, its journal and its values; False if there is none. Threads and writes stay."""
        try:
            with self.database.exclusive() as execute:
                return _forget(run, execute)
        except StoreError as error:
            self.database.complain_of(error)
            return False

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


def _record_text(record: Mapping[str, Any], stow: Callable[[Any], Any]) -> str:
    """Return a record as JSON text; `stow` is applied to its values that may be large.

    The text is made span by span: the encoder would hold every token of all of them in memory.
    """
    head = _with_large({name: value for name, value in record.items() if name != "spans"}, stow)
    if "spans" not in record:
        return as_text(head)
    spans = ",".join(_span_text(span, stow) for span in record["spans"])
    return f'{as_text(head)[:-1]}{"," if head else ""}"spans":[{spans}]}}'


def _span_text(span: Any, stow: Callable[[Any], Any]) -> str:
    text = compact_text(span_to_json(span) if isinstance(span, Span) else span)
    return text if len(text) <= INLINE else as_text(_changed_span(json.loads(text), stow))


def _forget(run: str, execute: Execute) -> bool:
    execute("DELETE FROM journal WHERE run = ?", run)
    values.forget(run, execute)
    return execute("DELETE FROM runs WHERE number = ?", row_number(run, "r")).rowcount == 1


def _with_large(record: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """A copy of a record (JSON) with `change` applied to each of its values that may be large."""
    changed = dict(record)
    if isinstance(inputs := record.get("inputs"), dict):
        changed["inputs"] = {name: change(value) for name, value in inputs.items()}
    if "output" in record:
        changed["output"] = change(record["output"])
    if isinstance(record.get("spans"), Iterable):
        changed["spans"] = [_changed_span(span, change) for span in record["spans"]]
    return changed


def _changed_span(span: Any, change: Callable[[Any], Any]) -> Any:
    if not isinstance(span, dict):
        return span
    return {name: change(value) if name in {"input", "output"} else value for name, value in span.items()}


def _stored(row: Any) -> Stored:
    """A row as a run; a field of another form (of another version, or changed by hand) gets its default."""
    given = dict(row)
    given |= {name: _json(given[name], empty) for name, empty in _JSON.items() if name in given}
    cells = [name for name in ("source", "sources") if is_keyless(given.get(name))]
    given |= {name: next(iter(given[name].values())) for name in cells}
    known = {name: _fitting(given.get(name), plain) for name, plain in _PLAIN.items() if name in given}
    known |= {name: _moment(known[name]) for name in ("started", "updated")}
    who = process.Process(known["pid"], known["host"], str(given.pop("life") or ""))
    if known["status"] == "running" and who.gone:
        known["status"] = "lost"
    if "options" in given:
        known["options"] = given["options"]
    if isinstance(given.get("feedback"), dict):
        known["feedback"] = given["feedback"]
    known["keyless"] = bool(cells)
    return Stored(
        id=f"r{given['number']}", parent=given.get("parent"), caller=given.get("caller"), record=_record(given), **known
    )


def _record(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    record = given.get("record")
    return record if isinstance(record, dict) else None


def _moment(text: str) -> str:
    """A time in ISO 8601; one that cannot be read counts as long ago."""
    try:
        return text if datetime.fromisoformat(text).tzinfo else _LONG_AGO
    except ValueError:
        return _LONG_AGO


def _fitting(value: Any, plain: Any) -> Any:
    """`value` if it is of the same kind as `plain`, else `plain`."""
    if isinstance(plain, bool):
        return bool(value)
    if isinstance(plain, float):
        return float(value) if isinstance(value, int | float) else plain
    return value if isinstance(value, type(plain)) else plain


def _json(text: str | None, otherwise: Any) -> Any:
    try:
        return otherwise if text is None else json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return otherwise


_JSON: dict[str, Any] = {
    "source": "",
    "sources": {},
    "options": None,
    "inputs": {},
    "record": None,
    "events": [],
    "feedback": None,
}
_PLAIN: dict[str, Any] = {
    **dict.fromkeys(
        ("name", "pattern", "status", "started", "updated", "host", "notebook", "user", "uid", "doubt", "source"), ""
    ),
    "pid": 0,
    "unpriced": 0,
    "tokens": 0,
    "cost": 0.0,
    "seconds": 0.0,
    "pinned": False,
    "sources": {},
    "inputs": {},
    "events": [],
}
_LIGHT = ("number", "life", *(f.name for f in fields(Stored) if f.name not in {"id", "keyless", *_JSON}))
_BEGIN = (
    "INSERT INTO runs(status, cost, tokens, seconds, name, pattern, started, updated, pid, host, life, notebook, user, "
    "parent, caller, uid, source, sources, options, inputs) "
    "VALUES ('running', 0, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{}')"
)
_LONG_AGO = "1970-01-01T00:00:00+00:00"
_INPUTS = "UPDATE runs SET inputs = ? WHERE number = ?"
_TAKE = "UPDATE runs SET status = 'running', pid = ?, host = ?, life = ?, updated = ? WHERE number = ?"
_COPY = (
    "INSERT OR REPLACE INTO journal(run, id, key, own, value) SELECT ?, id, key, 0, value FROM journal WHERE run = ?"
)
_SPOKEN = "SELECT content FROM turns WHERE thread = ? AND run IS NOT ? ORDER BY number"
_COUNTS = "SELECT thread, count(*) AS turns FROM turns WHERE run IS NOT ? GROUP BY thread ORDER BY thread"
_TURN = "INSERT INTO turns(thread, number, role, content, run) VALUES (?, ?, ?, ?, ?)"
_SAVE = (
    "UPDATE runs SET status = ?, doubt = ?, updated = ?, record = ?, events = ?, cost = ?, unpriced = ?, tokens = ?, "
    "seconds = ? WHERE number = ?"
)
_RANKED = (  # the runs that may be deleted, with their place among those of their name, the latest first
    "SELECT number, uid, started, row_number() OVER (PARTITION BY name ORDER BY number DESC) AS rank FROM runs "
    "WHERE NOT coalesce(pinned, 0) AND NOT (status IN ('waiting', 'running') AND updated >= ?)"
)
_OLD = f"SELECT number, uid FROM ({_RANKED}) WHERE rank > ? OR started < ? ORDER BY number LIMIT ?"  # noqa: S608 - built from constants
_CROWDED = f"SELECT number, uid FROM ({_RANKED}) WHERE rank > 1 ORDER BY rank DESC, number LIMIT ?"  # noqa: S608 - as above
