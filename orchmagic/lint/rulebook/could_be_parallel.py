"""Two steps that do not read each other run one after the other.

**Why.** Side by side they take as long as the slower one.

**Example.** `tone` does not read `facts`:

    %%chain review
    facts
        The facts of {{ text }}
    tone
        The tone of {{ text }}
    verdict
        Facts: {{ facts }} Tone: {{ tone }}

**Fix.** Write `%%parallel review` with `facts` and `tone`, and name the step that reads both `merge`. A step after a
gate is no finding: the gate may make it unnecessary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from orchmagic.graph.checks import reads
from orchmagic.graph.model import Call, Edge
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject
from orchmagic.trace.record import Record


def check(subject: LintSubject) -> Iterator[Found]:
    graph = subject.graph
    if graph.pattern != "chain" or (graph.safety and graph.safety.thread):
        return
    next_to = {(link.source, link.target) for link in graph.links if isinstance(link, Edge)}
    for first, second in pairwise(graph.nodes):
        if not (isinstance(first, Call) and isinstance(second, Call)) or (first.name, second.name) not in next_to:
            continue
        if first.name not in reads(second):
            text = f"{second.name!r} waits for {first.name!r} and does not read it"
            saved = _saved(first.name, second.name, subject.records)
            write = f"Write %%parallel with both, and a step `merge` that reads them{_last(subject, second)}"
            yield Found(second.name, f"{text}{saved}", write)


def _last(subject: LintSubject, second: Call) -> str:
    return "; without one the run's output has both" if second.name in subject.graph.results else ""


def _saved(first: str, second: str, records: Sequence[Record]) -> str:
    """Returns the seconds that the faster of both took, the median of earlier runs."""
    times = [{s.name: s.seconds for s in r.steps} for r in records]
    both = [min(t[first], t[second]) for t in times if first in t and second in t]
    return f" ({median(both):.1f} s a run would be saved, over {len(both)} runs)" if both else ""


rule = LintRule("OM204", "could-be-parallel", check)
