"""Find plug-ins: the modules of one of our packages, then entry points of the same name.

A plug-in is a file (or an installed package); there is no list to edit. Built-in and third-party plug-ins are found
in the same way, and each is imported at its first use.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from orchmagic.errors import SettingsError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Plug-ins by name. `package` holds the built-in ones, one per module, each as the module's `attribute`.

    Other packages declare an entry point in `group` (default: `package`) whose value is the plug-in object.
    """

    def __init__(self, package: str, attribute: str, kind: type[T], group: str = "") -> None:
        self._package = package
        self._group = group or package
        self._attribute = attribute
        self._kind = kind
        self._loaded: dict[str, T] = {}

    def names(self) -> tuple[str, ...]:
        """Return all names, built-in ones first; imports only the package, no plug-in."""
        paths = import_module(self._package).__path__
        built_in = [m.name for m in pkgutil.iter_modules(paths) if not m.name.startswith("_")]
        foreign = [e.name for e in entry_points(group=self._group) if e.name not in built_in]
        return (*built_in, *foreign)

    def get(self, name: str) -> T:
        """Return the plug-in called `name`; imports it at its first use.

        Raises:
            SettingsError: there is no such plug-in, or it has the wrong type.
        """
        if name not in self._loaded:
            plug = self._find(name)
            if not isinstance(plug, self._kind):
                kinds = f"a {type(plug).__name__}, not a {self._kind.__name__}"
                raise SettingsError(f"{name!r} in {self._group} is {kinds}")
            self._loaded[name] = plug
        return self._loaded[name]

    def _find(self, name: str) -> object:
        paths = import_module(self._package).__path__
        if any(m.name == name for m in pkgutil.iter_modules(paths)):
            return getattr(import_module(f"{self._package}.{name}"), self._attribute)
        for entry in entry_points(group=self._group, name=name):
            return entry.load()
        known = self.names()
        raise SettingsError(f"no {name!r} in {self._group} (known: {', '.join(known)}){nearest(name, known)}")

    def __iter__(self) -> Iterator[T]:
        return (self.get(name) for name in self.names())
