"""Judges: steps of an evaluation whose prompt is a rubric. The step is a chain of one call, run on each answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchmagic.errors import CellError, InputError, nearest
from orchmagic.evaluation import ranges
from orchmagic.evaluation.metrics import Metric
from orchmagic.evaluation.ranges import Interval, Judged
from orchmagic.graph.model import Call
from orchmagic.graph.resolution import options_with_settings, safety
from orchmagic.language.cell import Cell, Step
from orchmagic.language.magic_line import RunOptions
from orchmagic.patterns import PATTERNS
from orchmagic.runtime.fingerprint import digest
from orchmagic.runtime.row_runs import Subject
from orchmagic.runtime.run_factory import RunFactory

FEWEST = 20  # labels of persons from which on they correct the judge
HUMAN = "human"  # the column of labels, where `human=` names no other


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge; `human` names the column of the labels that persons gave, if there is one."""

    name: str
    subject: Subject
    human: str | None = None

    @property
    def labels(self) -> list[str]:
        """The labels of its first field, the good one first; empty if it gives none."""
        call = self.subject.graph.nodes[0]
        assert isinstance(call, Call)
        return labels_of(call.output.fields[0].annotation if call.output.kind == "fields" else call.output.annotation)

    @property
    def metric(self) -> Metric | None:
        """The metric that the verdict is: its value, or its first field, if that is yes/no, a number, or one of two.

        Of two labels the first is the good one. None: only other metrics can read it.
        """
        call = self.subject.graph.nodes[0]
        if not isinstance(call, Call) or call.output.kind == "text":
            return None
        if call.output.kind == "value":
            return _metric(self.name, self.name, call.output.annotation)
        field = call.output.fields[0]
        return _metric(self.name, f"{self.name}.{field.name}", field.annotation)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A judge beside persons: its share of good verdicts, and what persons would say, from `labels` of theirs.

    `agree` is the share of labels on which both agree, `constant` that of a judge that always says the commonest label.
    `kind` and `strict` count verdicts that are too good and too bad. Below FEWEST labels nothing is corrected.
    """

    judge: str
    variant: str
    raw: Interval
    value: float
    corrected: Judged
    labels: int
    agree: float
    constant: float
    kind: int
    strict: int

    @classmethod
    def of(cls, name: str, variant: str, verdicts: Sequence[float], pairs: Sequence[tuple[bool, bool]]) -> Calibration:
        """`verdicts` of all rows (0..1), `pairs` of the labelled ones: (judge, person)."""
        yes, rows, good = sum(verdicts), len(verdicts), sum(person for _, person in pairs)
        return cls(
            name, variant, ranges.wilson(yes, rows, ranges.quantile()), yes / rows,
            ranges.judged(yes, rows, pairs), len(pairs), sum(a == b for a, b in pairs) / len(pairs),
            max(good, len(pairs) - good) / len(pairs),
            sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs),
        )  # fmt: skip

    def text(self) -> str:
        """`helpful: the judge says 84% (78-88); with 40 human labels: 77% (65-86), use the second; …`."""
        ends = f"{self.raw.low * 100:.0f}-{self.raw.high * 100:.0f}"
        raw = f"{self.variant}: the judge of {self.judge} says {self.value:.0%} ({ends})"
        if self.labels < FEWEST:
            return f"{raw}; human= has {self.labels} labels; below {FEWEST} they are shown, not used. {self._more}"
        low, high = self.corrected.low * 100, self.corrected.high * 100
        wrong = f"{self.kind} of {self.labels} too kind" + f", {self.strict} too strict" * bool(self.strict)
        return (
            f"{raw}; with {self.labels} human labels: {self.corrected.value:.0%} ({low:.0f}-{high:.0f}), "
            f"use the second; judge and person agree on {self.agree:.0%}, always the same label would agree on "
            f"{self.constant:.0%}; {wrong}. {self._more}"
        )

    @property
    def _more(self) -> str:
        return f'Label more: orchmagic.label(result, "{self.judge}").'


def _metric(name: str, place: str, annotation: str) -> Metric | None:
    if annotation in {"bool", "int", "float"}:
        return Metric(name, place)
    labels = labels_of(annotation)
    return Metric(name, f"{place} == {labels[0]!r}") if len(labels) == 2 else None  # noqa: PLR2004 - good and bad


def labels_of(annotation: str) -> list[str]:
    """The labels of `Literal["good", "bad"]` or `"good" | "bad"`; empty for other types."""
    source = annotation.strip()
    inner = source[len("Literal[") : -1].split(",") if source.startswith("Literal[") else source.split("|")
    found = [part.strip() for part in inner]
    return [part[1:-1] for part in found] if all(p[:1] in {'"', "'"} and p[:1] == p[-1:] for p in found if p) else []


def judge(cell: Cell, step: Step, factory: RunFactory) -> Judge:
    """Builds a judge from its step in a cell.

    Raises:
        CellError: the step is wrong.
    """
    options = dict(step.options)
    human = options.pop("human", None)
    try:
        column = None if human is None else human.word
    except ValueError:
        problem = cell.problem(step.line, human.column if human else 0, "human= names no column", "Write human=good")
        raise CellError([problem]) from None
    alone = replace(cell, magic="chain", line=step.name, items=(replace(step, options=options),))
    services = factory.services
    run_options = options_with_settings(RunOptions(name=step.name), services.settings.now)
    graph = PATTERNS.get("chain").build(alone, run_options, services.namespace)
    graph = replace(graph, name=step.name, source="", safety=safety(run_options))
    return Judge(step.name, Subject(graph, run_options, factory), column)


def by_output(output: Any, label: bool) -> dict[str, bool]:
    """A label of one answer: it says nothing of the answers that other variants give to the same row."""
    return {digest(output): label}


def human_label(value: Any, judge_: Judge, row: int, output: Any) -> bool | None:
    """A person's label as yes or no; None if there is none. `output` is the answer; a label may be that of another one.

    Raises:
        InputError: it is neither yes/no nor one of the judge's labels.
    """
    if isinstance(value, Mapping):
        value = value.get(digest(output))
    if value is None or isinstance(value, bool):
        return value
    labels = judge_.labels
    if value in labels:
        return bool(value == labels[0])
    if value in (0, 1):
        return bool(value)
    known = f"True, False, {', '.join(labels)}" if labels else "True or False"
    raise InputError(f"{judge_.human} is {value!r} in row {row}: a label is {known}, or empty")


def readers(metrics: Sequence[Metric], names: Mapping[str, object]) -> dict[str, frozenset[str]]:
    """Which judges each metric reads, also by its fields (`grounded.product` reads what `grounded` reads)."""
    return {m.name: frozenset(names) & m.names() for m in metrics}


def check_names(judge_: Judge, known: set[str], notebook: Mapping[str, object]) -> None:
    """Checks that the names in a judge's prompt are there.

    Raises:
        InputError: one is not.
    """
    for name in judge_.subject.graph.inputs:
        if name not in known and name not in notebook:
            raise InputError(f"{judge_.name}: {name!r} is no column, step or notebook name{nearest(name, known)}")
