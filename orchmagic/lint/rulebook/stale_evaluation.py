"""The cell was changed after its last evaluation.

**Why.** What was measured is another text. A better word in a prompt can be worse on the rows.

**Example.** `triage` was evaluated on 1 March; then its prompt was changed.

**Fix.** Run the `%%evaluate` cell again; with `--baseline FILE` it says which rows are newly wrong. The rule compares
the text of the cell and of the cells it names, not the models and functions that they use.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject


def check(subject: LintSubject) -> Iterator[Found]:
    if subject.evaluations and subject.evaluated is None:
        last, name = subject.evaluations[0], subject.graph.name
        text = f"the cell was changed since its evaluation of {last.at[:10]} on {last.figures['count']:,} rows"
        yield Found("", text, f"Run %%evaluate {name} again")


rule = LintRule("OM302", "stale-evaluation", check)
