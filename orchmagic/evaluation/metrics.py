"""Metrics: what is measured of each run. An expression, a function, or the verdict of a judge.

A bool is a share, a number a mean, a dict one metric for each key; None does not apply to the row. Of a run without a
right answer (it failed or was capped) every yes/no metric is False and every score the lowest.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from orchmagic.core.text_format import shorten
from orchmagic.core.user_code import described
from orchmagic.errors import InputError, nearest
from orchmagic.evaluation.scope import OWN, RESERVED
from orchmagic.language import expression

Value: TypeAlias = "bool | float | None"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: `source` is a Python expression, or a function that gets what it names as parameters."""

    name: str
    source: str | Callable[..., Any]

    def names(self) -> frozenset[str]:
        """The names that it reads."""
        if isinstance(self.source, str):
            return expression.names(self.source)
        return frozenset(inspect.signature(self.source).parameters)

    @property
    def whole(self) -> frozenset[str]:
        """The names that it reads without a field or an index: `answer`, but not `answer.value`."""
        if not isinstance(self.source, str):
            return frozenset()
        nodes = [*ast.walk(ast.parse(self.source.strip(), mode="eval"))]
        inner = [n.value for n in nodes if isinstance(n, ast.Attribute | ast.Subscript)]
        return self.names() - {n.id for n in inner if isinstance(n, ast.Name)}

    def value(self, scope: Mapping[str, Any]) -> Any:
        """Evaluates the metric on the names of one case."""
        if isinstance(self.source, str):
            return expression.evaluate(self.source, scope)
        return self.source(**{name: scope[name] for name in self.names()})

    @property
    def sides(self) -> tuple[str, str] | None:
        """The two sides of `a == b`, else None."""
        if not isinstance(self.source, str):
            return None
        match ast.parse(self.source.strip(), mode="eval").body:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                return ast.unparse(left), ast.unparse(right)
        return None


def check_metrics(metrics: Sequence[Metric]) -> None:
    """Checks names and expressions of metrics.

    Raises:
        InputError: one is wrong.
    """
    for metric in metrics:
        if metric.name in RESERVED:
            raise InputError(f"{metric.name!r} is measured in every evaluation: give the metric another name")
        if metric.name in OWN:
            raise InputError(f"{metric.name!r} is a name that metrics read: give the metric another name")
        if isinstance(metric.source, str) and (problem := expression.check(metric.source)):
            raise InputError(f"{metric.name} = {metric.source}: {problem[0]}: write a Python expression")


def check_names(
    metric: Metric, columns: Iterable[str], steps: Mapping[str, bool], notebook: Mapping[str, object],
    judges: Iterable[str],
) -> None:  # fmt: skip
    """Checks that a metric reads names that there are, and that none of them means two things.

    `steps` says of each step whether its value has fields. Then `answer` without a field is a column of this name,
    if the metric reads something else of the run: `output.value == answer`.

    Raises:
        InputError: it does not.
    """
    known = {*columns, *steps, *judges, *OWN}
    for name in sorted(metric.names()):
        others = metric.names() & {"output", "run", "calls", *steps} - {name}
        as_column = others and name in metric.whole and steps.get(name)
        if name in known & {*columns} & {*steps} and not as_column:
            raise InputError(
                f"{metric.name}: {name!r} is a column and a step: write row.{name} for the column, run.{name} for "
                "the step"
            )
        if name not in known and name not in notebook:
            close = nearest(name, [*known, *(n for n in notebook if not n.startswith("_"))])
            raise InputError(f"{metric.name}: {name!r} is no column, step or notebook name{close}")


@dataclass(slots=True)
class Scores:
    """The scores of one metric for one variant, one for each row.

    `values` are the means over the repeats of a row; None: it does not apply. `missing` are the places of rows without
    an answer. `yes_no`: a share. `least` and `most` are the ends of the scale. `changed` counts rows whose repeats
    differ.
    """

    metric: str
    yes_no: bool
    values: list[float | None]
    missing: list[int] = field(default_factory=list)
    least: float = 0.0
    most: float = 1.0
    changed: int = 0

    def known(self, *, worst: float | None = None) -> tuple[list[int], list[float]]:
        """The places of rows that count, and their scores; `worst` is the score of rows without an answer, if any."""
        gone = {*self.missing}
        pairs = [
            (place, worst if place in gone else value)
            for place, value in enumerate(self.values)
            if (place in gone and worst is not None) or (place not in gone and value is not None)
        ]
        return [place for place, _ in pairs], [float(value) for _, value in pairs if value is not None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the metrics gave of one case. `failed`: the run has no answer that can be right. `answered`: see Outcome."""

    values: Mapping[str, Any]
    failed: bool
    answered: bool
    unscored: frozenset[str] = frozenset()


def flat(metric: str, value: Any, row: int) -> dict[str, Value]:
    """A metric's value as numbers by name: a dict gives one for each key.

    Raises:
        InputError: it is no bool, number, dict of them, or None.
    """
    if isinstance(value, Mapping):
        return {f"{metric}.{key}": _one(f"{metric}.{key}", part, row) for key, part in value.items()}
    return {metric: _one(metric, value, row)}


def _one(metric: str, value: Any, row: int) -> Value:
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    kind = "not finite" if isinstance(value, float) else type(value).__name__
    raise InputError(f"{metric} is {kind} ({shorten(repr(value), 60)}) in row {row}: write a comparison")


def evaluated(metric: Metric, scope: Mapping[str, Any], row: int) -> Any:
    """The value of a metric for the case of row `row` (from 1).

    Raises:
        InputError: its code raised.
    """
    try:
        return metric.value(scope)
    except Exception as error:
        text = described(error)
        hint = "" if not isinstance(error, AttributeError | TypeError) else ", for example `… if extract else None`"
        raise InputError(
            f"{metric.name} failed in row {row}: {text}: change the metric{hint}; no model is called again"
        ) from error


def score(name: str, cases: Sequence[Sequence[Measured]]) -> Scores:
    """The scores of the metric `name`; `cases` are the repeats of each row.

    A failed run counts as wrong, unless the metric does not apply to any other repeat of the row.
    """
    found = [[_value(name, m) for m in row] for row in cases]
    real = [v for row in found for v in row if isinstance(v, bool | float)]
    yes_no = all(isinstance(v, bool) for v in real)
    least, most = _scale([float(v) for v in real], yes_no=yes_no)
    values: list[float | None] = []
    missing, changed = [], 0
    for place, row in enumerate(found):
        known = [least if v == _WRONG else float(v) for v in row if v is not None and v != _MISSING]
        if any(v == _MISSING for v in row):
            missing.append(place)
        changed += len({*known}) > 1
        values.append(math.fsum(known) / len(known) if known else None)
    return Scores(name, yes_no, values, missing, least, most, changed)


_WRONG, _MISSING = "wrong", "missing"


def _value(name: str, measured: Measured) -> Any:
    if not measured.answered or name in measured.unscored:
        return _MISSING
    if measured.failed:
        return _WRONG
    return measured.values.get(name)


def _scale(values: Sequence[float], *, yes_no: bool) -> tuple[float, float]:
    """The ends of the scale of a metric: 0..1 if all scores lie in it, else 0 (or the least) to the most."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if yes_no or (low >= 0 and high <= 1):
        return 0.0, 1.0
    return min(low, 0.0), high
