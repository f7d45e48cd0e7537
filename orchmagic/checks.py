"""What can be wrong with a graph that was read well: its name, steps that read later steps, fields that are not there.

Each check yields (what to look for in the cell, what was found, what to write); lowering puts the line to it.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from orchmagic import expression, template
from orchmagic.errors import nearest
from orchmagic.graph import Approve, Branch, Call, Code, Edge, Link, Node, Tools
from orchmagic.schema import annotation_names

Finding: TypeAlias = tuple[str, str, str]


def sources(node: Node) -> tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]:
    """The templates, the expressions and the type names of a node."""
    match node:
        case Call():
            when = (node.when,) if node.when else ()
            return tuple(m.text for m in node.messages), when, annotation_names(node.output)
        case Code():
            return (), (node.expression, *((node.when,) if node.when else ())), frozenset()
        case Approve():
            return (node.question.text,), (), frozenset()
        case Tools():
            return (), (), frozenset()


def reads(node: Node) -> frozenset[str]:
    """The names that a node's prompts and expressions use: inputs, steps and notebook code."""
    templates, expressions, _ = sources(node)
    found = [template.names(t) for t in templates] + [expression.names(e) for e in expressions]
    return frozenset().union(*found)


def name(chosen: str | None, inputs: Sequence[str], code: Sequence[str]) -> Iterator[Finding]:
    """The name of the cell is bound in the notebook: it must not take a place that is in use."""
    if chosen is None:
        return
    if chosen in inputs or chosen in code:
        yield chosen, f"the name {chosen!r} is also something that the cell reads", "Give the cell another name"
    elif hasattr(builtins, chosen):
        yield chosen, f"the name {chosen!r} is a Python builtin", "Give the cell another name"


def order(nodes: Sequence[Node], links: Sequence[Link]) -> Iterator[Finding]:
    """A step that reads a later one (or itself) finds nothing there, unless a loop leads back."""
    at = {n.name: i for i, n in enumerate(nodes)}
    backs = [(at[s], at[t]) for s, t in _arrows(links) if s in at and t in at and at[t] <= at[s]]
    for i, node in enumerate(nodes):
        for later in sorted(n for n in reads(node) if at.get(n, -1) >= i):
            if not any(target <= i and at[later] <= source for source, target in backs):
                yield later, f"step {node.name!r} reads {later!r}, which runs later", "Put it behind that step"


def fields(nodes: Sequence[Node]) -> Iterator[Finding]:
    """`extract.qoute` is found here, before a call is paid."""
    known: Mapping[str, set[str]] = {
        n.name: {f.name for f in n.output.fields} | ({"confidence"} if n.confidence else set())
        for n in nodes
        if isinstance(n, Call) and n.output.kind == "fields"
    }
    for node in nodes:
        for source in sources(node)[1]:
            for step, field in expression.attributes(source):
                if step in known and field not in known[step] and not field.startswith("model_"):
                    write = f"Known: {', '.join(sorted(known[step]))}{nearest(field, known[step])}"
                    yield f"{step}.{field}", f"step {step!r} has no output {field!r}", write


def _arrows(links: Sequence[Link]) -> Iterator[tuple[str, str]]:
    for link in links:
        match link:
            case Edge(source, target):
                yield source, target
            case Branch():
                yield from ((link.source, arm.target) for arm in link.arms)
                yield link.source, link.otherwise
