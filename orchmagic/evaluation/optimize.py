"""`%orch optimize`: the cheapest models, step by step, that are shown to meet a target.

The search begins with the strongest model in all steps and lowers one step at a time, the dearest first. It sees one
half of the rows; the other half, which no choice was made on, gives the verdict. Each try is an evaluation, so nothing
is paid twice, and the same call goes on after a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchmagic.core.text_format import counted
from orchmagic.errors import InputError
from orchmagic.evaluation import verdicts
from orchmagic.evaluation.evaluate import DRY_RUN, Evaluation, Setup, Variant, prepare
from orchmagic.evaluation.metrics import Metric
from orchmagic.evaluation.optimized import Optimized, Try
from orchmagic.evaluation.result import Result
from orchmagic.evaluation.step_models import choosable, read_changed, with_step_models
from orchmagic.evaluation.targets import Target, with_expressions
from orchmagic.models.pricing import prices
from orchmagic.runtime.fingerprint import digest
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.row_runs import Progress, RowBudget, Subject
from orchmagic.trace.events import Usage
from orchmagic.trace.record import Record

FEWEST = 100
"""Rows below which nothing is confirmed: the models are proposed on all of them."""

SPEND = frozenset({"cost", "seconds", "tokens"})
"""Metrics that a weaker model improves: the search does not ask for them, the verdict does."""


def optimize(
    made: Orchestration,
    *,
    on: object,
    target: str,
    metrics: Mapping[str, str | Callable[..., Any]] | None = None,
    models: Sequence[str] = (),
    by: str | None = None,
    stand_in: Mapping[str, Callable[..., Any]] | None = None,
    rename: Mapping[str, str] | None = None,
    budget: float | None = None,
    concurrency: int | None = None,
    allow_writes: bool = False,
    engine: object = None,
) -> Optimized:
    """Looks for the cheapest models of the steps of an orchestration that are shown to meet a target.

    Args:
        made: the orchestration.
        on: rows, as for `orchmagic.evaluate`.
        target: `"right >= 0.85"` with a metric `right`, or with an expression: `"(router.label == team) >= 0.85"`.
        metrics: as for `orchmagic.evaluate`.
        models: the models to choose from; by their prices, or, where one is unknown, in this order, the strongest
            first. None: the aliases of the settings.
        budget: US dollars, for all tries together.
        by: as for `orchmagic.evaluate`; rows that belong together are in the same half.
        stand_in: as for `orchmagic.evaluate`.
        rename: as for `orchmagic.evaluate`.
        concurrency: as for `orchmagic.evaluate`.
        allow_writes: as for `orchmagic.evaluate`.
        engine: as for `orchmagic.evaluate`.

    Raises:
        InputError: something of it is wrong; nothing was run.
        SettingsError: a model is unknown or has no API key.
    """
    found, text = with_expressions(target, metrics or ())
    named = [Metric(name, source) for name, source in {**found, **(metrics or {})}.items()]
    setup = prepare(
        {made.__name__: made}, on, named, target=text, by=by, stand_in=stand_in, rename=rename,
        concurrency=concurrency, allow_writes=allow_writes,
    )  # fmt: skip
    return Search(made, replace(setup, engine=engine), models, budget).run()


@dataclass(frozen=True, slots=True)
class _Tried:
    """A try that was run: the models by step, its cell, and its result."""

    models: Mapping[str, str]
    source: str
    result: Result
    line: Try

    @property
    def cost(self) -> float | None:
        return self.result.details[0].cost


class Search:
    """A search that can be run, again and again: what has an answer is not asked again.

    `setup` is that of an evaluation on all rows, with a target; its variants are not used.
    """

    def __init__(
        self,
        made: Orchestration,
        setup: Setup,
        models: Sequence[str] = (),
        budget: float | None = None,
        watch: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        if setup.target is None:
            raise InputError('a search needs a target: write --target "(output == team) >= 0.85"')
        self._target: Target = setup.target
        if not self._quality:
            raise InputError(f"target {self._target}: any weak model may meet it: name a metric, such as right >= 0.85")
        made.refresh()
        self._made = made
        self._graph = made.definition
        self._steps = choosable(self._graph)
        self._models, self._remark = _strongest_first(models, setup)
        budgets = RowBudget(setup.factory.services.budget.whole)
        budgets.money = budget
        self._setup = replace(setup, budget=budgets, watch=watch, first=False, remembered=False)
        self._halves = halves(setup) if len(setup.rows) >= FEWEST else None
        self.dry_run = False  # only `estimate` is wanted
        self._tries: list[Try] = []
        self._evaluation: Evaluation | None = None

    @property
    def progress(self) -> Progress:
        """How far the current try is."""
        return Progress() if self._evaluation is None else self._evaluation.progress

    def estimate(self) -> str:
        """How many tries and runs it would be, and what they would cost; no model is called."""
        strongest = self._models[0]
        (start,) = self._evaluation_of(dict.fromkeys(self._steps, strongest), 0)[1].planned()
        tries = 1 + len(self._steps) * (len(self._models) - 1)
        rows = [len(self._part(half).rows) for half in ((0, 1) if self._halves else (0,))]
        down = f"at most {counted(tries - 1, 'try', 'tries')} on the same {counted(rows[0], 'row')}"
        runs = start.runs + self._setup.repeat * (rows[0] * (tries - 1) + sum(rows[1:]))
        lines = [
            f"  first all on {strongest}: {start}",
            f"  then {down}, each with one step on a weaker model",
            *[f"  and one on the other {counted(rows[-1], 'row')}, which confirms"] * (len(rows) > 1),
            f"  together up to {start.most(runs)}, less what has an answer",
        ]
        return "\n".join([DRY_RUN, *lines])

    def run(self) -> Optimized:
        """Searches, confirms, and returns what to choose. An interrupt keeps what is done."""
        self._tries = []
        start = self._try(dict.fromkeys(self._steps, self._models[0]), f"all on {self._models[0]}", 0, "start")
        if not self._meets(start):
            return self._ended(start, start)
        best = self._lowered(start)
        if best is None or self._halves is None:
            return self._ended(start, best)
        return self._ended(start, best, self._try(best.models, "the other half", 1, "confirms"))

    @property
    def _quality(self) -> list[str]:
        return [c.metric for c in self._target.conditions if c.metric not in SPEND]

    def _part(self, half: int) -> Setup:
        """The setup on one half of the rows; on all if there are too few."""
        if self._halves is None:
            return self._setup
        places, whole = self._halves[half], self._setup
        groups = None if whole.groups is None else tuple(whole.groups[p] for p in places)
        return replace(whole, rows=tuple(whole.rows[p] for p in places), groups=groups)

    def _lowered(self, start: _Tried) -> _Tried | None:
        """Lowers one step at a time, the dearest first, as long as the target is shown to be met.

        None: there were runs without an answer, so that nothing can be said.
        """
        best, open_steps = start, [*self._steps] if len(self._models) > 1 else []
        while open_steps:
            share = self._shares(best)
            step = max(open_steps, key=lambda name: share[name])  # of equal ones the first
            weaker = self._models[self._models.index(best.models[step]) + 1]
            tried = self._try({**best.models, step: weaker}, f"{step} on {weaker}", 0)
            if tried.line.unanswered:
                return None
            saves = tried.cost is None or best.cost is None or tried.cost < best.cost
            kept = saves and self._meets(tried)
            self._tries[-1] = replace(tried.line, decision="kept" if kept else "put back" if saves else "saves nothing")
            best = tried if kept else best
            if not kept or weaker == self._models[-1]:
                open_steps.remove(step)
        return best

    def _try(self, models: Mapping[str, str], change: str, half: int, decision: str = "") -> _Tried:
        source, self._evaluation = self._evaluation_of(models, half)
        result = self._evaluation.run()
        held = [h for h in result.details[0].held if half or h.condition.metric not in SPEND]
        line = Try.of(result, change, held, decision)
        self._tries.append(line)
        return _Tried(dict(models), source, result, line)

    def _evaluation_of(self, models: Mapping[str, str], half: int) -> tuple[str, Evaluation]:
        """The cell with these models by step, and its evaluation on one half of the rows."""
        part, source = self._part(half), with_step_models(self._graph, models)
        factory = part.factory
        cell = read_changed(self._made.reader, source, models, factory.services.namespace)
        subject = Subject(cell.definition, cell.options, factory)
        return source, Evaluation(replace(part, variants=(Variant(self._graph.name, subject),)))

    def _meets(self, tried: _Tried) -> bool:
        """Whether the conditions on quality are shown to be met, by the lower ends of their ranges."""
        held = [h for h in tried.result.details[0].held if h.condition.metric not in SPEND]
        return not tried.line.unanswered and verdicts.verdict(held) == "meets"

    def _shares(self, tried: _Tried) -> dict[str, float]:
        """What each step cost in all rows, in US dollars; all nothing where prices are unknown."""
        found = dict.fromkeys(self._steps, 0.0)
        for row in tried.result.table:
            record: Record = tried.result.record(row["_run"])
            for step in found:
                found[step] += record.worth(s for s in record.steps if s.name == step)
        return found

    def _ended(self, start: _Tried, best: _Tried | None, confirmed: _Tried | None = None) -> Optimized:
        return Optimized(
            name=self._graph.name,
            target=self._target,
            tries=tuple(self._tries),
            models=None if best is None else best.models,
            start=start.result.details[0],
            found=None if best is None else best.result.details[0],
            confirmed=None if confirmed is None else confirmed.result.details[0],
            quality=tuple(self._quality),
            rows=tuple(len(self._part(half).rows) for half in ((0, 1) if self._halves else (0,))),
            strongest=self._models[0],
            remark=self._remark,
            cell="" if best is None else best.source,
        )


def halves(setup: Setup) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The places of the rows of two halves. Rows of one group are in the same half.

    Which half a group is in depends on its content only, not on the order of the rows.
    """
    places: dict[Hashable, list[int]] = {}
    for place, row in enumerate(setup.rows):
        key = digest(dict(row)) if setup.groups is None else setup.groups[place]
        places.setdefault(key, []).append(place)
    one: list[int] = []
    other: list[int] = []
    for key in sorted(places, key=lambda key: digest(["half", key])):
        smaller = one if len(one) <= len(other) else other
        smaller += places[key]
    if not other:
        raise InputError("all rows belong to one group: there is no other half to confirm a choice on")
    return tuple(sorted(one)), tuple(sorted(other))


def _strongest_first(models: Sequence[str], setup: Setup) -> tuple[list[str], str]:
    """The models, the strongest first, and by what: by price if all are known, else as they are given."""
    services = setup.factory.services
    names = [*dict.fromkeys(models or services.settings.now.models)]
    if len(names) < 2:  # noqa: PLR2004 - a choice
        found = ", ".join(names) or "none"
        raise InputError(f"there is nothing to choose from (models: {found}): write --models large,small")
    costs = {name: prices.cost(services.models.resolve(name), Usage(input=1000, output=200)) for name in names}
    unknown = [name for name, cost in costs.items() if cost is None]
    if not unknown:
        ordered = sorted(names, key=lambda name: -(costs[name] or 0.0))
        return ordered, f"Models by price: {', '.join(ordered)}"
    if not models:
        raise InputError(f"the price of {unknown[0]} is unknown: write --models with the strongest model first")
    return names, f"Models as given, the strongest first: {', '.join(names)}; the price of {unknown[0]} is unknown"
