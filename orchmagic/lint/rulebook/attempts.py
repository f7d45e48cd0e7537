"""One call may make more than 30 attempts.

**Why.** Retries, deployments, fallbacks and repeated questions multiply. When an endpoint is down, a call with 30
attempts makes a run wait for minutes, and each attempt may be billed.

**Example.** Three deployments, four attempts each, three questions:

    %%chain triage --model pooled --retry 3
    extract(retry=2) -> product: str
        {{ ticket }}

**Fix.** Lower one factor: `--retry 1`, fewer fallbacks, or `retry=1` at the step.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject

_MOST = 30


def check(subject: LintSubject) -> Iterator[Found]:
    estimated = subject.estimate.steps  # raises here, before anything is yielded
    reasks = {step.name: step for step in subject.steps}
    for row in estimated:
        outer = row.name.partition("/")[0]
        step = reasks.get(outer)
        asked = 1 if step is None or step.call.output.kind == "text" else 1 + step.defaults.reasks(step.call)
        total = asked * sum(row.attempts.values())
        if step is not None and total > _MOST:
            each = ", ".join(f"{count} of {name}" for name, count in row.attempts.items())
            again = f", asked up to {asked} times" if asked > 1 else ""
            text = f"one call of {outer!r} may make {total} attempts: {each}{again}"
            yield Found(outer, text, "Write a smaller --retry, or fewer fallbacks")


rule = LintRule("OM111", "attempts", check)
