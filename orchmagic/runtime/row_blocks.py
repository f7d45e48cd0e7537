"""Rows on an engine: packs them into blocks of JSON, sends these to the workers, and books what comes back.

A block whose worker was lost is sent again: what was answered is found in journal or cache, so only calls in flight are
made twice. A budget is split: each block takes a share, and gives back what it did not spend.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchmagic.core.text_format import counted
from orchmagic.errors import ExportError, InputError, RunError
from orchmagic.graph.composition import nested
from orchmagic.models.budget import Spend
from orchmagic.models.shared_rates import is_shared
from orchmagic.models.types import Deployment
from orchmagic.runtime.fingerprint import models_served, tools_of
from orchmagic.runtime.plain_graph import to_plain
from orchmagic.runtime.row_engine import LostWorker, RowEngine
from orchmagic.runtime.row_outcome import Outcome
from orchmagic.runtime.row_runs import Case, RowBudget, Subject, address
from orchmagic.runtime.row_worker import VERSION, identity
from orchmagic.runtime.services import Services

_LOST = 3  # workers that one block may lose
_ROUNDS = 4  # times the rows that run at once: the most rows of a block


def job_of(subjects: Sequence[Subject], services: Services, *, may_write: bool) -> dict[str, Any]:
    """What all blocks share, as JSON; see `row_worker`.

    Raises:
        InputError: something of it cannot travel to a worker.
    """
    settings = services.settings.now
    history = Path(settings.history_dir)
    cache = Path(settings.cache_dir)
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.history == "on":
        _ = services.history.rows  # makes the folder
    config = {name: value for name, value in settings if value != ""} | {
        "history_dir": str(history), "cache_dir": str(cache), "notebook_budget": "off", "checkpoints": None,
        "audit": None if settings.audit is None else str(settings.audit),
        "models": {name: entry for name, entry in settings.models.items() if "withheld" not in entry},
    }  # fmt: skip
    return {
        "version": VERSION,
        "settings": config,
        "history": identity(history) if settings.history == "on" else None,
        "cache": identity(cache),
        "needs_home": _needs_home(subjects, services, may_write=may_write),
        "may_write": may_write,
        "code": _code(subjects, services),
        "subjects": [
            {
                "graph": to_plain(s.graph),
                "options": to_plain(replace(s.options, result=None)),
                "models": models_served(s.graph, s.options, services),
                "address": address(services),
            }
            for s in subjects
        ],
    }


def _code(subjects: Sequence[Subject], services: Services) -> str:
    parts = []
    for subject in subjects:
        graphs = (*nested(subject.graph), subject.graph)
        guards = (
            *services.settings.now.guard,
            *subject.options.guard,
            *(w for g in graphs if g.safety for w in g.safety.guard),
        )
        functions = [w.partition("=")[0].partition(":")[0] for w in guards]
        wanted = [*(n for g in graphs for n in (*g.code, *tools_of(g))), *functions]
        found = [n for n in dict.fromkeys(wanted) if n in services.namespace]
        for name in found:
            if getattr(services.namespace[name], "is_stand_in", None) is True:
                raise InputError(
                    f"not on an engine: the stand-in of {name} stays in this kernel; run without an engine"
                )
        if not found:
            continue
        from orchmagic.export.shipped_code import shipped  # noqa: PLC0415 - heavy

        try:
            parts.append(shipped(found, subject.graph.name, services.namespace))
        except ExportError as error:
            raise InputError(f"not on an engine: {error}") from None
    return "\n".join(dict.fromkeys(parts))


def _needs_home(subjects: Sequence[Subject], services: Services, *, may_write: bool) -> str:
    """Why the workers must see the folder of the run history; "" if they need not."""
    if services.settings.now.audit is not None:
        return "the audit log is written there; run without an engine"
    for subject in subjects:
        if may_write and (writers := subject.writers):
            return f"{writers[0]} writes, and the record of writes is there; run without an engine"
        for name in models_served(subject.graph, subject.options, services):
            pool = services.models.pool(name)
            members: Sequence[Deployment] = (services.models.resolve(name),) if pool is None else pool.members
            if any(m.provider == "scripted" for m in members):
                raise InputError(
                    f"not on an engine: model {name!r} answers from a script of this kernel; "
                    "write orchmagic.serve(…) and an alias with its base_url"
                )
            if any(m.limited for m in members) and not is_shared(services.settings.now.cache_url):
                return f'the rate limits of {name!r} are counted there; share them, cache_url = "redis://HOST:6379/0"'
    return ""


@dataclass(slots=True)
class RowBlocks:
    """The open cases of a table on an engine. `done` gets each outcome with its record (None: it is stored)."""

    engine: RowEngine
    job: Mapping[str, Any]
    subjects: Sequence[Subject]
    at_once: int
    budget: RowBudget
    done: Callable[[str, Case, Outcome, Any], None]
    _open: list[tuple[str, Case]] = field(default_factory=list, init=False)
    _short: list[tuple[str, Case]] = field(default_factory=list, init=False)
    _free: int = field(default=1, init=False)

    async def run(self, cases: Mapping[str, Case]) -> None:
        """Runs all. What one share of the budget was too small for is tried with what the others left.

        Raises:
            OrchError: the workers refuse it, or a block lost several of them.
        """
        self._open = [*cases.items()]
        self._free = min(self.engine.slots, len(self._open))
        tasks = [asyncio.ensure_future(self._slot(n)) for n in range(self._free)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._free = 1
        if self._short:
            await self._block(0, self._short, last=True)

    async def _slot(self, slot: int) -> None:
        while self._open:
            size = math.ceil(len(self._open) / (2 * self.engine.slots))
            size = min(max(size, 1), _ROUNDS * self._each)
            part, self._open = self._open[:size], self._open[size:]
            await self._block(slot, part)

    @property
    def _each(self) -> int:
        """How many rows a worker runs at once."""
        return max(1, self.at_once // self.engine.slots)

    async def _block(self, slot: int, part: Sequence[tuple[str, Case]], *, last: bool = False) -> None:
        for _ in range(_LOST):
            share = self._share()
            number = await self.budget.reserve(share)
            self._free -= 1
            spent = replace(share, guessed=share != Spend())  # of a worker that is lost: as much as it may have paid
            try:
                answer = json.loads(await self.engine.run(slot, self._text(part, share)))
                if "refused" in answer:
                    raise InputError(answer["refused"])
                tokens, cost, unpriced = answer["spent"]
                spent = Spend(tokens, cost)
                for budget in self.budget.chain:
                    budget.unpriced += unpriced  # type: ignore[attr-defined]  # all of them are shared ones
                break
            except LostWorker as error:
                why = error
            finally:
                self._free += 1
                self.budget.settle(number, spent)
        else:
            rows = counted(len(part), "row")
            raise RunError(f"{_LOST} workers were lost in the same {rows}, the last: {why}; the others are kept")
        cases = dict(part)
        for key, data, record in answer["rows"]:
            outcome = Outcome.from_json(data)
            if outcome.lacks_budget and not last and self.engine.slots > 1:
                self._short.append((key, cases[key]))
            else:
                self.done(key, cases[key], outcome, record)

    def _text(self, part: Sequence[tuple[str, Case]], share: Spend) -> str:
        places = {id(subject): n for n, subject in enumerate(self.subjects)}
        rows = [[key, places[id(case.subject)], case.inputs, case.repeat] for key, case in part]
        limits = self.budget.limits(share)
        return json.dumps({"job": self.job, "rows": rows, "at_once": self._each, "limits": limits})

    def _share(self) -> Spend:
        """An equal part of what is left of the limits, for each slot that holds none; nothing without limits."""
        money, tokens = self.budget.left
        return Spend(0 if tokens is None else int(tokens // self._free), 0.0 if money is None else money / self._free)
