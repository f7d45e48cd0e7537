"""Writes: calls of tools marked `writes=True`, stored by tool and idempotency key with their state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchmagic.core import process
from orchmagic.core.redaction import KeyValues
from orchmagic.errors import InputError
from orchmagic.storage.values import Values, as_text, is_keyless, row_number

if TYPE_CHECKING:
    from orchmagic.storage.database import Database

LOCKED = 30.0  # seconds that a write waits, before it is done, for a history that another program has locked


@dataclass(frozen=True, slots=True)
class Write:
    """One write. `state`: begun (under way), done, failed (it raised, so nothing was written), or unknown.

    Unknown: the process died or was interrupted before the end of the write was recorded. `call` is the call as text
    for people, `result` JSON, `at` its start (ISO 8601 in UTC). `mine`: started by this very `claim`.
    """

    id: str
    tool: str
    key: str
    call: str
    state: str
    result: Any
    run: str
    at: str
    mine: bool = False


class Ledger:
    """The writes of all runs of this user. A write is recorded on disk before it is executed, without API keys.

    A write whose result held a key is done in this kernel. In others its end is unknown, as nobody has the result.
    """

    def __init__(self, database: Database, now: Callable[[], str], keys: KeyValues) -> None:
        self._database = database
        self._now = now
        self._keys = keys
        self._values = Values(database, keys)
        self._unsaved: dict[int, tuple[str, Any]] = {}  # end states that are not on disk yet, or never

    def claim(self, tool: str, key: str, call: str, run: str) -> Write:
        """Record the start of a write; if it was started before and did not fail, return that earlier write.

        Raises:
            StoreError: it cannot be recorded, so it must not be executed.
        """
        who = process.this()
        key, call = self._told_apart(key), self._keys.clean(call)
        with self._database.exclusive(durable=True, patience=LOCKED) as execute:
            row = execute("SELECT * FROM writes WHERE tool = ? AND key = ?", tool, key).fetchone()
            if row is not None and (earlier := self._known(row)).state != "failed":
                return earlier
            execute("DELETE FROM writes WHERE tool = ? AND key = ?", tool, key)
            at = self._now()
            added = execute(_BEGIN, tool, key, call, run, at, who.pid, who.host, who.life)
            return Write(f"w{added.lastrowid}", tool, key, call, "begun", None, run, at, mine=True)

    def find(self, id_: str) -> Write | None:
        """Return a write in its current state; None if it was forgotten."""
        rows = self._database.read("SELECT * FROM writes WHERE number = ?", row_number(id_, "w"))
        return self._known(rows[0]) if rows else None

    def done(self, id_: str, result: Any) -> None:
        """Record that the write is done, with its result (JSON)."""
        self._end(id_, "done", result)

    def failed(self, id_: str) -> None:
        """Record that the tool raised, so nothing was written and it may be tried again."""
        self._end(id_, "failed", None)

    def cut_off(self, id_: str) -> None:
        """Record that the write was interrupted, so that its end is unknown."""
        self._end(id_, "unknown", None)

    def writes(self, limit: int = 50) -> list[Write]:
        """Return the latest writes, newest first."""
        self._database.flush()
        rows = self._database.read("SELECT * FROM writes ORDER BY number DESC LIMIT ?", limit)
        return [self._known(row) for row in rows]

    def settle(self, id_: str, result: Any = None) -> Write:
        """Mark a write of unknown end as done, as a person found out; later calls get `result`.

        Raises:
            InputError: there is no such write, or its end is known.
        """
        write = self._ended(id_)
        if write.state != "unknown":
            raise InputError(f"{write.call} of run {write.run} is {write.state}: there is nothing to settle")
        self.done(id_, result)
        return write

    def forget(self, id_: str) -> Write:
        """Delete a write, so that it can be executed again; the caller has checked whether it was done.

        Raises:
            InputError: there is no such write, or it is under way.
        """
        write = self._ended(id_)
        self._database.write("DELETE FROM writes WHERE number = ?", row_number(id_, "w"))
        self._unsaved.pop(row_number(id_, "w"), None)
        return write

    def _ended(self, id_: str) -> Write:
        write = self.find(id_)
        if write is None:
            raise InputError(f"there is no write {id_!r}: %orch writes lists those that are there")
        if write.state == "begun":
            raise InputError(f"{write.call} is under way in run {write.run}: wait for its end")
        return write

    def _end(self, id_: str, state: str, result: Any) -> None:
        number, end = row_number(id_, "w"), (state, result)
        self._unsaved[number] = end
        (kept,) = self._values.keyless(result)

        def done(committed: bool) -> None:
            if committed and not is_keyless(kept) and self._unsaved.get(number) is end:
                del self._unsaved[number]

        sql = "UPDATE writes SET state = ?, result = ? WHERE number = ?"
        self._database.post(lambda execute: execute(sql, state, as_text(kept), number), done)

    def _told_apart(self, key: str) -> str:
        """The idempotency key, of which a hash stands for what held an API key."""
        clean = str(self._keys.clean(key))
        return key if clean == key else f"{clean}#{hashlib.sha256(key.encode()).hexdigest()}"

    def _known(self, row: Any) -> Write:
        state, result = row["state"], _result(row["result"])
        if row["number"] in self._unsaved:
            state, result = self._unsaved[row["number"]]
        elif state == "begun" and process.Process(row["pid"], row["host"], row["life"]).gone:
            state = "unknown"
        elif is_keyless(result):
            state, result = "unknown", None
        texts = (row["tool"], row["key"], row["call"])
        return Write(f"w{row['number']}", *texts, state, result, row["run"], row["at"])


def _result(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except (ValueError, TypeError, RecursionError):
        return text


_BEGIN = "INSERT INTO writes(tool, key, call, state, run, at, pid, host, life) VALUES (?, ?, ?, 'begun', ?, ?, ?, ?, ?)"
