"""A session: the parts of one kernel, and the orchestrations that its cells define."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping, MutableMapping

from orchmagic.core.settings import Settings
from orchmagic.errors import SettingsError, nearest
from orchmagic.models.routing import api_keys
from orchmagic.runtime.cell_reader import CellReader
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.resume import RunLookup
from orchmagic.runtime.run import Run
from orchmagic.runtime.run_factory import RunFactory
from orchmagic.runtime.services import Services


class Session:
    """Everything that lives as long as the kernel.

    Attributes:
        services: what all runs share: settings, models, caches, history, budget, event loop.
        reader: reads cells; `factory` makes runs; `lookup` finds runs of the history.
        runs: those at hand, the latest last.
        defined: the orchestrations by name.
    """

    def __init__(
        self,
        namespace: MutableMapping[str, object] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        config: Callable[[], Mapping[str, object]] = dict,
        notify: Callable[[str], None] = print,
    ) -> None:
        """`namespace` is the notebook's (looked at, never written here), `config` what `%config` set there."""
        namespace = {} if namespace is None else namespace
        self.services = Services.of(
            namespace, api_keys.key_environment() if environ is None else environ, config, notify
        )
        self.reader = CellReader(self.services)
        self.factory = RunFactory(self.services)
        self.lookup = RunLookup(self.factory, self.reader)
        self.defined: dict[str, Orchestration] = {}
        atexit.register(self.close)

    @property
    def runs(self) -> list[Run]:
        """The runs at hand, the latest last."""
        return self.factory.runs

    @property
    def settings(self) -> Settings:
        """Settings as they are now; `reload` forgets them."""
        return self.services.settings.now

    def reload(self) -> None:
        """Read the settings again at their next use (a `%config` line changed one)."""
        self.services.reload()

    def define(self, pattern: str, line: str, body: str) -> Orchestration:
        """Read a cell and bind nothing: parse, lower, check.

        Raises:
            CellError: with everything that is wrong with the cell.
        """
        cell = self.reader.read(pattern, line, body, self.services.namespace)
        made = self.defined[cell.definition.name] = Orchestration(cell, self.factory, self.reader)
        return made

    def find(self, name: str) -> Orchestration:
        """The orchestration called `name`.

        Raises:
            SettingsError: there is none; the nearest name is offered.
        """
        if name not in self.defined:
            known = ", ".join(self.defined) or "none yet: run a cell with a name, such as %%chain triage"
            raise SettingsError(f"no orchestration {name!r} (known: {known}){nearest(name, self.defined)}")
        return self.defined[name]

    def add_models(self, entries: Mapping[str, Mapping[str, object]]) -> None:
        """More aliases, for as long as the kernel lives."""
        self.services.settings.add_models(entries)
        self.services.reload()

    def remove_model(self, name: str) -> None:
        """Take an alias back that was added in this kernel; those of the settings stay."""
        self.services.settings.remove_model(name)
        self.services.reload()

    def close(self) -> None:
        """Stop what runs, close providers, caches, history and loop. Safe to call twice."""
        atexit.unregister(self.close)
        for run in self.runs:
            run.cancel()
        self.services.close()
