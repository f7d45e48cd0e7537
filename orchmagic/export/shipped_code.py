"""The notebook's functions and classes as Python source, for a worker process: as written, with what they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchmagic.errors import ExportError
from orchmagic.export.notebook_code import Copied


class _Shipped(Copied):
    """Keeps orchmagic's decorators, since orchmagic is there, too; no name is taken by a module's own code."""

    def _check_name(self, name: str, found: object) -> None:
        """Nothing: any name may be used."""

    def _unmarked(self, name: str, source: str, scope: Mapping[str, Any]) -> str:  # noqa: ARG002 - as Copied
        return source


def shipped(names: Iterable[str], user: str, namespace: Mapping[str, object]) -> str:
    """Returns the source that defines these names of the notebook; `user` (an orchestration) needs them.

    Raises:
        ExportError: lists all that cannot be copied, such as a lambda or a live object.
    """
    copied = _Shipped(namespace)
    copied.take(names, user)
    if copied.problems:
        raise ExportError("; ".join(dict.fromkeys(copied.problems)))
    lines = [_import(name, *origin) for name, origin in copied.imports.items()]
    return "\n\n".join(["\n".join(lines), *copied.blocks]) + "\n"


def _import(name: str, module: str, there: str) -> str:
    return f"from {module} import {there} as {name}" if there else f"import {module} as {name}"
