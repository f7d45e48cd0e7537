"""A model is often asked again because its reply does not fit the declared outputs.

**Why.** Each reply that does not fit is paid, and the question that follows it is longer.

**Example.** 6 of 40 replies of `extract` were no JSON:

    %%chain triage --model small
    extract -> product: str, severity: "low" | "high", parts: list[str]
        {{ ticket }}

**Fix.** Ask for fewer fields, or for simpler types; or use a model that keeps to a schema. The rule needs 30 replies of
a step, of which more than a tenth did not fit.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.history_figures import MANY, asks
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject

_MOST = 0.1


def check(subject: LintSubject) -> Iterator[Found]:
    for name in dict.fromkeys(step.name for step in subject.steps):
        replies = [ask for record in subject.samples for ask in asks(record, name)]
        again = sum(ask.status == "retried" for ask in replies)
        if len(replies) >= MANY and again > _MOST * len(replies):
            model = replies[0].model
            text = f"{again} of {len(replies)} replies of {name!r} did not fit, and {model} was asked again"
            yield Found(name, text, "Write fewer or simpler outputs, or another model=")


rule = LintRule("OM206", "reasks", check)
