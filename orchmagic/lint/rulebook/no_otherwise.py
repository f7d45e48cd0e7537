"""A router has no handler for a label that does not fit.

**Why.** Without `--otherwise` a run fails when the router names no handler, or its reply cannot be read.

**Example.**

    %%route helpdesk
    billing: refunds
        {{ question }}
    human(ask="{{ question }}"): anything else

**Fix.** Name the handler that takes what is unclear: `%%route helpdesk --otherwise human`.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.graph.model import FAIL, Approve, Branch
from orchmagic.lint.rule import Found, LintRule, with_flag
from orchmagic.lint.subject import LintSubject


def check(subject: LintSubject) -> Iterator[Found]:
    graph = subject.graph
    link = graph.link("router") if graph.pattern == "route" else None
    if not isinstance(link, Branch) or link.otherwise != FAIL:
        return
    failed = sum(r.status == "failed" and not any(s.name == a.target for a in link.arms for s in r.steps)
                 for r in subject.records)  # fmt: skip
    count = f"; {failed} of {len(subject.records)} runs failed there" if failed else ""
    person = next((arm.target for arm in link.arms if isinstance(graph.node(arm.target), Approve)), None)
    write = f"Write --otherwise {person or 'HANDLER'}"
    fix = with_flag("--otherwise", person) if person else None
    yield Found("router", f"a label that no handler has fails the run{count}", write, fix)


rule = LintRule("OM109", "no-otherwise", check)
