"""What tests of composed and interrupted runs share: cells that are bound to their names, and a second session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchmagic import Session
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.run import Run


def bind(notebook: Any, cell: str) -> Orchestration:
    """Define a cell and bind it to its name, as a notebook does."""
    made = notebook.define(cell)
    notebook.space[made.definition.name] = made
    return made


@contextmanager
def restarted(notebook: Any, *cells: str, **space: object) -> Iterator[Session]:
    """A second kernel over the same folders: it has run `cells` (without starting them), and holds `space`."""
    names: dict[str, object] = dict(space)
    session = Session(names, environ=notebook.session.services.environ, notify=lambda _: None)
    try:
        for cell in cells:
            head, _, body = cell.partition("\n")
            magic, _, line = head.removeprefix("%%").partition(" ")
            made = session.define(magic, line, body)
            names[made.definition.name] = made
        yield session
    finally:
        session.close()


def asked(notebook: Any) -> list[str]:
    """The last message of every request, sorted: side by side, any may come first."""
    return sorted(str(p) for p in notebook.prompts)


def spans(run: Run, kind: str = "") -> list[str]:
    """The ids of the run's spans, of one kind when it is named."""
    return [s.id for s in run.record.spans if kind in {"", s.kind}]
