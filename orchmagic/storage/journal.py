"""The journal of a run: paid answers and effects, recorded at once, so that none is paid or done a second time.

To resume a run that was killed, cancelled or failed, it is run again from its start. Answers of models, results of code
and tools, and replies of persons then come from its journal. A replay reads its parent's journal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from orchmagic.core.redaction import KeyValues
from orchmagic.storage.values import KeyRemovedError, NotKeptError, Values, as_text, is_keyless, row_number

if TYPE_CHECKING:
    from orchmagic.storage.database import Database, Execute


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A recorded value (JSON). `own`: recorded by this run itself, not by the run that it replays."""

    value: Any
    own: bool


class Journal(Protocol):
    """Values by `id` (a call "extract#1.1", a span "docs#1", a tool call) and `key`, a hash of the input.

    A changed input has another key, and so no entry. No method raises because of the disk.
    """

    def recall(self, id_: str, key: str) -> JournalEntry | None: ...

    def keep(self, id_: str, key: str, value: Any) -> None:
        """Record a value; it replaces the entry of this id. It need not be on disk yet."""

    async def settled(self) -> None:
        """Wait until what was kept is on disk: only then may a paid answer or an effect be used."""

    def forget(self, span: str) -> None:
        """Delete the answers of a span's model calls, so that the models are called again."""


class NoJournal:
    """A journal in memory, for runs without history; pauses work while the kernel lives."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[str, Any]] = {}

    def recall(self, id_: str, key: str) -> JournalEntry | None:
        entry = self._entries.get(id_)
        return JournalEntry(entry[1], own=True) if entry is not None and entry[0] == key else None

    def keep(self, id_: str, key: str, value: Any) -> None:
        self._entries[id_] = (key, value)

    async def settled(self) -> None:
        """Nothing is on disk."""

    def forget(self, span: str) -> None:
        for id_ in [i for i in self._entries if i.startswith(f"{span}.")]:
            del self._entries[id_]


class RunJournal:
    """The journal of one run in the history. If it has no entry, the journal of the `parent` run is searched.

    The parent is searched by id and key, then by key under any id: a step that moved still finds its answer, and
    one answer may serve several calls. The entry is copied, so that this run can be replayed without its parent.
    If `fresh(id)` is true, the parent is not searched: that part runs again. `paid`: the parent's own entries count
    as this run's own, because this run continues it. `new`: the run begins now, so only what this object writes is
    there. An entry that held one of the `keys` serves this kernel only.
    """

    def __init__(
        self,
        database: Database,
        run: str,
        parent: str | None = None,
        fresh: Callable[[str], bool] | None = None,
        *,
        paid: bool = False,
        new: bool = False,
        keys: KeyValues | None = None,
    ) -> None:
        self._database = database
        self._run = run
        self._parent = parent
        self._paid = paid
        self._fresh = fresh or (lambda _: False)
        self._values = Values(database, KeyValues() if keys is None else keys)
        self._is_stored = row_number(run, "r") >= 0  # else the run could not be entered, and its id is no name for rows
        self._pending: dict[str, tuple[str, JournalEntry]] = {}  # not on disk yet, or never: the disk refused it
        self._ids: set[str] | None = set() if new else None  # of all entries; None: others may be on disk
        self._forgotten: set[str] = set()  # starts of ids whose rows are not deleted yet

    def recall(self, id_: str, key: str) -> JournalEntry | None:
        """Return the entry, own or of the parent; None if there is none."""
        pending = self._pending.get(id_)
        if pending is not None:
            return pending[1] if pending[0] == key else None
        there = self._is_stored and (self._ids is None or id_ in self._ids)
        there = there and not any(map(id_.startswith, self._forgotten))
        rows = self._database.read(_OWN, self._run, id_, key) if there else ()
        found = self._read(rows[0]["value"], own=bool(rows[0]["own"])) if rows else None
        return found or self._from_parent(id_, key)

    def keep(self, id_: str, key: str, value: Any) -> None:
        """Record a value; it replaces the entry of this id."""
        self._write(id_, key, JournalEntry(value, own=True))

    async def settled(self) -> None:
        """Wait until what was kept is on disk, or cannot be, or waits for a locked file and that was said."""
        if self._pending:
            await self._database.settled()

    def forget(self, span: str) -> None:
        """Delete the answers of the span's model calls: "map#1/2.1" and so on."""
        for id_ in [i for i in self._pending if i.startswith(f"{span}.")]:
            del self._pending[id_]
        start = f"{span}."
        self._forgotten.add(start)
        self._database.post(
            lambda execute: execute(_FORGET, self._run, start, f"{span}/"),  # "/" follows "."
            lambda committed: self._forgotten.discard(start) if committed else None,
        )

    def _from_parent(self, id_: str, key: str) -> JournalEntry | None:
        if self._parent is None or self._fresh(id_):
            return None
        rows = self._database.read(_OWN, self._parent, id_, key) or self._database.read(_ANY, self._parent, key)
        entry = self._read(rows[0]["value"], own=self._paid and bool(rows[0]["own"])) if rows else None
        if entry is not None:
            self._write(id_, key, entry)
        return entry

    def _read(self, text: str, *, own: bool) -> JournalEntry | None:
        try:
            return JournalEntry(self._values.whole(json.loads(text)), own)
        except KeyRemovedError:
            self._database.complain("used in full", "what a run recorded held an API key: its step runs again")
            return None
        except (ValueError, TypeError, RecursionError, NotKeptError) as error:
            self._database.complain("understood", f"a damaged row, {error}: the model is called again for what it held")
            return None

    def _write(self, id_: str, key: str, entry: JournalEntry) -> None:
        pending = self._pending[id_] = (key, entry)
        if self._ids is not None:
            self._ids.add(id_)
        if not self._is_stored:
            return

        keyless = False

        def done(committed: bool) -> None:
            if committed and not keyless and self._pending.get(id_) is pending:
                del self._pending[id_]

        def keep(execute: Execute) -> None:
            nonlocal keyless
            stored = self._values.stowed(entry.value, self._run, execute)
            keyless = is_keyless(stored)
            execute(_KEEP, self._run, id_, key, entry.own, as_text(stored))

        self._database.post(keep, done)


_OWN = "SELECT own, value FROM journal WHERE run = ? AND id = ? AND key = ?"
_ANY = "SELECT own, value FROM journal WHERE run = ? AND key = ? ORDER BY rowid LIMIT 1"
_FORGET = "DELETE FROM journal WHERE run = ? AND id > ? AND id < ?"
_KEEP = "INSERT OR REPLACE INTO journal(run, id, key, own, value) VALUES (?, ?, ?, ?, ?)"
