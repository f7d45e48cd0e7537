"""Finds the steps that judge the answer of another step."""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.graph.checks import reads
from orchmagic.graph.model import Call
from orchmagic.language import expression
from orchmagic.lint.subject import LintSubject, ModelStep, gates

_ROLES = {"cascade": ("judge", "answer"), "refine": ("evaluate", "generate"), "plan": ("reflect", "execute")}


def judges(subject: LintSubject) -> Iterator[tuple[ModelStep, ModelStep]]:
    """Yields (judge, writer): the pattern's own, or a step that only gates read and that reads an earlier step.

    Of a cascade the writer is the first model: the judge mostly judges its answers.
    """
    role = _ROLES.get(subject.graph.pattern)
    pairs = (
        [role] if role else [(judge, writer) for judge in gate_judges(subject) for writer in _writers(subject, judge)]
    )
    for judge, writer in pairs:
        one, other = subject.step(judge), subject.step(writer)
        if one is not None and other is not None:
            yield one, other


def gate_judges(subject: LintSubject) -> tuple[str, ...]:
    """Returns the calls that gates read and no later prompt does."""
    graph = subject.graph
    in_gates = frozenset().union(*(expression.names(gate.expression) for gate in gates(graph)))
    elsewhere = frozenset().union(*(reads(node) for node in graph.nodes if node not in gates(graph)))
    calls = [node.name for node in graph.nodes if isinstance(node, Call)]
    return tuple(n for n in calls if n in in_gates and n not in elsewhere and n not in subject.outputs)


def _writers(subject: LintSubject, judge: str) -> Iterator[str]:
    read = reads(subject.graph.node(judge))
    yield from (node.name for node in subject.graph.nodes if isinstance(node, Call) and node.name in read)
