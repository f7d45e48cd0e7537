"""`orchmagic.evaluate`: runs variants on rows and scores them.

The path of the data: rows (dicts) -> a case for each variant, row and repeat -> outcomes (stored, or run now) ->
judges, as further cases -> metrics -> scores by variant and metric -> `Result`.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from orchmagic.core.text_format import counted
from orchmagic.errors import InputError, nearest
from orchmagic.evaluation import judges as judging
from orchmagic.evaluation.judges import Judge
from orchmagic.evaluation.metrics import Metric, check_metrics, check_names
from orchmagic.evaluation.plain import plain
from orchmagic.evaluation.result import Measurements, Result
from orchmagic.evaluation.scope import Scope
from orchmagic.evaluation.stand_ins import stand_ins
from orchmagic.evaluation.targets import Target, parse_target
from orchmagic.evaluation.verdicts import Summary
from orchmagic.graph.composition import with_model
from orchmagic.graph.estimate import Models, estimate
from orchmagic.graph.model import Call, Graph, Node
from orchmagic.language.magic_line import RunOptions
from orchmagic.models.pricing import prices
from orchmagic.runtime.cost_reference import calls_of, models_of
from orchmagic.runtime.fingerprint import digest, version
from orchmagic.runtime.frames import Row, read_rows, some
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.row_outcome import Outcome
from orchmagic.runtime.row_runs import Case, Progress, RowBudget, RowRuns, Subject
from orchmagic.runtime.run_factory import RunFactory
from orchmagic.trace import humanize
from orchmagic.trace.events import Usage

Cases: TypeAlias = "list[tuple[str, Case]]"
Work: TypeAlias = "Generator[Cases, dict[str, Outcome], Result]"


DRY_RUN = "Dry run: no model was called. Costs are estimated from the first row."


@dataclass(frozen=True, slots=True)
class Planned:
    """What a variant would ask: `runs` that have no answer yet, at `low` to `high` US dollars each (inf: unknown)."""

    name: str
    runs: int
    low: float
    high: float
    wait: str = ""

    def __str__(self) -> str:
        wait = f" (batches: {self.wait})" if self.wait else ""
        least = humanize.money(self.low * self.runs)
        return f"{counted(self.runs, 'run')} to do, {least} to {self.most(self.runs)}{wait}"

    def most(self, runs: int) -> str:
        """The most that so many runs can cost, as text."""
        return humanize.money(self.high * runs) if self.high < math.inf else "an unknown amount"


@dataclass(frozen=True, slots=True)
class Variant:
    """What is compared: an orchestration, perhaps on another model."""

    name: str
    subject: Subject


@dataclass(frozen=True, slots=True)
class Setup:
    """All that an evaluation is made of. `groups` names the group of each row, None: all rows are independent.

    `first`: variants run one after the other, until one is shown to meet the target. `remembered`: the evaluation is
    entered into the history.
    """

    factory: RunFactory
    variants: tuple[Variant, ...]
    rows: tuple[Row, ...]
    metrics: tuple[Metric, ...]
    judges: tuple[Judge, ...] = ()
    target: Target | None = None
    by: str | None = None
    groups: tuple[Hashable, ...] | None = None
    repeat: int = 1
    first: bool = False
    budget: float | RowBudget | None = None
    concurrency: int | None = None
    may_write: bool = False
    remarks: tuple[str, ...] = ()
    engine: object = None
    remembered: bool = True
    watch: Callable[[Progress], None] = field(default=lambda _: None)


def evaluate(
    variants: Orchestration | Sequence[Orchestration] | Mapping[str, Orchestration],
    *,
    on: object,
    metrics: Mapping[str, str | Callable[..., Any]],
    target: str | None = None,
    models: Sequence[str] = (),
    by: str | None = None,
    repeat: int = 1,
    stop: str | None = None,
    against: str | None = None,
    stand_in: Mapping[str, Callable[..., Any]] | None = None,
    rename: Mapping[str, str] | None = None,
    budget: float | None = None,
    concurrency: int | None = None,
    allow_writes: bool = False,
    engine: object = None,
) -> Result:
    """Runs variants on rows, and scores them with metrics.

    Args:
        variants: one orchestration, several, or several by name.
        on: rows with inputs and expected values: a data frame, a list of dicts, a data set, or the path of a file.
        metrics: expressions over columns, steps, `output`, `run`, `row`, `expect`, `calls`, `fields`; or functions that
            get what their parameters name. A bool is a share, a number a mean, a dict one metric for each key.
        target: `"right >= 0.85 and cost <= 0.004"`.
        models: each variant is run on each of them.
        by: the column that names rows that belong together, such as the pages of a document.
        repeat: how often each row is run.
        stop: "first" runs the cheapest variant first, and no other once one is shown to meet the target.
        against: "plain" adds one call with all the instructions of a variant, to see whether its steps are worth it.
        stand_in: functions that take the place of tools that write.
        rename: columns to inputs, such as {"ticket": "question"}.
        budget: US dollars, for all rows together.
        concurrency: how many rows run at once.
        allow_writes: tools that write are called, once for each row.
        engine: "processes", "dask", "dask://HOST:PORT", or any `concurrent.futures.Executor`, whose workers run rows.

    Raises:
        InputError: something of it is wrong; nothing was run.
    """
    found = _named(variants)
    setup = prepare(
        found, on, [Metric(name, source) for name, source in metrics.items()], models=models, by=by, target=target,
        repeat=repeat, stop=stop, against=against, stand_in=stand_in, rename=rename, budget=budget,
        concurrency=concurrency, allow_writes=allow_writes,
    )  # fmt: skip
    return Evaluation(replace(setup, engine=engine)).run()


def _named(variants: object) -> dict[str, Orchestration]:
    if isinstance(variants, Orchestration):
        variants = [variants]
    if not isinstance(variants, Mapping):
        items = list(variants) if isinstance(variants, Iterable) else [variants]
        variants = {getattr(v, "__name__", repr(v)): v for v in items}
    for name, variant in variants.items():
        if not isinstance(variant, Orchestration):
            raise InputError(
                f"{name} is of type {type(variant).__name__}, not an orchestration: write evaluate([triage], …)"
            )
    if not variants:
        raise InputError("there is nothing to evaluate: write evaluate([triage], …)")
    return dict(variants)


def prepare(
    variants: Mapping[str, Orchestration],
    on: object,
    metrics: Sequence[Metric],
    *,
    judges: Callable[[RunFactory], Sequence[Judge]] = lambda _: (),
    target: str | None = None,
    models: Sequence[str] = (),
    by: str | None = None,
    repeat: int = 1,
    stop: str | None = None,
    against: str | None = None,
    stand_in: Mapping[str, Callable[..., Any]] | None = None,
    rename: Mapping[str, str] | None = None,
    budget: float | None = None,
    concurrency: int | None = None,
    allow_writes: bool = False,
    rows_name: str = "rows",
) -> Setup:
    """Checks an evaluation and puts it together; nothing is run. `judges` builds them for the factory of the runs.

    Raises:
        InputError: something of it is wrong.
    """
    rows = _renamed(read_rows(on, rows_name), rename or {})
    columns = [*rows[0]]
    _check_numbers(repeat, stop, by, columns)
    factory = with_stand_ins(next(iter(variants.values())).factory, stand_in or {})
    subjects = _subjects(variants, models, against, factory)
    found = tuple(judges(factory))
    whole = (*metrics, *_of_judges(found, metrics))
    if not whole:
        write = f"Write right = output == {_expected(columns, subjects)} (columns: {', '.join(columns)})"
        raise InputError(f"an evaluation needs a metric. {write}")
    check_metrics(whole)
    check_all_names(whole, found, subjects, columns, factory.services.namespace)
    for variant in subjects:
        _check_inputs(variant, columns)
        check_writes(variant.name, variant.subject, len(rows) * repeat, allow_writes=allow_writes)
    parsed = None if target is None else parse_target(target)
    if stop and parsed is None:
        raise InputError("--stop first needs a target: write target right >= 0.85")
    _check_prices(parsed, subjects, factory)
    groups, remarks = _groups(rows, by, subjects[0].subject)
    return Setup(
        factory, tuple(subjects), tuple(rows), whole, found, parsed, by, groups, repeat, stop == "first", budget,
        concurrency, allow_writes, (*remarks, *_one_valued(whole, rows)),
    )  # fmt: skip


def _renamed(rows: list[Row], rename: Mapping[str, str]) -> list[Row]:
    for old in rename:
        if old not in rows[0]:
            raise InputError(
                f"there is no column {old!r} to rename (columns: {', '.join(rows[0])}){nearest(old, rows[0])}"
            )
    return [{rename.get(name, name): value for name, value in row.items()} for row in rows]


def _check_numbers(repeat: int, stop: str | None, by: str | None, columns: Sequence[str]) -> None:
    if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 1:
        raise InputError(f"repeat is {repeat!r}: write a whole number, 1 or more")
    if stop not in {None, "first"}:
        raise InputError(f"stop is {stop!r}: write first, or leave it out")
    if by is not None and by not in columns:
        raise InputError(f"by names no column: {by!r} (columns: {', '.join(columns)}){nearest(by, columns)}")


def with_stand_ins(factory: RunFactory, stand_in: Mapping[str, Callable[..., Any]]) -> RunFactory:
    """The factory of the runs, whose cells see the stand-ins in place of the notebook's functions."""
    space = factory.services.namespace
    return RunFactory(replace(factory.services, namespace=ChainMap({**stand_ins(stand_in, space)}, space)))


def _subjects(
    variants: Mapping[str, Orchestration], models: Sequence[str], against: str | None, factory: RunFactory
) -> list[Variant]:
    if against not in {None, "plain"}:
        raise InputError(f"against is {against!r}: write plain, or leave it out")
    graphs = [(n, g, made.options) for name, made in variants.items() for n, g in _graphs(name, made, against)]
    return [v for name, graph, options in graphs for v in _variants(name, graph, options, models, factory)]


def _graphs(name: str, made: Orchestration, against: str | None) -> Iterable[tuple[str, Graph]]:
    made.refresh()
    yield name, made.definition
    if against is not None:
        yield f"{name}_plain", plain(made.definition)


def _variants(
    name: str, graph: Graph, options: RunOptions, models: Sequence[str], factory: RunFactory
) -> Iterable[Variant]:
    if not models:
        yield Variant(name, Subject(graph, options, factory))
    for model in models:
        factory.services.models.resolve(model)
        yield Variant(f"{name}@{model}", Subject(with_model(graph, model), options, factory))


def _of_judges(judges: Sequence[Judge], metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics that judges are themselves: of those that no other metric reads."""
    read = {name for m in metrics for name in m.names()}
    return [metric for judge in judges if judge.name not in read and (metric := judge.metric) is not None]


def _expected(columns: Sequence[str], variants: Sequence[Variant]) -> str:
    inputs = {name for v in variants for name in v.subject.graph.inputs}
    return next((c for c in columns if c not in inputs and c.isidentifier()), "expected")


def check_all_names(
    metrics: Sequence[Metric], judges: Sequence[Judge], variants: Sequence[Variant], columns: Sequence[str],
    notebook: Mapping[str, object],
) -> None:  # fmt: skip
    """Checks the names that metrics and the prompts of judges read.

    Raises:
        InputError: one is unknown, or means two things.
    """
    steps: dict[str, bool] = {}
    for node in (n for v in variants for n in v.subject.graph.nodes):
        steps[node.name] = steps.get(node.name, True) and _has_fields(node)
    for metric in metrics:
        check_names(metric, columns, steps, notebook, [j.name for j in judges])
    known = {*columns, *steps, "output", "row", "expect", "calls"}
    for judge in judges:
        judging.check_names(judge, known, notebook)
        known.add(judge.name)
        if judge.human is not None and judge.human not in columns:
            close = nearest(judge.human, columns)
            raise InputError(f"{judge.name}: human={judge.human} is no column (columns: {', '.join(columns)}){close}")


def _has_fields(node: Node) -> bool:
    return isinstance(node, Call) and node.output.kind == "fields" and node.each is None


def _check_inputs(variant: Variant, columns: Sequence[str]) -> None:
    subject = variant.subject
    missing = [n for n in subject.graph.inputs if n not in columns and n not in subject.factory.services.namespace]
    if missing:
        free = [c for c in columns if c not in subject.graph.inputs]
        write = f"Write --rename {free[0]}={missing[0]}" if free else f"Define {missing[0]} in the notebook"
        raise InputError(f"{variant.name} needs {', '.join(missing)}; the rows have {', '.join(columns)}. {write}")


def check_writes(name: str, subject: Subject, times: int, *, allow_writes: bool) -> None:
    """Checks that what runs on rows calls no tool that writes.

    Raises:
        InputError: it may call one.
    """
    if not allow_writes and (tools := subject.writers):
        often = f", once for each of {times:,} rows" if times > 1 else ""
        raise InputError(
            f"{name} may write ({', '.join(tools)}){often}. Write --stand-in {tools[0]}=FUNCTION or --allow-writes"
        )


def _check_prices(target: Target | None, variants: Sequence[Variant], factory: RunFactory) -> None:
    if target is None or all(c.metric != "cost" for c in target.conditions):
        return
    services = factory.services
    for variant in variants:
        for name in models_of(variant.subject.graph, services.call_defaults(variant.subject.options)):
            deployment = services.models.resolve(name)
            if prices.cost(deployment, Usage(input=1)) is None:
                raise InputError(
                    f"target cost: the price of {name} is unknown. {services.models.price_advice(deployment)}"
                )


def _groups(rows: Sequence[Row], by: str | None, subject: Subject) -> tuple[tuple[Hashable, ...] | None, list[str]]:
    """The group of each row: by a column, else rows of equal input are one group; and what to say of it."""
    used = [name for name in subject.graph.inputs if name in rows[0]]
    keys = [digest([row[name] for name in used]) for row in rows]
    places: dict[str, list[int]] = {}
    for number, key in enumerate(keys, 1):
        places.setdefault(key, []).append(number)
    same = [numbers for numbers in places.values() if len(numbers) > 1]
    remarks = [f"{some(numbers)} are the same input: one group" for numbers in same[:3]]
    if len(same) > 3:  # noqa: PLR2004 - the listed ones
        remarks.append(f"{counted(len(same) - 3, 'more input')} stand in several rows")
    if by is not None:
        return tuple(digest(row[by]) for row in rows), remarks
    return (tuple(keys) if same else None), remarks


def _one_valued(metrics: Sequence[Metric], rows: Sequence[Row]) -> list[str]:
    columns = dict.fromkeys(side for m in metrics for side in (m.sides or ()) if side in rows[0])
    return [
        f"{column} has one value ({rows[0][column]!r}): nothing can go wrong"
        for column in columns
        if len({digest(row[column]) for row in rows}) == 1 and len(rows) > 1
    ]


class Evaluation:
    """An evaluation that can be run, again and again: what has an answer is not asked again."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.progress = Progress()
        self._runner = RowRuns(setup.factory)

    def run(self) -> Result:
        """Runs all open cases, scores all, and returns the result. An interrupt keeps what is done."""
        loop = self.setup.factory.services.loop
        loop.must_not_be_current()
        work, found = self._work(), None
        try:
            while True:
                cases = work.send(found)  # type: ignore[arg-type]  # None starts a generator
                found = self._runner.run(cases)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # a Result
        finally:
            self._runner.close()

    async def arun(self) -> Result:
        """Like `run`, for coroutines; cancelling it stops the open cases."""
        work, found = self._work(), None
        try:
            while True:
                cases = work.send(found)  # type: ignore[arg-type]  # as above
                found = await self._runner.arun(cases)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # as above
        finally:
            self._runner.close()

    def estimate(self) -> str:
        """How many runs it would be, and what they would cost; no model is called."""
        lines = [f"  {planned.name}: {planned}" for planned in self.planned()]
        return "\n".join([DRY_RUN, *lines])

    def planned(self) -> list[Planned]:
        """What each variant would ask, by an estimate of the cost of its first row."""
        setup, found = self.setup, []
        runner = RowRuns(setup.factory)
        services = setup.factory.services
        models = Models(services.models.deployment, services.models.pool, services.settings.now, services.environ)
        for v in setup.variants:
            inputs = [_inputs(v.subject, row, n) for n, row in enumerate(setup.rows, 1)]
            cases = {c.key: c for i in inputs for n in range(setup.repeat) for c in [Case(v.subject, i, n + 1)]}
            rest = len(cases) - len(runner.stored([*cases.items()]))
            one = estimate(
                v.subject.graph, inputs[0], services.namespace, models, services.call_defaults(v.subject.options)
            )
            low, high = (one.cost.low, one.cost.high) if one.cost else (one.least, math.inf)
            found.append(Planned(v.name, rest, low, high, one.wait))
        return found

    def _work(self) -> Work:
        """Yields the cases to run, gets their outcomes by key, and returns the result."""
        setup = self.setup
        self._runner = RowRuns(
            setup.factory,
            concurrency=setup.concurrency,
            budget=setup.budget,
            may_write=setup.may_write,
            engine=setup.engine,
            watch=setup.watch,
        )
        self.progress = self._runner.progress
        done: list[Measurements] = []
        variants = _cheapest_first(setup.variants, setup.factory) if setup.first else setup.variants
        for part in [[v] for v in variants] if setup.first else [[*variants]]:
            done += yield from self._part(part)
            result = Result(self, done, [v.name for v in variants if v.name not in {m.variant for m in done}])
            if setup.first and result.chosen is not None:
                break
        if setup.remembered:
            self._enter(result)
        return result

    def _enter(self, result: Result) -> None:
        """Enters the evaluation into the history, once for each orchestration, if its rows had answers."""
        setup, store = self.setup, self.setup.factory.services.history.rows
        rows = digest(sorted(digest(row) for row in setup.rows))
        by_name: dict[str, list[Summary]] = {}
        for variant, summary in zip(result.measured_graphs, result.details, strict=True):
            if summary.unanswered < summary.runs:
                by_name.setdefault(variant.name, []).append(summary)
        graphs = {graph.name: graph for graph in result.measured_graphs}
        labels = {j.name: sum(row.get(j.human or "") is not None for row in setup.rows) for j in setup.judges}
        for name, summaries in by_name.items():
            met = any(s.verdict == "meets" for s in summaries)
            open_ones = [h for s in summaries for h in s.held if h.verdict == "not shown"]
            undecided = [] if met else [(str(h.condition), h.more_rows) for h in open_ones]
            figures = {
                "count": len(setup.rows), "undecided": undecided, "labels": labels,
                "variants": [_of_variant(s, result.main_metric) for s in result.details],
                "by_label": result.by_label,
            }  # fmt: skip
            store.evaluated(name, version(graphs[name]), rows, figures)

    def _part(self, variants: Sequence[Variant]) -> Generator[Cases, dict[str, Outcome], list[Measurements]]:
        setup = self.setup
        inputs = {v.name: [_inputs(v.subject, row, n) for n, row in enumerate(setup.rows, 1)] for v in variants}
        cases = {
            (v.name, place, again): Case(v.subject, given, again)
            for v in variants
            for place, given in enumerate(inputs[v.name])
            for again in range(1, setup.repeat + 1)
        }
        keys = {at: case.key for at, case in cases.items()}
        outcomes = yield [(keys[at], case) for at, case in cases.items()]
        done = [Measurements(v.name, v.subject, *self._arranged(v, keys, outcomes)) for v in variants]
        for judge in setup.judges:
            yield from self._judged(judge, done)
        return done

    def _arranged(
        self, variant: Variant, keys: Mapping[tuple[str, int, int], str], outcomes: Mapping[str, Outcome]
    ) -> tuple[list[list[Outcome]], list[list[str]]]:
        """The outcomes and the keys of a variant, by row and repeat."""
        repeats, places = range(1, self.setup.repeat + 1), range(len(self.setup.rows))
        table = [[keys[variant.name, place, again] for again in repeats] for place in places]
        return [[outcomes[key] for key in row] for row in table], table

    def _judged(self, judge: Judge, done: Sequence[Measurements]) -> Generator[Cases, dict[str, Outcome], None]:
        """Runs a judge on each answer; its verdicts are added to the measurements."""
        cases = {}
        for measured in done:
            for place, again, outcome in measured.cases():
                if outcome.has_answer and not outcome.failed:
                    scope = Scope(measured.subject, outcome, self.setup.rows[place])
                    scope.values |= measured.verdicts(place, again)
                    cases[measured.variant, place, again] = Case(
                        judge.subject, _inputs(judge.subject, scope.values, place + 1)
                    )
        keys = {at: case.key for at, case in cases.items()}
        outcomes = yield [(keys[at], case) for at, case in cases.items()]
        for measured in done:
            for place, again, _ in measured.cases():
                key = keys.get((measured.variant, place, again))
                measured.judged[judge.name, place, again] = None if key is None else outcomes[key]


def _of_variant(summary: Summary, metric: str) -> tuple[str, str | None, float | None, float | None]:
    """(variant, verdict, value of its main metric, US dollars a row)."""
    figure = summary.metrics.get(metric)
    share = figure.value if figure is not None and figure.yes_no else None
    return summary.variant, summary.verdict, share, summary.cost


def _inputs(subject: Subject, row: Mapping[str, Any], number: int) -> dict[str, Any]:
    try:
        return subject.inputs(row)
    except InputError as error:
        raise InputError(f"row {number}: {error}") from None


def _cheapest_first(variants: Sequence[Variant], factory: RunFactory) -> list[Variant]:
    """The variants by the prices of their models; in the order given where a price is unknown.

    A call that may be asked of several models counts as their mean: a cascade lies between its cheapest and its last.
    """
    services = factory.services

    def price(variant: Variant) -> float:
        defaults = services.call_defaults(variant.subject.options)
        return math.fsum(map(mean_price, calls_of(variant.subject.graph, defaults)))

    def mean_price(names: Sequence[str]) -> float:
        known = [prices.cost(services.models.resolve(n), Usage(input=1000, output=200)) or 0.0 for n in names]
        return math.fsum(known) / len(known) if known else 0.0

    return sorted(variants, key=price)
