"""Calls side by side multiply the cost of a run, and the run has no budget.

**Why.** Sections, votes and `over=` make many calls at once. A longer list than yesterday's costs more than yesterday,
and all of it is under way before the first answer is there.

**Example.**

    %%parallel moderate --model large
    toxic(votes=5) -> label: "ok" | "toxic"
        {{ post }}

**Fix.** Bound it: `--budget 0.05`. The finding quotes the number of calls and what they cost at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from orchmagic.core.text_format import counted
from orchmagic.graph.estimate import StepEstimate
from orchmagic.graph.model import Fork
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject, ModelStep
from orchmagic.trace.humanize import money
from orchmagic.trace.record import TIMES


def check(subject: LintSubject) -> Iterator[Found]:
    if subject.graph.limits.budget is not None or subject.models.settings.notebook_budget.money is not None:
        return
    rows = {row.name: row for row in subject.estimate.steps}
    for step in subject.steps:
        row = rows.get(step.name)
        many = _many(step)
        if many and row is not None and (row.cost is None or row.cost.high > 0):
            yield Found(step.name, f"{step.name!r} {many}: {_dollars(row)}", "Write --budget")
    sections = [target for link in subject.graph.links if isinstance(link, Fork) for target in link.targets]
    asked = [rows[name] for name in sections if name in rows]
    priced = [row.cost.high for row in asked if row.cost is not None]
    if len(asked) > 1 and (len(priced) < len(asked) or sum(priced) > 0):
        most = f"up to {money(sum(priced))}" if len(priced) == len(asked) else "no price known"
        yield Found("", f"{counted(len(asked), 'section')} are called side by side, {most}", "Write --budget")


def _many(step: ModelStep) -> str:
    if step.call.each is not None:
        return f"calls once for each of {step.call.each.over}"
    return f"takes {step.call.votes.count} votes" if step.call.votes else ""


def _dollars(row: StepEstimate) -> str:
    """Returns the cost of one call times the number of calls."""
    if row.cost is None:
        return f"no price known: {row.model}"
    if math.isinf(row.cost.high):
        return f"at least {money(row.cost.low)}, the number of items is not known yet"
    most = row.calls.high or 1
    return f"up to {money(row.cost.high / most)} {TIMES} {most:,.0f} = {money(row.cost.high)} a run"


rule = LintRule("OM112", "parallel-cost", check)
