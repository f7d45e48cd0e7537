"""A judge of the last evaluation was compared with few labels of persons, or none.

**Why.** A judge is wrong, too, and mostly too kind. With 20 labels an evaluation says what persons would say, with a
range; with fewer it can only repeat the judge.

**Example.** `helpful(model=judge) -> verdict: "good" | "bad"` without `human=`.

**Fix.** Label 20 rows that are drawn by chance in a column of their own, and name it: `helpful(model=judge,
human=good)`.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject

_FEWEST = 20


def check(subject: LintSubject) -> Iterator[Found]:
    if (last := subject.evaluated) is None:
        return
    for judge, labels in last.figures["labels"].items():
        if labels < _FEWEST:
            text = f"the judge {judge!r} of its evaluation has {labels} labels of persons (below {_FEWEST})"
            yield Found("", text, f"Label {_FEWEST - labels} more rows, and write {judge}(human=COLUMN)")


rule = LintRule("OM304", "judge-unchecked", check)
