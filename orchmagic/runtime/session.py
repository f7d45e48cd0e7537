"""Session: all state of one kernel, and the orchestrations that its cells define."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import replace
from weakref import WeakSet

from orchmagic.core.settings import Settings
from orchmagic.errors import SettingsError, nearest
from orchmagic.models.routing import api_keys
from orchmagic.runtime.cell_reader import CellDefinition, CellReader
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.resume import RunLookup
from orchmagic.runtime.run import Run
from orchmagic.runtime.run_factory import RunFactory
from orchmagic.runtime.services import Services

_SESSIONS: WeakSet[Session] = WeakSet()


class Session:
    """The state that exists as long as the kernel.

    Attributes:
        services: shared by all runs: settings, models, caches, history, budget, event loop.
        reader: reads cells; `factory` creates runs; `lookup` finds runs of the history.
        runs: runs in memory, the latest last.
        defined: the orchestrations by name.
    """

    def __init__(
        self,
        namespace: MutableMapping[str, object] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        config: Callable[[], Mapping[str, object]] = dict,
        notify: Callable[[str], None] = print,
        cell: Callable[[], tuple[str, str]] = lambda: ("", ""),
    ) -> None:
        """`namespace` is the notebook's (only the variable of `-o` is written); `config` returns what `%config` set.

        `cell` returns the ids of the cell that runs and of its execution, "" if unknown.
        """
        namespace = {} if namespace is None else namespace
        environ = api_keys.key_environment() if environ is None else environ
        self.services = replace(Services.of(namespace, environ, config, notify), cell=cell)
        self._notify = notify
        self._told: set[str] = set()
        self.reader = CellReader(self.services)
        self.factory = RunFactory(self.services)
        self.lookup = RunLookup(self.factory, self.reader, self._bind)
        self.defined: dict[str, Orchestration] = {}
        atexit.register(self.close)
        _SESSIONS.add(self)

    @property
    def runs(self) -> list[Run]:
        """The runs in memory, the latest last."""
        return self.factory.runs

    @property
    def settings(self) -> Settings:
        """The current settings; `reload` drops the cached ones."""
        return self.services.settings.now

    def reload(self) -> None:
        """Makes the next use read the settings again, after a `%config` line changed one."""
        self.services.reload()

    def define(
        self, pattern: str, line: str, body: str, namespace: MutableMapping[str, object] | None = None
    ) -> Orchestration:
        """Parses, lowers and checks a cell; binds no notebook name. `namespace` replaces the notebook's for this cell.

        Raises:
            CellError: the cell has problems; lists all of them.
        """
        self._tell_untrusted()
        services, reader, factory = self.services, self.reader, self.factory
        if namespace is not None:
            services = replace(services, namespace=namespace)
            reader, factory = CellReader(services), RunFactory(services, self.runs, self.factory.seen_cells)
        cell = reader.read(pattern, line, body, services.namespace)
        self._tell(cell.remarks)
        made = self.defined[cell.definition.name] = Orchestration(cell, factory, reader)
        self.factory.seen_cells.add(cell.definition.source)
        return made

    def _bind(self, cell: CellDefinition, run: Run) -> None:
        """Binds the name of a cell whose run of an earlier kernel is resumed, if the notebook has no such name."""
        name, namespace = cell.options.name, self.services.namespace
        if name is None or name != run.name:
            return
        if name not in namespace:
            namespace[name] = self.defined[name] = Orchestration(cell, self.factory, self.reader)
        made = namespace[name]
        if isinstance(made, Orchestration) and made.last is None:
            made.last = run

    def _tell_untrusted(self) -> None:
        """Says which settings of the project's files are not used, and what to type."""
        _ = self.settings  # reads the files
        self._tell(self.services.settings.trust.unanswered)

    def _tell(self, texts: Iterable[str]) -> None:
        """Says each of the texts, once in a session."""
        for text in texts:
            if text not in self._told:
                self._told.add(text)
                self._notify(text)

    def find(self, name: str) -> Orchestration:
        """The orchestration called `name`.

        Raises:
            SettingsError: there is none; suggests the nearest name.
        """
        if name not in self.defined:
            known = ", ".join(self.defined) or "none yet: run a cell with a name, such as %%chain triage"
            raise SettingsError(f"no orchestration {name!r} (known: {known}){nearest(name, self.defined)}")
        return self.defined[name]

    def add_models(self, entries: Mapping[str, Mapping[str, object]]) -> None:
        """Adds aliases until the kernel ends."""
        self.services.settings.add_models(entries)
        self.services.reload()

    def remove_model(self, name: str) -> None:
        """Removes an alias that was added in this kernel; aliases from the settings files stay."""
        self.services.settings.remove_model(name)
        self.services.reload()

    def begin_after_fork(self) -> None:
        """Begins again in a forked process, which has no threads: new loops, connections and clients at next use."""
        self.runs[:] = [run for run in self.runs if run.status != "running"]
        self.services.begin_after_fork()

    def close(self) -> None:
        """Stops active runs and closes providers, caches, history and loop. Safe to call twice."""
        atexit.unregister(self.close)
        for run in self.runs:
            run.cancel()
        self.services.close()


def _after_fork() -> None:
    for session in tuple(_SESSIONS):
        session.begin_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
