"""Result: the scores of an evaluation, its choice, and the rows behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.core.text_format import counted
from orchmagic.errors import InputError, nearest
from orchmagic.evaluation import ranges, score_baseline, verdicts
from orchmagic.evaluation.judges import Calibration, Judge, human_label
from orchmagic.evaluation.metrics import Measured, Metric, Scores, check_metrics, evaluated, flat, score
from orchmagic.evaluation.ranges import Difference
from orchmagic.evaluation.scope import RESERVED, Scope
from orchmagic.evaluation.targets import Target, check_names, parse_target
from orchmagic.evaluation.verdicts import Summary
from orchmagic.graph.model import Graph
from orchmagic.language import expression
from orchmagic.runtime.row_outcome import Outcome
from orchmagic.runtime.row_runs import Subject
from orchmagic.trace.record import Record

if TYPE_CHECKING:
    from orchmagic.evaluation.evaluate import Evaluation, Setup

_HALF = 0.5  # of repeats: the majority


@dataclass(slots=True)
class Measurements:
    """The outcomes of one variant, `outcomes[row][repeat]`, their keys, and the judges' by (judge, row, repeat)."""

    variant: str
    subject: Subject
    outcomes: list[list[Outcome]]
    keys: list[list[str]]
    judged: dict[tuple[str, int, int], Outcome | None] = field(default_factory=dict)
    judges: dict[str, Subject] = field(default_factory=dict)

    def cases(self) -> Iterator[tuple[int, int, Outcome]]:
        """Yields (row, repeat, outcome), both from 0."""
        for place, row in enumerate(self.outcomes):
            for again, outcome in enumerate(row):
                yield place, again, outcome

    def verdicts(self, place: int, again: int) -> dict[str, Any]:
        """What the judges said of a case, by name; without those that failed."""
        found = {}
        for name, subject in self.judges.items():
            outcome = self.judged.get((name, place, again))
            if outcome is not None and outcome.has_answer and not outcome.failed:
                found[name] = subject.output(outcome)
        return found


class Result:
    """The result of an evaluation. Displays as text, table and picture.

    Attributes:
        left_out: variants that were not run, since an earlier one meets the target.
        remarks: what is odd about the rows.
    """

    def __init__(self, evaluation: Evaluation, measured: Sequence[Measurements], left_out: Sequence[str] = ()) -> None:
        setup = evaluation.setup
        self._evaluation = evaluation
        self._measured = list(measured)
        self._metrics = setup.metrics
        self.target: Target | None = setup.target
        self.left_out = tuple(left_out)
        self.remarks = setup.remarks
        for one in self._measured:
            one.judges = {j.name: j.subject for j in setup.judges}
        self._score()

    def _score(self) -> None:
        self.scores: dict[str, dict[str, Scores]] = {}
        self._values: dict[tuple[str, int, int], Measured] = {}
        for measured in self._measured:
            self.scores[measured.variant] = self._scores(measured)
        self.metrics = tuple(dict.fromkeys(n for s in self.scores.values() for n in s if n not in RESERVED))
        if self.target is not None:
            check_names(self.target, (*self.metrics, *RESERVED))
            self._check_scale(self.target)

    def _scores(self, measured: Measurements) -> dict[str, Scores]:
        cases: list[list[Measured]] = [[] for _ in self.rows]
        for place, again, outcome in measured.cases():
            found = self._measure(measured, place, again, outcome)
            self._values[measured.variant, place, again] = found
            cases[place].append(found)
        names = dict.fromkeys(n for row in cases for m in row for n in m.values) or dict.fromkeys(
            m.name for m in self._metrics
        )
        return {name: score(name, cases) for name in names} | _reserved(measured)

    def _measure(self, measured: Measurements, place: int, again: int, outcome: Outcome) -> Measured:
        if outcome.failed or not outcome.has_answer:
            return Measured({}, outcome.failed, outcome.has_answer)
        scope = Scope(measured.subject, outcome, self.rows[place])
        verdicts = measured.verdicts(place, again)
        scope.values |= verdicts
        notebook = self._evaluation.setup.factory.services.namespace
        others = {n.name for m in self._measured for n in m.subject.graph.nodes} - {*scope.steps, *self.rows[0]}
        values: dict[str, Any] = {}
        silent = frozenset(measured.judges) - verdicts.keys()
        unscored = frozenset(m.name for m in self._metrics if m.names() & silent)
        for metric in self._metrics:
            if metric.names() & others:
                values[metric.name] = None  # it reads a step that only other variants have
            elif metric.name not in unscored:
                found = evaluated(metric, scope.over(notebook, metric.whole), place + 1)
                values |= flat(metric.name, found, place + 1)
        return Measured(values, failed=False, answered=True, unscored=unscored)

    def _check_scale(self, target: Target) -> None:
        for condition in target.conditions:
            found = [s[condition.metric] for s in self.scores.values() if condition.metric in s]
            shares = condition.metric not in {"cost", "seconds", "tokens"} and all(s.most == 1 for s in found)
            if found and shares and not 0 <= condition.limit <= 1:
                close = f"; did you mean {condition.limit / 100:g}?" if 1 < condition.limit <= 100 else ""  # noqa: PLR2004 - percent
                raise InputError(f"target {condition}: {condition.metric} lies in 0..1{close}")

    @cached_property
    def confusion(self) -> dict[str, tuple[str, Counter[tuple[str, str]]]]:
        """For each metric `a == b` of labels: a variant (the chosen one, else the first), and counts by (right, said).

        The side that reads only columns is the right one.
        """
        measured = next((m for m in self._measured if m.variant == self.chosen), self._measured[0])
        found = {}
        for metric in self._metrics:
            if (sides := self._truth_first(metric, measured.subject)) is not None:
                counts = Counter(self._pairs(sides, measured))
                if len(counts) > 1:
                    found[metric.name] = measured.variant, counts
        return found

    @property
    def by_label(self) -> list[tuple[str, int, int, float, float]]:
        """(label, rows right, rows, range of the share) of the first metric that compares labels; often empty."""
        _, counts = next(iter(self.confusion.values()), ("", Counter[tuple[str, str]]()))
        found = []
        for label in dict.fromkeys(right for right, _ in counts):
            rows = sum(n for (right, _), n in counts.items() if right == label)
            hits = counts[label, label]
            found.append((label, hits, rows, *ranges.wilson(hits, rows, ranges.quantile())))
        return found

    def _truth_first(self, metric: Metric, subject: Subject) -> tuple[str, str] | None:
        if metric.sides is None:
            return None
        columns = {*self.rows[0]} - {n.name for n in subject.graph.nodes}
        first, second = (bool(names) and names <= columns for names in map(expression.names, metric.sides))
        if first == second:
            return None
        return metric.sides if first else (metric.sides[1], metric.sides[0])

    def _pairs(self, sides: tuple[str, str], measured: Measurements) -> Iterator[tuple[str, str]]:
        namespace = self._evaluation.setup.factory.services.namespace
        for place, again, outcome in measured.cases():
            found = self._values[measured.variant, place, again]
            if found.answered and not found.failed and not found.unscored:
                scope = Scope(measured.subject, outcome, self.rows[place])
                scope.values |= measured.verdicts(place, again)
                right, said = (_label(expression.evaluate(side, scope.over(namespace))) for side in sides)
                if right is not None and said is not None:
                    yield right, said

    @cached_property
    def calibration(self) -> list[Calibration]:
        """What persons say of the judges' verdicts, by judge and variant."""
        return [c for j in self._evaluation.setup.judges for m in self._measured if (c := self._calibrated(j, m))]

    def _calibrated(self, judge: Judge, measured: Measurements) -> Calibration | None:
        scores = self.scores[measured.variant].get(judge.name)
        if judge.human is None or scores is None or not scores.yes_no:
            return None
        labels = [
            human_label(row[judge.human], judge, n, outcomes[0].output)
            for n, (row, outcomes) in enumerate(zip(self.rows, measured.outcomes, strict=True), 1)
        ]
        both = zip(scores.values, labels, strict=True)
        pairs = [(value > _HALF, label) for value, label in both if value is not None and label is not None]
        return Calibration.of(judge.name, measured.variant, scores.known()[1], pairs) if pairs else None

    @property
    def setup(self) -> Setup:
        """What the evaluation was made of."""
        return self._evaluation.setup

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """The rows that were evaluated."""
        return self._evaluation.setup.rows

    @property
    def groups(self) -> tuple[Hashable, ...] | None:
        """The group of each row; None: all rows are independent."""
        return self._evaluation.setup.groups

    @property
    def variants(self) -> list[str]:
        """The names of the variants that were run."""
        return [m.variant for m in self._measured]

    @property
    def measured_graphs(self) -> list[Graph]:
        """The graphs of the variants that were run, in their order."""
        return [m.subject.graph for m in self._measured]

    @cached_property
    def details(self) -> list[Summary]:
        """A summary of each variant, as plain data: figures with ranges, verdicts, cost, times, counts."""
        return [self._summary(m) for m in self._measured]

    def _summary(self, measured: Measurements) -> Summary:
        scores = self.scores[measured.variant]
        conditions = () if self.target is None else self.target.conditions
        candidates = len(self._measured) + len(self.left_out)
        found = tuple(verdicts.held(c, _of(scores, c.metric), self.groups, candidates) for c in conditions)
        outcomes = [outcome for _, _, outcome in measured.cases()]
        fresh = [o.seconds for o in outcomes if o.has_answer and not o.cached]
        priced = [o for o in outcomes if o.has_answer]
        known = bool(priced) and not any(o.unpriced for o in priced)
        return Summary(
            variant=measured.variant,
            metrics={n: verdicts.figure(scores[n], self.groups) for n in self.metrics if n in scores},
            held=found,
            verdict=verdicts.verdict(found),
            cost=sum(o.cost for o in priced) / len(priced) if known else None,
            p50=verdicts.percentile(fresh, 0.5),
            p95=verdicts.percentile(fresh, 0.95),
            runs=len(outcomes),
            failed=sum(o.failed and o.has_answer for o in outcomes),
            unanswered=sum(not o.has_answer for o in outcomes),
        )

    @property
    def chosen(self) -> str | None:
        """The name of the variant to choose; None if none is shown to meet the target."""
        best = verdicts.chosen(self.details)
        return None if best is None else best.variant

    @property
    def choice(self) -> str:
        """Which variant to choose and why, and what would decide the rest."""
        return verdicts.choice(self.details, self.target, self.metrics)

    def compare(self, one: str, other: str, metric: str | None = None) -> Difference:
        """The difference `one` minus `other` of a metric (the first one of the target), with its 95 % range.

        Raises:
            InputError: there is no such variant or metric, or no row has both.
        """
        name = metric or self.main_metric
        a, b = (_of(self.scores[self._variant(v)], name) for v in (one, other))
        found = verdicts.compare(a, b, self.groups, max(len(self._measured) - 1, 1))
        if found is None:
            raise InputError(f"{one} and {other} have no row with {name} in common")
        return found

    @property
    def main_metric(self) -> str:
        """The metric that ranks rows and variants: the first one of the target, else the first one."""
        named = () if self.target is None else tuple(c.metric for c in self.target.conditions)
        return next((n for n in named if n in self.metrics), self.metrics[0] if self.metrics else "failed")

    def _variant(self, name: str) -> str:
        if name not in self.scores:
            raise InputError(f"no variant {name!r} (known: {', '.join(self.scores)}){nearest(name, self.scores)}")
        return name

    @cached_property
    def table(self) -> list[dict[str, Any]]:
        """A dict for each row and variant (and repeat): columns, `variant`, `output`, the metrics, `_status` …"""
        return [self._line(m, place, again, o) for m in self._measured for place, again, o in m.cases()]

    def _line(self, measured: Measurements, place: int, again: int, outcome: Outcome) -> dict[str, Any]:
        found = self._values[measured.variant, place, again]
        right = {n: (False if found.failed and found.answered else found.values.get(n)) for n in self.metrics}
        repeat = {"repeat": again + 1} if self._evaluation.setup.repeat > 1 else {}
        status = outcome.status if outcome.has_answer else "no answer"
        return {
            **self.rows[place], "_row": place + 1, "variant": measured.variant, **repeat, "output": outcome.output,
            **right,
            "_status": status, "_error": outcome.error or None, "_verified": outcome.verified,
            "_cost": None if outcome.unpriced else outcome.cost, "_seconds": outcome.seconds,
            "_run": measured.keys[place][again][:12],
        }  # fmt: skip

    def df(self, *, long: bool = False) -> Any:
        """The table as a pandas DataFrame; `long`: one line for each metric, with the columns `metric` and `score`.

        Raises:
            ImportError: pandas is not installed; `.table` works without.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415 - optional, and without stubs
        except ImportError:
            raise ImportError("result.df() needs pandas: pip install pandas; result.table works without") from None
        rows = self.table
        if long:
            rows = [
                {**{k: v for k, v in row.items() if k not in self.metrics}, "metric": name, "score": row[name]}
                for row in self.table
                for name in self.metrics
            ]
        return pd.DataFrame(rows)

    def worst(self, n: int = 10, variant: str | None = None) -> list[dict[str, Any]]:
        """The `n` worst rows of a variant (default: the chosen one, else the first): failed ones, then wrong ones."""
        name = self._variant(variant or self.chosen or self._measured[0].variant)
        rows = [row for row in self.table if row["variant"] == name]
        return sorted(rows, key=self._badness)[:n]

    def _badness(self, row: Mapping[str, Any]) -> tuple[int, float]:
        value = row.get(self.main_metric)
        return (row["_status"] == "done", float("inf") if value is None else float(value))

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows that had no answer, or whose run failed or was capped."""
        return [row for row in self.table if row["_status"] != "done"]

    def record(self, run: str) -> Record:
        """The trace of one row, by its `_run` of the table.

        Raises:
            InputError: there is no such row, or its trace is no longer there.
        """
        keys = [key for m in self._measured for row in m.keys for key in row if key.startswith(run)]
        data = self._evaluation.setup.factory.services.history.rows.record(keys[0]) if keys and run else None
        if data is None:
            raise InputError(f"there is no trace of the row {run!r}: result.table has the column _run")
        return Record.from_json(data)

    def retry(self) -> Result:
        """Asks again what had no answer, and only that; returns the new result."""
        return self._evaluation.run()

    def rescore(
        self, metrics: Mapping[str, str | Callable[..., Any]] | None = None, target: str | None = None
    ) -> Result:
        """The same answers with other metrics or another target; no model is called.

        Raises:
            InputError: a metric or the target is wrong.
        """
        from orchmagic.evaluation.evaluate import Evaluation, check_all_names  # noqa: PLC0415 - it imports this module

        setup = self._evaluation.setup
        if metrics is not None:
            setup = replace(setup, metrics=tuple(Metric(name, source) for name, source in metrics.items()))
            check_metrics(setup.metrics)
            notebook = setup.factory.services.namespace
            check_all_names(setup.metrics, setup.judges, setup.variants, [*setup.rows[0]], notebook)
        setup = replace(setup, target=setup.target if target is None else parse_target(target))
        return Result(Evaluation(setup), self._measured, self.left_out)

    def save(self, path: str | Path) -> Path:
        """Writes a baseline: ids and scores of the rows, no texts. It is sorted and rounded, so it fits into git."""
        return score_baseline.write(Path(path), self._ids(), self.scores, self.metrics)

    def assert_target(self) -> None:
        """Raises AssertionError unless a variant is shown to meet the target."""
        if self.target is None:
            raise InputError("there is no target: write evaluate(…, target='right >= 0.85')")
        if self.chosen is None:
            raise AssertionError(self.choice)

    def assert_no_worse(self, path: str | Path, by: float = 0.05) -> None:
        """Raises AssertionError if a metric is worse than in the baseline: by more than `by`, or shown to be.

        Raises:
            InputError: the file is no baseline, or has none of these rows.
        """
        problems = score_baseline.worse(Path(path), self._ids(), self.scores, self.metrics, by)
        if problems:
            raise AssertionError("\n".join(problems))

    def _ids(self) -> list[str]:
        return [keys[0] for keys in score_baseline.ids(self.rows, self._measured[0].subject.graph.inputs)]

    def __repr__(self) -> str:
        from orchmagic.evaluation.report import text  # noqa: PLC0415 - when it is shown

        return text(self)

    def bundles(self) -> list[dict[str, Any]]:
        """The MIME bundles of a display: table with text, and picture."""
        from orchmagic.evaluation.report import bundles  # noqa: PLC0415 - as above

        return [*bundles(self)]

    def compare_baseline(self, path: str | Path) -> None:
        """Adds to the remarks what changed since the baseline; writes the baseline if it is not there."""
        if Path(path).exists():
            found = score_baseline.changed(Path(path), self._ids(), self.scores, self.metrics)
            self.remarks = (*self.remarks, *found)
        else:
            self.save(path)
            self.remarks = (*self.remarks, f"the scores were written to the baseline {path}")

    def counts(self) -> str:
        """`120 rows, 360 runs, 2 failed`."""
        runs = sum(s.runs for s in self.details)
        failed = sum(s.failed for s in self.details)
        return f"{counted(len(self.rows), 'row')}, {counted(runs, 'run')}, {failed:,} failed"

    @property
    def paid(self) -> tuple[float, int, int]:
        """US dollars that the runs paid, the calls of unknown price, and the runs answered from the cache alone."""
        outcomes = [o for m in self._measured for _, _, o in m.cases()]
        judged = [o for m in self._measured for o in m.judged.values() if o is not None]
        cached = sum(bool(o.cached and not o.asked) for o in outcomes)
        return sum(o.paid for o in outcomes + judged), sum(o.unpriced for o in outcomes + judged), cached


def _label(value: Any) -> str | None:
    """A label as text; None for what is no label, such as a long text."""
    if isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= 40):  # noqa: PLR2004 - fits a column
        return str(value)
    return None


def _of(scores: Mapping[str, Scores], metric: str) -> Scores:
    if metric not in scores:
        raise InputError(f"no metric {metric!r} (known: {', '.join(scores)}){nearest(metric, scores)}")
    return scores[metric]


def _reserved(measured: Measurements) -> dict[str, Scores]:
    """The scores of the metrics that every evaluation has."""
    of: dict[str, Callable[[Outcome], float | bool | None]] = {
        "cost": lambda o: None if o.unpriced else o.cost,
        "seconds": lambda o: None if o.cached else o.seconds,
        "tokens": lambda o: float(o.tokens),
        "failed": lambda o: o.failed,
        "waiting": lambda o: o.status == "waiting",
    }
    missing = [place for place, row in enumerate(measured.outcomes) if not all(o.has_answer for o in row)]
    found = {}
    for name, value in of.items():
        rows = [[v for o in row if o.has_answer and (v := value(o)) is not None] for row in measured.outcomes]
        means = [sum(row) / len(row) if row else None for row in rows]
        most = max((m for m in means if m is not None), default=1.0)
        yes_no = name in {"failed", "waiting"}
        found[name] = Scores(name, yes_no, means, missing, 0.0, 1.0 if yes_no else float(most) or 1.0)
    return found
