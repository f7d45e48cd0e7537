"""Static checks of a parsed graph: its name, steps that read later steps, fields that do not exist.

Each check yields (text to find in the cell, what was found, what to write); the builder adds the line.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from orchmagic.errors import nearest
from orchmagic.graph.composition import definition, free
from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.model import Approve, Call, Code, Link, Node, Sub, Tools, arrows
from orchmagic.language import expression, template
from orchmagic.language.annotations import annotation_names

Finding: TypeAlias = tuple[str, str, str]
_OUTCOME = {"agreement", "dissent", "tie", "decided"}  # fields that votes add


def sources(node: Node) -> tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]:
    """Returns the templates, the expressions and the type names of a node."""
    when = getattr(node, "when", None)
    each = getattr(node, "each", None)
    around = (*((when,) if when else ()), *((each.over,) if each else ()))
    match node:
        case Call():
            return tuple(m.text for m in node.messages), around, annotation_names(node.output)
        case Code():
            return (), (node.expression, *around), frozenset()
        case Approve():
            return (node.question.text,), (), frozenset()
        case Sub():
            return (), (*(e for _, e in node.given), *free(node), *around), frozenset()
        case Tools():
            return (), (), frozenset()


def own(node: Node) -> frozenset[str]:
    """Returns the name of a node's item, which is not an input inside the node."""
    each = getattr(node, "each", None)
    return frozenset({each.item}) if each else frozenset()


def reads(node: Node) -> frozenset[str]:
    """Returns the names that a node's prompts and expressions use: inputs, steps and notebook code."""
    templates, expressions, _ = sources(node)
    name_sets = [template.names(t) for t in templates] + [expression.names(e) for e in expressions]
    return frozenset().union(*name_sets) - own(node) - FUNCTIONS.keys()


def name(chosen: str | None, inputs: Sequence[str], code: Sequence[str]) -> Iterator[Finding]:
    """Checks that the cell's name, which is bound in the notebook, is neither read by the cell nor a builtin."""
    if chosen is None:
        return
    if chosen in inputs or chosen in code:
        yield chosen, f"the name {chosen!r} is also something that the cell reads", "Give the cell another name"
    elif hasattr(builtins, chosen):
        yield chosen, f"the name {chosen!r} is a Python builtin", "Give the cell another name"


def order(nodes: Sequence[Node], links: Sequence[Link]) -> Iterator[Finding]:
    """Checks that no step reads a later step or itself, except inside a loop."""
    at = {n.name: i for i, n in enumerate(nodes)}
    backs = [(at[s], at[t]) for s, t in arrows(links) if s in at and t in at and at[t] <= at[s]]
    for i, node in enumerate(nodes):
        for later in sorted(n for n in reads(node) if at.get(n, -1) >= i):
            if not any(target <= i and at[later] <= source for source, target in backs):
                yield later, f"step {node.name!r} reads {later!r}, which runs later", "Put it after that step"


def fields(nodes: Sequence[Node]) -> Iterator[Finding]:
    """Checks that the fields which expressions read exist: finds the typo `extract.qoute` before a run."""
    known: Mapping[str, set[str]] = {
        n.name: {f.name for f in n.output.fields}
        | ({"confidence"} if n.confidence else set())
        | (_OUTCOME if n.votes else set())
        for n in nodes
        if isinstance(n, Call) and n.output.kind == "fields" and n.each is None
    }
    for node in nodes:
        for source in sources(node)[1]:
            for step, field in expression.attributes(source):
                if step in known and field not in known[step] and not field.startswith("model_"):
                    write = f"Known: {', '.join(sorted(known[step]))}{nearest(field, known[step])}"
                    yield f"{step}.{field}", f"step {step!r} has no output {field!r}", write


def inner(nodes: Sequence[Node], links: Sequence[Link], namespace: Mapping[str, object]) -> Iterator[Finding]:
    """Checks that orchestrations are used only as steps: called in an expression, one would run outside this run."""
    conditions = (expression.names(on) for link in links if (on := getattr(link, "on", None)))
    used = frozenset().union(*map(reads, nodes), *conditions) - {n.name for n in nodes}
    for name in sorted(n for n in used if definition(namespace.get(n))):
        yield name, f"{name!r} is an orchestration", f"Give it a line of its own above, `x = {name}(…)`, and read x"


def items(nodes: Sequence[Node]) -> Iterator[Finding]:
    """Checks that an item's name hides neither a name in its `over=` nor `visits`, `errors` or `messages`."""
    for node in nodes:
        each = getattr(node, "each", None)
        if each is not None and each.item in expression.names(each.over) | {"visits", "errors", "messages"}:
            found = f"step {node.name!r} calls each of over={each.over} {each.item!r}, which is something else already"
            yield each.over, found, f"Give the item a name of its own: over={each.over}, item=one"


def twice(nodes: Sequence[Node]) -> Iterator[Finding]:
    """Checks that no step has the name of one that the pattern adds, such as the `answer` to a question."""
    names = [n.name for n in nodes]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield name, f"{name!r} is also the name of a step that the pattern makes itself", "Give the step another name"
