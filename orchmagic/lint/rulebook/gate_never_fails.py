"""A gate that asks a model has never stopped anything.

**Why.** The model is paid in every run to say yes. Either the check is not needed, or its question is too easy.

**Example.** `ok.good` was true in all of 40 runs:

    %%chain triage
    extract -> product: str
        {{ ticket }}
    ok -> good: bool
        Is {{ extract.product }} one of our products?
    gate ok.good

**Fix.** Delete the gate and the step that only it reads, or ask for something that can be wrong. The rule needs 30 runs
on different inputs. A gate that no model is asked for costs nothing, and is no finding.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.language import expression
from orchmagic.lint.history_figures import MANY, mean, visits
from orchmagic.lint.judge_pairs import gate_judges
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject, gates
from orchmagic.trace.humanize import money


def check(subject: LintSubject) -> Iterator[Found]:
    asked = gate_judges(subject)
    for gate in gates(subject.graph):
        judge = next((name for name in asked if name in expression.names(gate.expression)), None)
        if judge is None or gate.verifies is not None:
            continue
        runs = [(r, found) for r in subject.samples if (found := visits(r, gate.name))]
        held = all(span.output is True for _, found in runs for span in found)
        if len(runs) >= MANY and held:
            cost = mean([r.worth(visits(r, judge)) for r, _ in runs])
            paid = f"; {judge!r} cost {money(cost)} a run" if cost else ""
            text = f"`gate {gate.expression}` was true in all of {len(runs)} runs{paid}"
            yield Found(judge, text, f"Delete the gate and {judge}, or ask a stricter question")


rule = LintRule("OM202", "gate-never-fails", check)
