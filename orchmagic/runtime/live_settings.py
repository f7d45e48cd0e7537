"""The settings of a session, which a `%config` line or a new alias may change at any time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from orchmagic.core.settings import Settings, load
from orchmagic.errors import InputError
from orchmagic.models.routing import alias_advice


class LiveSettings:
    """The settings as they are now: read at their first use, and again after `forget`.

    `config` gives what the notebook configured (`%config`), `environ` the variables of the environment.
    """

    def __init__(self, environ: Mapping[str, str], config: Callable[[], Mapping[str, object]] = dict) -> None:
        self.environ = environ
        self._config = config
        self._added: dict[str, Mapping[str, object]] = {}
        self._read: Settings | None = None

    @property
    def now(self) -> Settings:
        """The settings."""
        if self._read is None:
            given = self._config()
            models = given.get("models") or {}
            own = {**models, **self._added} if isinstance(models, Mapping) else models
            self._read = load({**given, "models": own} if self._added else given, self.environ, Path.cwd())
        return self._read

    def forget(self) -> Settings | None:
        """Read them again at their next use; returns the settings before, None if they were not read."""
        before, self._read = self._read, None
        return before

    def add_models(self, entries: Mapping[str, Mapping[str, object]]) -> None:
        """More aliases, for as long as the kernel lives."""
        self._added |= entries

    def remove_model(self, name: str) -> None:
        """Take an alias back that was added in this kernel; those of the settings stay.

        Raises:
            InputError: it was not added here.
        """
        if name not in self._added:
            raise InputError(alias_advice.cannot_remove(name, self.now, self._added))
        del self._added[name]
