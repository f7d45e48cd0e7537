"""The questions that choose a pattern, each answered from figures or by the user: yes, no, or unknown.

Two questions span a table of four patterns: is the path predictable, are the costs of the rows uneven? Five more are
asked in order, and the first yes names the pattern; none: a chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchmagic.errors import InputError, nearest
from orchmagic.lint.history_figures import MANY, visits
from orchmagic.lint.rulebook import often_capped, too_long
from orchmagic.lint.subject import LintSubject
from orchmagic.trace.record import Record

_FEWEST = 20  # runs on different inputs, below which no figure is quoted
_PATH = 0.8  # share of rows on the commonest path, from which on the path is predictable
_RATIO = 3.0  # cost of a row at the 90th percentile over one at the 10th, from which on costs are uneven
_EASY = 0.7  # share that the cheapest model gets right, from which on the rest is what costs
_SAME = 0.95  # share of runs with one sequence of tool calls, from which on the choice does not vary
_TURNS = 5
_LONG = 0.5  # share of runs with more than _TURNS turns, from which on work should be planned

GRID: Mapping[tuple[bool, bool], tuple[str, str]] = {
    (True, False): ("chain", "%%chain"),
    (False, False): ("branching", "%%route"),
    (True, True): ("routing", "%%cascade, or %%route with a model for each handler"),
    (False, True): ("plan-execute-reflect", "%%plan"),
}
"""(predictable, uneven costs) -> the pattern's usual name, and the magic.

The two questions and the four patterns are those of Cabin, "LLM Orchestration: 4 Patterns We Ship in Production" (April
2026, https://cabinco.com/llm-orchestration-patterns/). Which pattern stands in which cell is inferred from the order in
which the article names them, and from what it says of each: its table was not at hand to be compared.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a question: True, False, or None if nothing is known; `figures` say why."""

    question: str
    value: bool | None
    figures: str

    @property
    def word(self) -> str:
        """`yes`, `no` or `unknown`."""
        return "unknown" if self.value is None else "yes" if self.value else "no"


@dataclass(frozen=True, slots=True)
class Question:
    """A question by its `name`; `pattern` is the magic for a yes, "" for one of the two of the table."""

    name: str
    pattern: str
    measure: Callable[[LintSubject], tuple[bool | None, str]]


def answers(subject: LintSubject | None, given: Mapping[str, bool]) -> dict[str, Answer]:
    """Returns the answer to each question; those `given` win over figures. Without a subject there are no figures."""
    found = {}
    for question in QUESTIONS:
        value, figures = (None, "not asked") if subject is None else question.measure(subject)
        if question.name in given:
            was = f" (figures: {figures})" if value is not None else ""
            value, figures = given[question.name], f"your answer{was}"
        found[question.name] = Answer(question.name, value, figures)
    return found


def cell_of(found: Mapping[str, Answer]) -> tuple[str, str] | None:
    """Returns the pattern of the table of four, and its magic; None if one of the two answers is unknown."""
    predictable, uneven = found["predictable"].value, found["asymmetric"].value
    return None if predictable is None or uneven is None else GRID[predictable, uneven]


def read(words: Mapping[str, object]) -> dict[str, bool]:
    """Returns the answers of a user: `yes` or `no`, or a bool, by question.

    Raises:
        InputError: there is no such question, or no such answer.
    """
    names = [question.name for question in QUESTIONS]
    for name, value in words.items():
        if name not in names:
            raise InputError(f"there is no question {name!r} (known: {', '.join(names)}){nearest(name, names)}")
        if value not in _WORDS:
            raise InputError(f"{name}={value}: write {name}=yes or {name}=no")
    return {name: _WORDS[value] for name, value in words.items()}


def path(record: Record) -> tuple[str, ...]:
    """Returns the steps and tool calls of a run, in order."""
    return tuple(
        s.name for s in record.spans if (s.parent is None and s.status != "skipped") or s.kind == "tool"
    )  # fmt: skip


def _few(subject: LintSubject) -> str:
    return f"{len(subject.samples)} runs on different inputs; {_FEWEST} are needed"


def _predictable(subject: LintSubject) -> tuple[bool | None, str]:
    runs = [r for r in subject.samples if r.status in {"done", "capped"}]
    if len(runs) < _FEWEST:
        return None, _few(subject)
    [(_, count)] = Counter(map(path, runs)).most_common(1)
    share = count / len(runs)
    return share >= _PATH, f"{share:.0%} of {len(runs)} rows took the commonest path (yes from {_PATH:.0%})"


def _asymmetric(subject: LintSubject) -> tuple[bool | None, str]:
    costs = sorted(r.worth(r.steps) for r in subject.samples if r.status == "done" and not r.unpriced)
    last = subject.evaluated
    said, values = list[str](), list[bool]()
    if len(costs) >= _FEWEST and costs[len(costs) // 10] > 0:
        ratio = costs[-1 - len(costs) // 10] / costs[len(costs) // 10]
        said.append(f"a dear row (p90) costs {ratio:.1f} times a cheap one (p10; yes from {_RATIO:g})")
        values.append(ratio >= _RATIO)
    variants = [v for v in last.figures.get("variants", ()) if None not in v[2:]] if last else []
    if len(variants) > 1:
        name, _, share, _ = min(variants, key=lambda v: v[3])
        said.append(f"{name}, the cheapest, gets {share:.0%} right (yes from {_EASY:.0%}, and below 100%)")
        values.append(_EASY <= share < 1)
    return (any(values), "; ".join(said)) if values else (None, f"too few runs of known cost: {_few(subject)}")


def _heterogeneous(subject: LintSubject) -> tuple[bool | None, str]:
    last = subject.evaluated
    labels = last.figures.get("by_label", ()) if last else ()
    if len(labels) < 2:  # noqa: PLR2004 - nothing to compare
        return None, "no evaluation of this text that compares labels"
    best, worst = max(labels, key=lambda x: x[1] / x[2]), min(labels, key=lambda x: x[1] / x[2])
    text = ", ".join(f"{name} {hits / rows:.0%} of {rows}" for name, hits, rows, *_ in (best, worst))
    return worst[4] < best[3], f"accuracy by label: {text} (yes if the ranges do not meet)"


def _large(subject: LintSubject) -> tuple[bool | None, str]:
    sizes = {name: found for name, found in too_long.lengths(subject).items() if found is not None}
    if not sizes:
        return None, f"fewer than {_FEWEST} prompts of a step"
    name, most = max(sizes.items(), key=lambda pair: pair[1])
    return (
        most > too_long.MOST,
        f"95% of the prompts of {name!r} have up to {most:,} tokens (yes above {too_long.MOST:,})",
    )


def _tools(subject: LintSubject) -> tuple[bool | None, str]:
    if subject.graph.pattern not in {"react", "team"}:
        return None, "no step of it chooses tools"
    runs = [r for r in subject.samples if r.status in {"done", "capped"}]
    if len(runs) < MANY:
        return None, f"{len(runs)} runs on different inputs; {MANY} are needed"
    ways = Counter(tuple(s.name for s in r.spans if s.kind == "tool") for r in runs)
    [(way, count)] = ways.most_common(1)
    said = ", ".join(way) or "no tool"
    return count < _SAME * len(runs), f"{count} of {len(runs)} runs called {said} (yes below {_SAME:.0%})"


def _planning(subject: LintSubject) -> tuple[bool | None, str]:
    runs = subject.samples
    if subject.graph.pattern not in {"react", "team"} or len(runs) < _FEWEST:
        return None, "no agent" if subject.graph.pattern not in {"react", "team"} else _few(subject)
    capped = sum(r.status == "capped" for r in runs)
    long = sum(max((len(visits(r, s.name)) for s in r.steps), default=0) > _TURNS for r in runs)
    limits = f"yes from {_LONG:.0%} and {often_capped.SHARE:.0%}"
    text = f"{long} of {len(runs)} runs took more than {_TURNS} turns, {capped} were stopped at a limit ({limits})"
    return long >= _LONG * len(runs) or capped >= often_capped.SHARE * len(runs), text


def _roles(_: LintSubject) -> tuple[bool | None, str]:
    return None, "no figure says so: roles=yes, if parts need other skills and tools, and their order is open"


QUESTIONS = (
    Question("predictable", "", _predictable),
    Question("asymmetric", "", _asymmetric),
    Question("heterogeneous", "route", _heterogeneous),
    Question("large", "mapreduce", _large),
    Question("tools", "react", _tools),
    Question("planning", "plan", _planning),
    Question("roles", "team", _roles),
)
_WORDS: Mapping[object, bool] = {"yes": True, "no": False, True: True, False: False}
