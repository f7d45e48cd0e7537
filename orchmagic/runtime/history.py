"""The run history: SQLite store, LangGraph checkpoints of runs that can pause, audit log and OpenTelemetry export."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.core import process
from orchmagic.core.redaction import KeyValues
from orchmagic.core.settings import Settings
from orchmagic.errors import SettingsError, StoreError
from orchmagic.graph.composition import nested
from orchmagic.runtime.event_loop import EventLoopThread
from orchmagic.runtime.live_settings import LiveSettings
from orchmagic.runtime.run_plan import RunPlan
from orchmagic.storage.sqlite_files import StoreWarning
from orchmagic.trace import otel
from orchmagic.trace.audit import Audit
from orchmagic.trace.events import Event, to_json

if TYPE_CHECKING:
    from orchmagic.storage.checkpoints import Close
    from orchmagic.storage.row_store import RowStore
    from orchmagic.storage.runs import Store
    from orchmagic.storage.sent_batches import BatchStore
    from orchmagic.trace.record import Record

_OF_PARENT: list[object] = []  # in a forked process: SQLite's connections must not be closed there
_HELD = 100  # ended runs kept in memory; older ones are read from the store
_HELD_ALONE = 1000  # if the store is in memory, too, and stores only a part of each run


class History:
    """The stores of the history, opened at first use. With `history` off they are in memory until the kernel ends."""

    def __init__(
        self, settings: LiveSettings, loop: EventLoopThread, namespace: Mapping[str, object], keys: KeyValues
    ) -> None:
        self._keys = keys  # which no store keeps
        self._settings = settings
        self._loop = loop
        self._namespace = namespace
        self._store: Store | None = None
        self._rows: RowStore | None = None
        self._batches: BatchStore | None = None
        self._saver: Any = None
        self._close_saver: Close | None = None
        self._pruned = False
        self._warned = False
        self._audit: Audit | None = None

    def notebook(self) -> str:
        """The notebook's file name, "" if unknown."""
        return process.notebook(self._namespace, self._settings.environ)

    @property
    def is_on(self) -> bool:
        """Whether runs outlive the kernel."""
        return self._settings.now.history == "on"

    @property
    def store(self) -> Store:
        """The run history."""
        if self._store is None:
            from orchmagic.storage.runs import Store  # noqa: PLC0415 - first run

            folder = self._folder
            self._store = Store(folder / "runs.sqlite", keys=self._keys) if folder else Store(None)
        return self._store

    @property
    def rows(self) -> RowStore:
        """The outcomes of rows, of evaluations and of `map`. Its first use begins to delete old ones."""
        if self._rows is None:
            from orchmagic.storage.row_store import RowStore  # noqa: PLC0415 - first use

            folder = self._folder
            self._rows = RowStore(folder / "rows.sqlite", keys=self._keys) if folder else RowStore(None)
            self._rows.prune()
        return self._rows

    @property
    def batches(self) -> BatchStore:
        """The batches that were sent to endpoints."""
        if self._batches is None:
            from orchmagic.storage.sent_batches import BatchStore  # noqa: PLC0415 - first batch

            folder = self._folder
            self._batches = BatchStore(folder / "batches.sqlite" if folder else None)
        return self._batches

    @property
    def saver(self) -> Any:
        """LangGraph's checkpointer on the session's loop; None if checkpoints are in memory.

        They are with `history` off, and if their file cannot be written; the first time, a warning says so.

        Raises:
            SettingsError: the database cannot be opened.
        """
        if self._saver is None and self._folder is not None:
            self._loop.run(self._saver_on_loop())
        return self._saver

    async def _saver_on_loop(self) -> Any:
        folder = self._folder
        if self._saver is None and folder is not None:
            from orchmagic.storage.checkpoints import open_saver  # noqa: PLC0415 - first pause

            url = self._settings.now.checkpoints
            try:
                opened, close = await open_saver(url or folder / "checkpoints.sqlite", self._keys)
            except StoreError as error:
                self._warn_once(f"{error}: a run that waits for a person waits until this kernel ends")
                return None
            if self._saver is None:
                self._saver, self._close_saver = opened, close
            else:  # another task was faster
                await close()
        return self._saver

    def _warn_once(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(text, StoreWarning, stacklevel=2)

    @property
    def audit(self) -> Audit | None:
        """The audit log; None without the setting."""
        path = self._settings.now.audit
        if path is None or self._audit is None or self._audit.setting != path:
            self._audit = None if path is None else Audit(path, self.notebook)
        return self._audit

    def begin(self, plan: RunPlan, uid: str) -> str:
        """Stores a new run and returns its id. The first call of a session begins to delete old runs and checkpoints.

        `uid` names its checkpoints.

        Raises:
            SettingsError: the audit log is on and cannot be written.
        """
        if self.audit is not None:
            self.audit.check()
        if not self._pruned:
            self._pruned = True
            self.store.prune(gone=self._drop_checkpoints)
        graph = plan.graph
        return self.store.begin(
            graph.name,
            graph.pattern,
            source=graph.source,
            sources={g.name: g.source for g in nested(graph) if g.source},
            options=asdict(plan.replay) if plan.parent else None,
            inputs=plan.inputs,
            parent=plan.parent,
            caller=plan.caller.ctx.run if plan.caller else None,
            notebook=self.notebook(),
            user=process.user(),
            uid=uid,
        )

    @property
    def room(self) -> int:
        """The number of ended runs kept in memory (37 kB each), so that a loop of thousands does not fill it."""
        return _HELD if self._folder else _HELD_ALONE

    def save(self, record: Record, events: Sequence[Event], thread: str | None, *, is_part: bool = False) -> None:
        """Stores a run's status and record; `events` of a waiting run, so that another kernel can resume it.

        `is_part`: notebook code of another run started it, and that one's audit lines and export contain it.
        """
        if self.audit is not None and not is_part:
            self.audit.ended(record)
        # a store in memory needs no full record: views read the run object
        figures = ("cost", "unpriced", "seconds")
        content = record.to_parts() if self._folder else {name: getattr(record, name) for name in figures}
        self.store.save(record.run, record.status, content, [to_json(e) for e in events])
        if self._settings.now.otel == "on" and not is_part:
            otel.export(record, thread)

    def forget_checkpoint(self, uid: str) -> None:
        """Deletes the checkpoints of a run, before it starts again from the journal."""
        if (saver := self.saver) is not None:
            self._loop.run(saver.adelete_thread(uid))

    def _drop_checkpoints(self, uids: Collection[str]) -> None:
        """Deletes the checkpoints of pruned runs, without waiting for it."""
        folder = self._folder
        if self._settings.now.checkpoints or (folder is not None and (folder / "checkpoints.sqlite").exists()):
            self._loop.submit(self._dropped(uids))

    async def _dropped(self, uids: Collection[str]) -> None:
        with contextlib.suppress(SettingsError):
            saver = await self._saver_on_loop()
            for uid in uids if saver is not None else ():
                await saver.adelete_thread(uid)

    def reload(self, before: Settings | None) -> None:
        """Closes the stores if the changed settings have other locations; the next use opens them again."""
        now = self._settings.now
        if before is not None and _places(before) != _places(now):
            self.close()

    def forget(self) -> None:
        """Drops the stores in a forked process, without closing them: they are the parent's."""
        _OF_PARENT.append((self._store, self._rows, self._batches, self._saver, self._audit))
        self._store = self._rows = self._batches = self._saver = self._close_saver = self._audit = None

    def close(self) -> None:
        """Close all stores. Safe to call twice."""
        if self._close_saver is not None:
            self._loop.finish(_closing(self._close_saver))
            self._saver = self._close_saver = None
        for store in (self._store, self._rows, self._batches):
            if store is not None:
                store.close()
        self._store = self._rows = self._batches = None

    @property
    def _folder(self) -> Path | None:
        chosen = self._settings.now
        return None if chosen.history == "off" else Path(chosen.history_dir)


def _places(chosen: Settings) -> tuple[object, ...]:
    return chosen.history, chosen.history_dir, chosen.checkpoints


async def _closing(close: Close) -> None:
    await close()
