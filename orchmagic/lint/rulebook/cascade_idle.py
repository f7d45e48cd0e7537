"""A cascade escalates in nearly every run, or never.

**Why.** If the first model's answers are nearly all refused, its calls and the checks are paid for nothing: the large
model alone is cheaper. If none is refused, the check may find nothing, and the large model is not needed.

**Example.** 38 of 40 runs went on to `large`:

    %%cascade solve --models small,large --judge small
    answer
        {{ question }}
    verify judge >= 0.9

**Fix.** Escalates in more than 80 % of 30 runs: use the large model alone, or a first model that is better. Never in
30 runs: use the first model alone if `%%evaluate` shows that it is good enough, or write a check that can fail.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.history_figures import MANY, mean, visits
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject
from orchmagic.models.pricing import prices
from orchmagic.trace.events import Usage
from orchmagic.trace.humanize import money
from orchmagic.trace.record import Record

_MOST = 0.8


def check(subject: LintSubject) -> Iterator[Found]:
    answer = subject.step("answer") if subject.graph.pattern == "cascade" else None
    runs = [r for r in subject.samples if r.status == "done" and visits(r, "answer")]
    if answer is None or len(runs) < MANY:
        return
    first, last, name = answer.models[0], answer.models[-1], subject.graph.name
    up = sum(len(visits(r, "answer")) > 1 for r in runs)
    cost = _costs(subject, last, runs)
    if up > _MOST * len(runs):
        write = f"Write --model {last} in a %%chain, or a better first model than {first}"
        yield Found("", f"{up} of {len(runs)} runs escalated from {first}{cost}", write)
    elif not up:
        write = f"Compare both: %%evaluate {name} --models {first},{last}; or write a check that can fail"
        yield Found("", f"none of {len(runs)} runs escalated from {first}{cost}", write)


def _costs(subject: LintSubject, last: str, runs: list[Record]) -> str:
    """Returns what a run cost, beside the last model alone on the tokens of one answer.

    Runs that a cache answered are left out: their tokens are not known.
    """
    deployment = subject.models.deployment(last)
    counted = [r for r in runs if not r.cached]
    alone = [cost for r in counted if (cost := prices.cost(deployment, _usage(r))) is not None]
    if not alone:
        return ""
    whole = mean([r.worth(r.steps) for r in counted])
    return f"; a run cost {money(whole)}, {last} alone would cost about {money(mean(alone))}"


def _usage(record: Record) -> Usage:
    return visits(record, "answer")[-1].usage


rule = LintRule("OM205", "cascade-idle", check)
