"""More than 10 versions of a cell were evaluated on the same rows.

**Why.** Who changes a prompt until the rows are right fits it to these rows. On new ones it is worse than measured.

**Example.** 14 versions of `triage` were evaluated on the same 120 rows.

**Fix.** Set a third of fresh rows aside, and evaluate the last version on them once.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject

_MOST = 10


def check(subject: LintSubject) -> Iterator[Found]:
    if (last := subject.evaluated) is None:
        return
    versions = {e.version for e in subject.evaluations if e.rows == last.rows}
    if len(versions) > _MOST:
        text = f"{len(versions)} versions were evaluated on the same {last.figures['count']:,} rows"
        yield Found("", text, f"Evaluate this one on {max(1, last.figures['count'] // 3):,} fresh rows")


rule = LintRule("OM305", "looked-often", check)
