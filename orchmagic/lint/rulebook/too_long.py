"""The prompts of a step are long.

**Why.** Models read long prompts less carefully in the middle, and every token of it is paid in every run.

**Example.** Nineteen of twenty prompts of `summary` have up to 9,000 tokens:

    %%chain report
    summary
        Summarize: {{ document }}

**Fix.** Let `%%mapreduce` read the document in parts. The rule needs 20 calls of a step, and fires if the longest
twentieth of them has more than 4,000 tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from orchmagic.lint.history_figures import asks
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject

MOST = 4_000
_FEWEST, _PART = 20, 0.95


def check(subject: LintSubject) -> Iterator[Found]:
    if subject.graph.pattern == "mapreduce":
        return
    for name, long in lengths(subject).items():
        if long is not None and long > MOST:
            text = f"95% of the prompts of {name!r} have up to {long:,} tokens (more than {MOST:,})"
            yield Found(name, text, "Write %%mapreduce, which reads the text in parts")


def lengths(subject: LintSubject) -> dict[str, int | None]:
    """Returns the tokens that 95 % of a step's prompts do not exceed, by step; None below 20 prompts."""
    return {name: _length(subject, name) for name in dict.fromkeys(step.name for step in subject.steps)}


def _length(subject: LintSubject, name: str) -> int | None:
    sizes = sorted(n for r in subject.samples for ask in asks(r, name) if (n := ask.usage.input))
    return sizes[math.ceil(_PART * len(sizes)) - 1] if len(sizes) >= _FEWEST else None


rule = LintRule("OM207", "too-long", check)
