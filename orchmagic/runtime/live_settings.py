"""The settings of a session, read again after a `%config` line or a new alias changed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchmagic.core import process
from orchmagic.core.settings import Settings, load
from orchmagic.errors import InputError
from orchmagic.models.routing import alias_advice
from orchmagic.models.routing.api_keys import KeyEnvironment
from orchmagic.models.routing.redirects import ProjectTrust


class LiveSettings:
    """Caches the settings: read at first use, and again after `forget`.

    `config` returns the values set by `%config`; `environ` holds the environment variables. `trust` knows which
    settings of the project's files are not used until the user has trusted the file.
    """

    def __init__(self, environ: Mapping[str, str], config: Callable[[], Mapping[str, object]] = dict) -> None:
        self.environ = environ
        self.trust = environ.trust() if isinstance(environ, KeyEnvironment) else ProjectTrust(environ)
        self._config = config
        self._added: dict[str, Mapping[str, object]] = {}
        self._read: Settings | None = None

    @property
    def now(self) -> Settings:
        """The current settings."""
        if self._read is None:
            given = self._config()
            models = given.get("models") or {}
            own = {**models, **self._added} if isinstance(models, Mapping) else models
            config = {**given, "models": own} if self._added else given
            self._read = load(config, self.environ, process.folder(), self.trust.screen)
        return self._read

    def forget(self) -> Settings | None:
        """Drops the cached settings and returns them; None if there were none."""
        before, self._read = self._read, None
        return before

    def add_models(self, entries: Mapping[str, Mapping[str, object]]) -> None:
        """Adds aliases until the kernel ends."""
        self._added |= entries

    def remove_model(self, name: str) -> None:
        """Removes an alias that was added in this kernel; aliases from the settings files stay.

        Raises:
            InputError: it was not added in this kernel.
        """
        if name not in self._added:
            raise InputError(alias_advice.cannot_remove(name, self.now, self._added))
        del self._added[name]
