"""A real IPython shell with orchmagic and a scripted model, for tests of cells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from orchmagic.models.providers.scripted import remove


@contextmanager
def scripted_shell(monkeypatch: pytest.MonkeyPatch, **names: Any) -> Iterator[InteractiveShell]:
    """A shell whose notebook has the variables `names`."""
    monkeypatch.setenv("ORCHMAGIC_MODEL", "scripted")
    InteractiveShell.clear_instance()
    ip = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    ip.run_line_magic("load_ext", "orchmagic")
    ip.run_line_magic("config", "OrchMagic.live = False")
    ip.user_ns |= names
    yield ip
    ip.run_line_magic("unload_ext", "orchmagic")
    InteractiveShell.clear_instance()
    remove()


def run(shell: InteractiveShell, cell: str) -> Any:
    """The value of a cell; the error of one that fails."""
    done = shell.run_cell(cell)
    return done.result if done.success else (done.error_in_exec or done.error_before_exec)
