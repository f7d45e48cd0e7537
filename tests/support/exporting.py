"""What the export tests share: cells that ran in a notebook, their graphs, exported modules, and both compared."""

from __future__ import annotations

import importlib.util
import itertools
import json
import linecache
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from langgraph.types import Command
from openai import AsyncOpenAI

from orchmagic import Script, Session
from orchmagic.graph.model import Graph
from orchmagic.language.cell import parse
from orchmagic.language.magic_line import parse_options
from orchmagic.models.scripting.server import ScriptedServer, serve
from orchmagic.models.types import Deployment
from orchmagic.patterns import PATTERNS
from orchmagic.runtime.orchestration import Orchestration


def ran(source: str, name: str = "<ipython-input-1-cell>") -> dict[str, Any]:
    """The namespace of a notebook after this cell; its text is where IPython would keep it."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    space: dict[str, Any] = {"__name__": "__main__", "In": ["", source]}
    exec(compile(source, name, "exec", dont_inherit=True), space)
    return space


def graph_of(cell: str, space: dict[str, Any]) -> Graph:
    head, _, body = cell.partition("\n")
    magic, _, line = head.removeprefix("%%").partition(" ")
    plug = PATTERNS.get(magic)
    options = parse_options(magic, line, plug.options)
    return plug.build(parse(magic, line, body, one_prompt=plug.one_prompt), options, space)


def served(**fields: Any) -> Callable[[str], Deployment]:
    """Every alias is a model of one endpoint."""
    base = {"provider": "openai", "base_url": "https://api.openai.com/v1", "max_tokens_field": "max_completion_tokens"}
    return lambda alias: Deployment(**{**base, "alias": alias, "model": f"{alias}-model", **fields})


def loaded(text: str, folder: Path, name: str) -> ModuleType:
    """The module, imported from a file. Pydantic finds its classes through `sys.modules`."""
    file = folder / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def by_content(rules):
    """Replies by what the last message says: several requests are on their way at once."""

    def find(body):
        said = body["messages"][-1]["content"]
        return next((reply for words, reply in rules.items() if words in said), None)

    return find


NUMBERS = itertools.count()


class Case:
    """A cell, its notebook, its inputs, the replies and what a person answers."""

    def __init__(
        self,
        cell: str,
        replies: Any = (),
        *,
        code: str = "",
        answers: tuple[Any, ...] = (),
        inner: tuple[str, ...] = (),
        **inputs: Any,
    ) -> None:
        self.cell = cell
        self.replies = replies
        self.code = code
        self.answers = list(answers)
        self.inner = inner
        self.inputs = inputs
        self.models: dict[str, dict[str, Any]] = {}
        self.in_order = True
        self.retry = 0

    def served(self, **models: dict[str, Any]) -> Case:
        """The same with other models than one plain `default`."""
        self.models = models
        return self

    def retried(self, times: int) -> Case:
        """The same where failed calls are tried again."""
        self.retry = times
        return self

    def in_any_order(self) -> Case:
        """The same where requests are sent side by side."""
        self.in_order = False
        return self


class Both:
    """Runs a case in the notebook and as a module, against two servers with the same script."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def session(self, case: Case, space: dict[str, Any], server: ScriptedServer) -> Session:
        plain = {"provider": "openai", "model": "plain-model", "base_url": server.base_url}
        given = {"default": {}, **case.models}
        models = {name: {**plain, "model": f"{name}-model", **fields} for name, fields in given.items()}
        config = {"models": models, "cache": "off", "retry": case.retry}
        return Session(space, environ={}, config=lambda: config, notify=lambda _: None)

    def define(self, session: Session, cell: str) -> Orchestration:
        head, _, body = cell.partition("\n")
        magic, _, line = head.removeprefix("%%").partition(" ")
        made = session.define(magic, line, body)
        session.services.namespace[made.__name__] = made
        return made

    def in_notebook(self, case: Case, space: dict[str, Any]) -> tuple[list[Any], Any, str]:
        with serve(Script(case.replies)) as server:
            session = self.session(case, space, server)
            try:
                for cell in case.inner:
                    self.define(session, cell)
                run = self.define(session, case.cell)(**case.inputs)
                for answer in case.answers:
                    assert run.status == "waiting"
                    run.resume(answer)
                return server.requests, run.record.output, run.status
            finally:
                session.close()

    def exported(self, case: Case) -> str:
        """The source of the module."""
        with serve(Script(case.replies)) as server:
            session = self.session(case, ran(case.code, f"<ipython-input-{next(NUMBERS)}-cell>"), server)
            try:
                for cell in case.inner:
                    self.define(session, cell)
                file = self.define(session, case.cell).export(self.folder / f"exported_{next(NUMBERS)}.py")
                return file.read_text(encoding="utf-8")
            finally:
                session.close()

    async def as_module(self, case: Case, space: dict[str, Any]) -> tuple[list[Any], Any, str]:
        with serve(Script(case.replies)) as server:
            session = self.session(case, space, server)
            try:
                for cell in case.inner:
                    self.define(session, cell)
                name = f"exported_{next(NUMBERS)}"
                file = self.define(session, case.cell).export(self.folder / f"{name}.py")
            finally:
                session.close()
            module = loaded(file.read_text(encoding="utf-8"), self.folder, name)
            client = AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0)
            graph = module.build_graph(client).with_config(configurable={"thread_id": "1"})
            try:
                state = await graph.ainvoke(case.inputs)
                for answer in case.answers:
                    pause = state["__interrupt__"][0]
                    state = await graph.ainvoke(Command(resume={pause.id: answer}))
            except Exception as error:
                if isinstance(error, AssertionError):
                    raise
                if isinstance(error, getattr(module, "EndedEarlyError", ())):  # of a section: the others are waited for
                    return server.requests, None, "done"
                return server.requests, None, f"failed: {error!r}"
            finally:
                await client.close()
                sys.modules.pop(name)
            return server.requests, module.result(state), "waiting" if "__interrupt__" in state else "done"

    def shown(self, case: Case, requests: list[Any]) -> str:
        texts = [json.dumps(r, sort_keys=True) for r in requests]
        if not case.in_order:  # the server numbers its calls of tools as the requests arrive
            texts = sorted(re.sub(r"call_\d+_", "call_", text) for text in texts)
        return json.dumps([json.loads(text) for text in texts], indent=1)

    async def compare(self, case: Case) -> tuple[list[Any], Any, str]:
        """What the notebook did, once it is known that the module did the same."""
        space = ran(case.code, f"<ipython-input-{next(NUMBERS)}-cell>")
        asked, output, status = self.in_notebook(case, dict(space))
        asked_too, output_too, status_too = await self.as_module(case, dict(space))
        assert self.shown(case, asked_too) == self.shown(case, asked)
        if status == "failed":
            assert status_too.startswith("failed")
        else:
            assert output_too == output
            assert status_too == {"capped": "done", "rejected": "done"}.get(status, status)
        return asked, output, status
