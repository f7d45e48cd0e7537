"""A notebook without a kernel: a session, its namespace, and a scripted model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchmagic import Script, Session, install
from orchmagic.models.providers.scripted import remove
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.run import Run


class Notebook:
    """`notebook.script(...)` sets the replies, `notebook.run(cell, **values)` runs a cell on them."""

    def __init__(self) -> None:
        self.space: dict[str, object] = {}
        self.said: list[str] = []
        self.session = Session(self.space, environ={"ORCHMAGIC_MODEL": "scripted"}, notify=self.said.append)
        self.scripted = install(Script())

    def script(self, *replies: Any) -> Script:
        self.scripted = install(Script(replies[0] if len(replies) == 1 and callable(replies[0]) else list(replies)))
        return self.scripted

    def define(self, cell: str) -> Orchestration:
        head, _, body = cell.partition("\n")
        magic, _, line = head.removeprefix("%%").partition(" ")
        return self.session.define(magic, line, body)

    def run(self, cell: str, **values: object) -> Run:
        self.space.update(values)
        return self.define(cell)()

    @property
    def prompts(self) -> list[str]:
        """The last message of every request."""
        return [body["messages"][-1]["content"] for body in self.scripted.requests]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Notebook]:
    monkeypatch.setenv("ORCHMAGIC_CACHE_DIR", str(tmp_path))
    book = Notebook()
    book.session.services.environ.update({"ORCHMAGIC_CACHE_DIR": str(tmp_path)})
    yield book
    book.session.close()
    remove()
