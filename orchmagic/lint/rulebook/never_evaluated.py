"""An orchestration is used and was never evaluated.

**Why.** That it looks right on a few inputs says little: of 20 right answers the true share may be 84 %.

**Example.** `triage` has 34 runs on different inputs, and no `%%evaluate` cell has named it.

**Fix.** Take rows from its history, `rows = orchmagic.rows("triage")`, add a column with what is right, and evaluate:
`%%evaluate triage --on rows`. The rule needs 20 runs on different inputs.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject

_FEWEST = 20


def check(subject: LintSubject) -> Iterator[Found]:
    runs, name = len(subject.samples), subject.graph.name
    if runs >= _FEWEST and not subject.evaluations:
        text = f"{runs} runs on different inputs and no evaluation"
        yield Found(
            "", text, f'Write rows = orchmagic.rows("{name}"), add what is right, and %%evaluate {name} --on rows'
        )


rule = LintRule("OM301", "never-evaluated", check)
