"""A router or a judge uses a model that costs at least twice as much as another alias.

**Why.** Every request pays for the router, and its answer is one label. Small models choose labels well; measure it.

**Example.** `large` costs five times as much as `small`:

    %%route helpdesk --model large --otherwise human
    billing: refunds
        {{ question }}
    human(ask="{{ question }}"): anything else

**Fix.** Write `router(model=small)`, and compare both on your own rows: `%%evaluate helpdesk --models small,large`.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.lint.judge_pairs import judges
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject, ModelStep, same

_DEAR = 2  # times the price of the cheaper model


def check(subject: LintSubject) -> Iterator[Found]:
    written = {judge.name: {same(subject.deployment(writer))} for judge, writer in judges(subject)}
    for step in subject.steps:
        if step.call.role == "router" or step.name in written:
            yield from _dear(subject, step, written.get(step.name, set()))


def _dear(subject: LintSubject, step: ModelStep, writers: set[tuple[str, str | None, str]]) -> Iterator[Found]:
    now = subject.deployment(step)
    price = subject.price(now)
    others = [o for o in subject.others if same(o) not in writers and o.provider != "local"]  # that is a demo model
    known = [(p, one) for one in others if (p := subject.price(one)) is not None]
    if not price or not known:
        return
    least, cheap = min(known, key=lambda pair: pair[0])
    if least * _DEAR <= price and same(cheap) != same(now):
        text = f"{step.name!r} uses {now.alias} at ${price:.3g} a million tokens; {cheap.alias} costs ${least:.3g}"
        name = subject.graph.name
        compare = f"compare both first: %%evaluate {name} --models {cheap.alias},{now.alias}"
        option = "--judge" if subject.graph.pattern == "cascade" else f"{step.name}(model={cheap.alias})"
        yield Found(step.name, text, f"Write {option}, and {compare}")


rule = LintRule("OM108", "dear-router", check)
