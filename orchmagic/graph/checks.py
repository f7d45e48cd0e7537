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
from orchmagic.graph.model import Approve, Branch, Call, Code, Link, Node, Sub, Tools, arrows
from orchmagic.language import expression, field_reads, template
from orchmagic.language.annotations import annotation_names
from orchmagic.language.field_reads import FieldRead, Place

Finding: TypeAlias = tuple[str, str, str]
_ADDED = frozenset({"agreement", "dissent", "tie", "decided", "confidence", "verified"})  # by votes, routers, checks
_PLAIN: Mapping[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
OF_RUN = frozenset({"messages", "visits", "errors"})  # names that may mean something of the run
_DICT = frozenset(dir(dict))
_FEW = 12  # names that an error lists


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


def fields(nodes: Sequence[Node], namespace: Mapping[str, object]) -> Iterator[Finding]:
    """Checks that the fields which prompts and expressions read exist: finds the typo `extract.qoute` before a run."""
    calls = {n.name: n for n in nodes if isinstance(n, Call)}
    seen: set[tuple[str, str]] = set()
    for read, in_prompt in (found for node in nodes for found in _field_reads(node, calls)):
        step, field = read.of.name, read.field
        known = _attributes(calls[step], namespace, of_item=read.of.of_item)
        if not known or (step, field) in seen or field[:6] == "model_":
            continue
        if field not in known:
            seen.add((step, field))
            public = sorted(n for n in known - _ADDED - (_DICT if read.of.of_item else set()) if not n.startswith("_"))
            few = f"Known: {', '.join(public)}" if len(public) <= _FEW else ""
            write = few or "Read the step itself, or declare the output with `->`"
            yield read.written, f"step {step!r} has no output {field!r}", f"{write}{nearest(field, public)}"
        elif read.brackets and not in_prompt and "__getitem__" not in known:
            yield read.written, f"the output of step {step!r} has fields, not keys", f"Write {read.of.written}.{field}"


def _field_reads(node: Node, calls: Mapping[str, Call]) -> Iterator[tuple[FieldRead, bool]]:
    """Yields what a node reads of the steps `calls` and of their items, and whether a prompt reads it."""
    templates, expressions, _ = sources(node)
    each = getattr(node, "each", None)
    items = {each.item: Place(each.over, each.item, of_item=True)} if each else {}
    reads_of = [(field_reads.in_template, text, True) for text in templates]
    reads_of += [(field_reads.in_expression, source, False) for source in expressions]
    for found, text, in_prompt in reads_of:
        yield from ((read, in_prompt) for read in found(text, items) if read.of.name in calls)


def _attributes(node: Call, namespace: Mapping[str, object], *, of_item: bool) -> frozenset[str]:
    """Returns the attributes that the value of a call, or an item of it, can have; empty if they are not known."""
    if node.each is not None and not of_item:
        return frozenset(dir(list)) | _ADDED
    if node.each is None and of_item:
        return frozenset()
    as_data = _DICT if of_item else frozenset[str]()  # `over=` of another step passes an item as data
    if node.output.kind == "fields":
        named = {f.name for f in node.output.fields}
        return (
            frozenset(named | ({"confidence"} if node.confidence else set()) | (_ADDED if node.votes else set()))
            | as_data
        )
    plain = _PLAIN.get(node.output.annotation if node.output.kind == "value" else "str")
    if plain is not None:
        return frozenset(dir(plain)) | _ADDED
    declared = getattr(namespace.get(node.output.annotation), "model_fields", None)
    return (
        frozenset({*declared, *dir(namespace[node.output.annotation])}) | _ADDED | as_data if declared else frozenset()
    )


def prompts(nodes: Sequence[Node]) -> Iterator[tuple[str, str, str]]:
    """Checks that a step that runs once for each item reads the item; yields (step, what was found, what to write)."""
    for node in nodes:
        each = getattr(node, "each", None)
        if each is None or (isinstance(node, Call) and not node.messages):
            continue
        if isinstance(node, Sub):
            used = frozenset(free(node)).union(*(expression.names(e) for _, e in node.given))
            found = (
                f"step {node.name!r} runs {node.graph.name!r} for each of {each.over}, which never reads {each.item!r}"
            )
            write = f"Name its input: over={each.over}, item={(node.graph.inputs or ('ticket',))[0]}"
        else:
            used = frozenset().union(*map(template.names, sources(node)[0]))
            found = f"step {node.name!r} never reads {each.item!r}, so that each of {each.over} gets the same prompt"
            write = f"Put {{{{ {each.item} }}}} into its prompt, or name the item: over={each.over}, item=…"
        if each.item not in used:
            yield node.name, found, write


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
        if each is not None and each.item in expression.names(each.over) | OF_RUN:
            found = f"step {node.name!r} calls each of over={each.over} {each.item!r}, which is something else already"
            yield each.over, found, f"Give the item a name of its own: over={each.over}, item=one"


def of_run(nodes: Sequence[Node], links: Sequence[Link]) -> frozenset[str]:
    """Returns which of `messages`, `errors` and `visits` mean something of the run here; the others are plain inputs.

    They are an agent's messages, the errors of steps that ran before, and the visits of a loop.
    """
    at = {n.name: i for i, n in enumerate(nodes)}
    looped = any(at.get(target, len(at)) <= at.get(source, -1) for source, target in arrows(links))
    _, late = _reads_around_failures(nodes, links)
    there = {"messages": any(isinstance(n, Tools) for n in nodes), "errors": "errors" in late, "visits": looped}
    return frozenset(name for name, is_there in there.items() if is_there)


def _reads_around_failures(nodes: Sequence[Node], links: Sequence[Link]) -> tuple[frozenset[str], frozenset[str]]:
    """The names that are read where no step can have failed yet, and those read after one that may fail."""
    words = ("isolated", "each", "may_end")
    failing = {n.name for n in nodes if any(getattr(n, word, None) for word in words)}
    after: set[str] = set()
    grown = {target for source, target in arrows(links) if source in failing}
    while grown - after:
        after |= grown
        grown = {target for source, target in arrows(links) if source in after}
    read = [(n.name in after, reads(n)) for n in nodes]
    choices = [(link.source, expression.names(link.on)) for link in links if isinstance(link, Branch)]
    read += [(source in after | failing, names) for source, names in choices]
    early, late = (frozenset[str]().union(*(n for is_late, n in read if is_late == way)) for way in (False, True))
    return early, late


def reserved(nodes: Sequence[Node], links: Sequence[Link], namespace: Mapping[str, object]) -> Iterator[Finding]:
    """Checks that no variable is read by a name that also means something of the run: it might not be seen.

    Refused are `errors` that is read both before and after a step that may fail, what an inner cell reads, and
    `messages` in the prompt of an agent, whose own are sent anyway.
    """
    for node in nodes:
        if "messages" in _agent_reads(node):
            found = f"the prompt of agent {node.name!r} reads 'messages', which there are its own"
            yield "messages", found, "Give the variable another name: history = messages"
    meant = of_run(nodes, links) & namespace.keys()
    early, _ = _reads_around_failures(nodes, links)
    for name in sorted(meant & {"errors"} & early):
        found = (
            f"{name!r} is the notebook's where no step has failed yet, and the run's after that: the cell reads both"
        )
        yield name, found, f"Give the variable another name: my_{name} = {name}"
    for node in (n for n in nodes if isinstance(n, Sub)):
        for name in sorted(meant.intersection(free(node))):
            found = f"{node.graph.name!r} reads the notebook's {name!r}, which in this cell is the run's"
            yield node.name, found, f"Pass it by another name: {node.name} = {node.graph.name}({name}=my_{name})"


def _agent_reads(node: Node) -> frozenset[str]:
    """The names in the prompt of an agent: of a node with tools, or of a step whose tools are an inner graph."""
    if isinstance(node, Sub) and any(isinstance(n, Tools) for n in node.graph.nodes):
        return frozenset().union(*map(reads, node.graph.nodes))
    return reads(node) if isinstance(node, Call) and node.transcript else frozenset()


def twice(nodes: Sequence[Node]) -> Iterator[Finding]:
    """Checks that no step has the name of one that the pattern adds, such as the `answer` to a question."""
    names = [n.name for n in nodes]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield name, f"{name!r} is also the name of a step that the pattern makes itself", "Give the step another name"
