"""The worker's side of an engine: runs one block of rows, JSON text in, JSON text out, many rows at once on its loop.

A job is what all blocks of a table share: settings, code of the notebook, graphs, and where the kernel keeps things. A
worker that sees the kernel's folders uses them, so journal, writes and rate limits are those of one machine. Another
one refuses what it would have to share.
"""

from __future__ import annotations

import json
import linecache
import os
import platform
import sys
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError, OrchError

if TYPE_CHECKING:
    from orchmagic.runtime.row_runs import Case, Subject
    from orchmagic.runtime.session import Session

# ruff: noqa: PLC0415 - local imports: an engine is named in many processes that run no block
VERSION = version("orchmagic")
SIZE = 8  # bytes of the length before each text in a pipe
_WORKPLACES: dict[str, Workplace] = {}
_LOCK = threading.Lock()


def run_block(text: str) -> str:
    """Runs a block and returns its answers, or why it is refused: `{"refused": "…"}`. Called in workers."""
    block = json.loads(text)
    try:
        return json.dumps(_workplace(json.dumps(block["job"], sort_keys=True)).run(block))
    except OrchError as error:
        return json.dumps({"refused": str(error)})


def _workplace(job: str) -> Workplace:
    """The place of a job, made once in a process; that of the job before is closed."""
    with _LOCK:
        if job not in _WORKPLACES:
            made = Workplace(json.loads(job))
            for other in [key for key, place in _WORKPLACES.items() if not place.busy]:
                _WORKPLACES.pop(other).close()
            _WORKPLACES[job] = made
        _WORKPLACES[job].busy += 1
        return _WORKPLACES[job]


def identity(folder: Path) -> list[Any]:
    """What tells a folder of this machine from one of another: its path, this machine, device and number."""
    found = folder.stat()
    return [str(folder), platform.node(), found.st_dev, found.st_ino]


class Workplace:
    """A session with the kernel's settings and code, and the subjects of a job, compiled once.

    Raises:
        OrchError: the job cannot be done here; no model was called.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.busy = 0
        if job["version"] != VERSION:
            raise InputError(f"a worker has orchmagic {VERSION}, this kernel {job['version']}: install the same")
        self._is_home = _is_here(job["history"])
        self._refuse(job)
        self._session = self._opened(job)
        self._subjects = [self._subject(data) for data in job["subjects"]]
        self._may_write = job["may_write"]

    def _refuse(self, job: Mapping[str, Any]) -> None:
        if not self._is_home and job["needs_home"]:
            raise InputError(f"the workers do not see {job['settings']['history_dir']}: {job['needs_home']}")
        if job["settings"]["cache_url"] is None and not _is_here(job["cache"]):
            raise InputError(
                f"the workers do not see the cache in {job['settings']['cache_dir']}: share one, "
                'cache_url = "redis://HOST:6379/0"'
            )

    def _opened(self, job: Mapping[str, Any]) -> Session:
        from orchmagic.core.settings import PREFIX
        from orchmagic.models.routing.api_keys import key_environment
        from orchmagic.runtime.session import Session

        settings = {**job["settings"], "history": "on" if self._is_home else "off"}
        own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return Session(
            _namespace(job["code"]),
            environ=key_environment(own),
            config=lambda: settings,
            notify=lambda _: None,
        )

    def _subject(self, data: Mapping[str, Any]) -> Subject:
        from orchmagic.runtime.fingerprint import models_served
        from orchmagic.runtime.plain_graph import from_plain
        from orchmagic.runtime.row_runs import Subject, address

        graph, options = from_plain(data["graph"]), from_plain(data["options"])
        factory, services = self._session.factory, self._session.services
        try:
            factory.check_models(graph, options)
        except OrchError as error:
            raise InputError(f"in a worker, which has an environment of its own: {error}") from error
        here = models_served(graph, options, services)
        for name, there in data["models"].items():
            if json.loads(json.dumps(here.get(name))) != there or address(services) != data["address"]:
                raise InputError(f"model {name!r} is another one for a worker: give its alias model and base_url")
        return Subject(graph, options, factory)

    def run(self, block: Mapping[str, Any]) -> dict[str, Any]:
        """Runs the rows of a block: (key, subject, inputs, repeat); returns (key, outcome, record) and the spending.

        The record is None if the kernel finds it in its own row history.
        """
        from orchmagic.runtime.row_runs import Case, RowBudget, RowRuns

        try:
            cases = [(key, Case(self._subjects[n], inputs, repeat)) for key, n, inputs, repeat in block["rows"]]
            budget = RowBudget.restored(block["limits"])
            before = budget.spent_tokens, budget.spent_cost
            runs = RowRuns(
                self._session.factory, concurrency=block["at_once"], budget=budget, may_write=self._may_write
            )
            outcomes = runs.run(cases)
            return {
                "rows": [[key, outcomes[key].to_json(), record] for key, record in self._records(cases).items()],
                "spent": [budget.spent_tokens - before[0], budget.spent_cost - before[1], budget.unpriced],
            }
        finally:
            with _LOCK:
                self.busy -= 1

    def _records(self, cases: list[tuple[str, Case]]) -> dict[str, Any]:
        keys = [key for key, _ in cases]
        if self._is_home:
            return dict.fromkeys(keys)
        rows = self._session.services.history.rows
        found = {key: rows.record(key) for key in keys}
        rows.forget(keys)  # the kernel has them: a worker that lives for days must not grow
        return found

    def close(self) -> None:
        """Closes the session."""
        self._session.close()


def _is_here(known: list[Any] | None) -> bool:
    """Whether the folder of `identity` is the one of this path on this machine."""
    try:
        return known is not None and identity(Path(known[0])) == known
    except OSError:
        return False


def _namespace(code: str) -> dict[str, Any]:
    """The names that the notebook's code defines, in a module of its own, so that types and tracebacks find it."""
    name = f"orchmagic_notebook_{abs(hash(code))}"
    module, file = ModuleType(name), f"<{name}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    sys.modules[name] = module
    try:
        exec(compile(code, file, "exec"), module.__dict__)  # noqa: S102 - the code of the user's own notebook
    except Exception as error:
        raise InputError(f"a worker cannot define the notebook's code: {type(error).__name__}: {error}") from error
    return module.__dict__


def serve() -> None:
    """Runs blocks from standard input until it ends, which is when the kernel does; for a process of `Processes`."""
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the notebook's code prints must not come between the answers
    blocks: list[str] = []
    there = threading.Semaphore(0)

    def read() -> None:
        while len(head := source.read(SIZE)) == SIZE:
            blocks.append(source.read(int.from_bytes(head)).decode("utf-8", "surrogatepass"))
            there.release()
        os._exit(0)  # the kernel is gone: also in the middle of a block

    threading.Thread(target=read, daemon=True).start()
    while there.acquire():
        data = run_block(blocks.pop(0)).encode("utf-8", "surrogatepass")
        answers.write(len(data).to_bytes(SIZE) + data)
        answers.flush()
