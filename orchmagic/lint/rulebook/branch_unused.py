"""A handler of a route was never chosen.

**Why.** Each handler makes the router's question longer and its choice harder.

**Example.** In 60 runs nothing went to `legal`:

    %%route helpdesk --otherwise human
    billing: refunds
        {{ question }}
    legal: contracts
        {{ question }}
    human(ask="{{ question }}"): anything else

**Fix.** Merge the handler into the one that is nearest: write what it handles after that one's colon. The rule needs 50
runs on different inputs. The handler of `--otherwise`, and a person who is asked, are no finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from orchmagic.graph.model import Approve, Branch
from orchmagic.lint.history_figures import visits
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject

_FEWEST = 50


def check(subject: LintSubject) -> Iterator[Found]:
    graph = subject.graph
    link = graph.link("router") if graph.pattern == "route" else None
    if not isinstance(link, Branch):
        return
    handlers = [arm.target for arm in link.arms]
    chosen = [name for record in subject.samples for name in handlers if visits(record, name)]
    if len(chosen) < _FEWEST:
        return
    counts = Counter(chosen)
    largest = counts.most_common(1)[0][0]
    for name in handlers:
        if not counts[name] and name != link.otherwise and not isinstance(graph.node(name), Approve):
            text = f"{name!r} was chosen in 0 of {len(chosen)} runs ({largest!r} in {counts[largest]})"
            yield Found(name, text, f"Merge {name} into the handler that is nearest")


rule = LintRule("OM203", "branch-unused", check)
