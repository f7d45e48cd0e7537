"""Many runs stop at a limit before they are done.

**Why.** A run that stops at its limit is paid in full, and its result is only a part.

**Example.** 4 of 25 runs stopped after 8 rounds without an answer:

    %%react orders --tools find_order
    Answer from the orders only. {{ question }}

**Fix.** If the task needs more rounds, raise the limit (`--max-iterations`, `max` of a loop, `--budget`). If it has
parts that can be named before, write `%%plan`. The rule needs 20 runs, of which a tenth was stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject

SHARE = 0.1
_FEWEST = 20
_SHOWN = 5


def check(subject: LintSubject) -> Iterator[Found]:
    runs = subject.samples
    capped = [r for r in runs if r.status == "capped"]
    if len(runs) < _FEWEST or len(capped) < SHARE * len(runs):
        return
    reason, count = Counter((r.reason or "a limit").partition(";")[0] for r in capped).most_common(1)[0]
    listed = ", ".join(r.run for r in capped[:_SHOWN]) + (", …" if len(capped) > _SHOWN else "")
    text = f"{len(capped)} of {len(runs)} runs stopped at a limit ({listed}); {count} of them: {reason}"
    other = "" if subject.graph.pattern == "plan" else ", or plan the work first: %%plan"
    yield Found("", text, f"Raise that limit{other}")


rule = LintRule("OM201", "often-capped", check)
