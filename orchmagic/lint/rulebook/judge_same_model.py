"""A judge is the model whose answer it judges.

**Why.** Models rate their own mistakes as right. A judge of another model, best a stronger one, finds more of them.

**Example.**

    %%refine tagline --model small
    generate
        A tagline for {{ product }}.
    evaluate -> score: float, feedback: str
        Score from 0 to 10: {{ generate }}
    until evaluate.score >= 8 max 4

**Fix.** Give the judge another model: `evaluate(model=large) -> score: float, feedback: str`; in a cascade `--judge`.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.judge_pairs import judges
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject, same


def check(subject: LintSubject) -> Iterator[Found]:
    for judge, writer in judges(subject):
        first, second = subject.deployment(judge), subject.deployment(writer)
        if same(first) == same(second):
            option = "--judge" if subject.graph.pattern == "cascade" else f"{judge.name}(model=…)"
            text = f"{judge.name!r} judges the answer of {writer.name!r} with the model that wrote it, {first.model}"
            yield Found(judge.name, text, f"Write {option} and another model{_example(subject, judge.models[0])}")


def _example(subject: LintSubject, used: str) -> str:
    others = [one.alias for one in subject.others if same(one) != same(subject.models.deployment(used))]
    return f", such as {others[0]}" if others else ""


rule = LintRule("OM105", "judge-same-model", check)
