"""The rows of the last evaluation do not decide its target.

**Why.** "Not shown" is no "no". The range of the result holds the target's limit, so more rows are needed to decide.

**Example.** 108 of 120 rows are right, and the target is `right >= 0.85`: the true share may be 83 %.

**Fix.** Add the rows that the finding asks for (`%orch add RUN FILE`), or lower the target if you can do with less. The
rule compares with the limit of the target, not with a fixed margin: what difference matters is yours to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject


def check(subject: LintSubject) -> Iterator[Found]:
    if (last := subject.evaluated) is None:
        return
    for condition, more in last.figures["undecided"][:1]:
        text = f"{last.figures['count']:,} rows do not decide {condition}"
        yield Found("", text, f"Add about {more:,} rows" if more else "Add rows")


rule = LintRule("OM303", "too-few-rows", check)
