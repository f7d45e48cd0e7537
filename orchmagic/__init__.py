"""orchmagic: one notebook cell is one LLM orchestration pattern.

`%load_ext orchmagic` adds `%%chain` and the other cell magics. Importing this package imports nothing heavy; public
names are imported at their first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"

_HOME = {
    "CellError": "orchmagic.errors",
    "OrchError": "orchmagic.errors",
    "Orchestration": "orchmagic.runtime.orchestration",
    "Pattern": "orchmagic.patterns",
    "Record": "orchmagic.trace.record",
    "Reply": "orchmagic.models.providers.scripted",
    "Run": "orchmagic.runtime.run",
    "Script": "orchmagic.models.providers.scripted",
    "Session": "orchmagic.runtime.session",
    "advise": "orchmagic.notebook.advising",
    "endpoint": "orchmagic.models.providers.local",
    "evaluate": "orchmagic.evaluation.evaluate",
    "install": "orchmagic.models.providers.scripted",
    "label": "orchmagic.notebook.labelling",
    "money": "orchmagic.trace.humanize",
    "rows": "orchmagic.notebook.reference_rows",
    "serve": "orchmagic.models.scripting.server",
    "tool": "orchmagic.runtime.tools",
}

__all__ = [*_HOME, "load_ipython_extension", "unload_ipython_extension"]  # noqa: PLE0604 - names as text, checked by a test


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'orchmagic' has no {name!r} (public: {', '.join(_HOME)})")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Registers the magics (called by `%load_ext orchmagic`)."""
    from orchmagic.notebook.magics import load  # noqa: PLC0415 - only IPython needs it

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Cancels active runs and removes the magics (called by `%unload_ext orchmagic`)."""
    from orchmagic.notebook.magics import unload  # noqa: PLC0415 - as above

    unload(shell)
