"""An agent or a loop of model calls has no budget.

**Why.** A loop that never gets what it wants goes on to its limit of rounds, and the run costs the worst case.
A budget is reserved before each call, so that a run cannot cost more.

**Example.**

    %%react orders --tools find_order
    Answer from the orders only. {{ question }}

**Fix.** Write `--budget` on the magic line: `%%react orders --tools find_order --budget 0.25`. The finding quotes the
most that one run can cost; a budget of that size changes nothing but the bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from orchmagic.core.text_format import plain
from orchmagic.lint.rule import Found, LintRule, with_flag
from orchmagic.lint.subject import LintSubject
from orchmagic.trace.humanize import money

_LOOPS = ("react", "plan", "refine", "team")


def check(subject: LintSubject) -> Iterator[Found]:
    graph, limits = subject.graph, subject.graph.limits
    if graph.pattern not in _LOOPS or limits.budget is not None:
        return
    if subject.models.settings.notebook_budget.money is not None:
        return
    most = subject.estimate
    high = math.inf if most.cost is None else most.cost.high
    if high == 0:
        return
    calls = "any number of calls" if math.isinf(most.calls.high) else f"{most.calls.high:,.0f} calls"
    what = f"one run may make {calls}"
    if math.isinf(high):
        unknown = f" (no price known: {', '.join(most.unknown)})" if most.unknown else ""
        yield Found("", f"{what}{unknown} and has no budget", "Write --budget 0.25")
        return
    bound = plain(_rounded_up(high))
    text = f"{what} and cost {money(high)}, and has no budget"
    yield Found("", text, f"Write --budget {bound}", with_flag("--budget", bound))


def _rounded_up(dollars: float) -> float:
    """Returns two digits that are not less."""
    unit = 10.0 ** (math.floor(math.log10(dollars)) - 1)
    return math.ceil(dollars / unit) * unit


rule = LintRule("OM102", "loop-no-budget", check)
