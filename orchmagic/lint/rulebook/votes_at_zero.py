"""Votes are cast at temperature 0.

**Why.** At temperature 0 a model answers nearly the same each time. Five votes cost five calls and say what one says,
and their agreement is no confidence.

**Example.**

    %%parallel moderate
    toxic(votes=5, temperature=0) -> label: "ok" | "toxic"
        {{ post }}

**Fix.** Leave `temperature=0` out, or write `temperature=0.8`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchmagic.lint.rule import Found, LintRule, without_option
from orchmagic.lint.subject import LintSubject, temperature
from orchmagic.trace.record import Record


def check(subject: LintSubject) -> Iterator[Found]:
    for step in subject.steps:
        votes = step.call.votes
        if votes is None or temperature(step, subject.deployment(step)) != 0:
            continue
        text = f"{step.name!r} takes {votes.count} votes at temperature 0{_agreement(step.name, subject.records)}"
        own = "temperature" in step.call.request_parameters
        write = f"Leave temperature=0 out of {step.name}" if own else f"Write {step.name}(temperature=0.8, …)"
        yield Found(step.name, text, write, without_option(step.name, r"temperature\s*=\s*0(?:\.0*)?") if own else None)


def _agreement(step: str, records: Sequence[Record]) -> str:
    votes = [s.output["agreement"] for r in records for s in r.steps if s.name == step and _is_vote(s.output)]
    if not votes:
        return ""
    return f" (agreement {sum(votes) / len(votes):.0%} on average, in {len(votes)} runs)"


def _is_vote(output: object) -> bool:
    return isinstance(output, dict) and isinstance(output.get("agreement"), int | float)


rule = LintRule("OM107", "votes-at-zero", check)
