"""A model has one deployment and no fallback.

**Why.** Endpoints refuse and fail. With one deployment and no fallback the run fails with it.

**Example.** Alias `small` is one model at one endpoint:

    %%chain triage --model small
    extract -> product: str
        {{ ticket }}

**Fix.** Name a fallback, `%%chain triage --model small --fallback large`, or give the alias a second deployment in the
settings. Local and scripted models need none.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject
from orchmagic.models.routing import alias_advice


def check(subject: LintSubject) -> Iterator[Found]:
    models, seen = subject.models, set[str]()
    for step in subject.steps:
        names, fallback = step.models, step.defaults.fallbacks(step.call)
        for name in names:
            said = alias_advice.no_fallback(name, (*names, *fallback), models.settings, models.environ)
            if said and name not in seen:
                seen.add(name)
                text, _, write = said.partition(". ")
                yield Found(step.name, text, write)


rule = LintRule("OM104", "no-fallback", check)
