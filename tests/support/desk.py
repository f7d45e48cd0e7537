"""A project folder as a user has one: endpoints on loopback, their aliases in pyproject.toml, cells and `%orch`."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from orchmagic import Script, serve
from orchmagic.models.scripting.server import ScriptedServer
from orchmagic.notebook.commands import run as orch
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.run import Run
from orchmagic.runtime.session import Session
from orchmagic.trace.events import to_json

KEY = "sk-test-0123456789abcdef"


class Desk:
    """`desk.serve("first", replies)` starts an endpoint; `desk.project(...)` writes the settings that name it."""

    def __init__(self, notebook: Any, folder: Path) -> None:
        self.notebook = notebook
        self.folder = folder
        self.urls: dict[str, str] = {}
        self.scripts: dict[str, Script] = {}
        self.servers: dict[str, ScriptedServer] = {}
        self._stack = ExitStack()
        self.restart(
            {
                "ORCHMAGIC_CACHE_DIR": str(folder / "cache"),
                "OPENAI_API_KEY": KEY,
                "ORCHMAGIC_SEMANTIC": "audits=0",
            }
        )

    @property
    def session(self) -> Session:
        return self.notebook.session

    def serve(self, name: str, replies: Any = "fine") -> Script:
        script = Script((lambda _: replies) if isinstance(replies, str) else replies)
        self.scripts[name] = script
        self.servers[name] = self._stack.enter_context(serve(script))
        self.urls[name] = self.servers[name].base_url
        return script

    def dead(self, name: str) -> None:
        """A port that is taken, and where nobody listens."""
        taken = self._stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))
        self.urls[name] = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

    def at(self, endpoint: str, model: str = "m", **fields: object) -> dict[str, object]:
        """A deployment of the endpoint."""
        return {"base_url": self.urls[endpoint], "model": model, **fields}

    def project(self, model: str = "", retry: int = 0, *, models: Mapping[str, object], **settings: object) -> None:
        """Write `[tool.orchmagic]` and read it, as a kernel does that starts in this folder."""
        given = {"retry": retry, **({"model": model} if model else {}), **settings, "models": models}
        text = "[tool.orchmagic]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in given.items())
        (self.folder / "pyproject.toml").write_text(text, encoding="utf-8")
        self.session.reload()

    def run(self, cell: str, **values: object) -> Run:
        return self.notebook.run(cell, **values)

    def define(self, cell: str) -> Orchestration:
        return self.notebook.define(cell)

    def orch(self, line: str) -> Any:
        return orch(self.session, line)

    def restart(self, environ: Mapping[str, str] | None = None) -> None:
        """The kernel is restarted: what it knew is gone, what is on the disk stays."""
        environ = self.session.services.environ if environ is None else environ
        self.session.close()
        self.notebook.session = Session(self.notebook.space, environ=environ, notify=self.notebook.said.append)

    def asked(self, *names: str) -> tuple[int, ...]:
        return tuple(len(self.scripts[n].requests) for n in names)

    def close(self) -> None:
        self._stack.close()


def toml(value: object) -> str:
    """The value as TOML writes it on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def story(run: Run) -> str:
    """Everything that the trace says about why."""
    return " | ".join(str(w) for s in run.record.spans for w in s.why)


def told(run: Run) -> str:
    """The trace as it is saved."""
    return json.dumps([to_json(e) for e in run.trace.events])


def always(reply: Any) -> Callable[[object], Any]:
    """A script that never ends."""
    return lambda _: reply
