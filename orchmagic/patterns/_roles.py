"""Sorts the items of a cell by role: the pattern's own steps, code lines, control lines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from orchmagic.errors import nearest
from orchmagic.graph.builder import GraphBuilder
from orchmagic.graph.model import Call, Code, Edge, Link, Node, Sub
from orchmagic.graph.output_types import resolve
from orchmagic.language.cell import CodeStep, Control, Step


def steps(builder: GraphBuilder, taken: Collection[str] = ()) -> list[Step | CodeStep]:
    """Returns the steps of the cell in order; reports names that the pattern reserves (`taken`)."""
    items = [item for item in builder.cell.items if not isinstance(item, Control)]
    for item in items:
        if item.name in taken:
            what = f"{item.name!r} is a name of %%{builder.cell.magic} itself"
            builder.problem(item.line, what, f"Write another name: `my_{item.name}`")
    return [item for item in items if item.name not in taken]


def controls(builder: GraphBuilder, keyword: str | None, write: str) -> list[Control]:
    """Returns the control lines with `keyword`; reports others as problems."""
    items = [item for item in builder.cell.items if isinstance(item, Control)]
    for item in items:
        if item.keyword != keyword:
            builder.refuse(item, f"`{item.keyword}` line", write)
    return [item for item in items if item.keyword == keyword]


def only(builder: GraphBuilder, items: Sequence[Step | CodeStep], roles: Sequence[str]) -> dict[str, Step]:
    """Returns the steps named in `roles` by name; reports other prompts, and roles that are written as code."""
    for item in items:
        if isinstance(item, CodeStep) and item.name in roles:
            builder.problem(
                item.line, f"{item.name!r} is a prompt in %%{builder.cell.magic}", f"Write `{item.name}` and a prompt"
            )
        elif isinstance(item, Step) and item.name not in roles:
            close = nearest(item.name, roles)
            builder.refuse(item, f"step {item.name!r}", f"Its steps are {', '.join(roles)}{close}")
    return {item.name: item for item in items if isinstance(item, Step) and item.name in roles}


def need(builder: GraphBuilder, roles: dict[str, Step], role: str, write: str) -> Step:
    """Returns the step of a role without default prompt; reports it if it or its prompt is missing."""
    step = roles.get(role)
    if step is None:
        builder.problem(1, f"the cell has no step {role!r}", f"Write {write}")
    elif not step.messages and "run" not in step.options:
        builder.problem(step.line, f"step {role!r} has no prompt", f"Write below it, indented, {write}")
    return step or default_step(role)


def default_step(role: str) -> Step:
    """Creates the step of a role that the cell omits."""
    return Step(role, {}, None, None, (), 1)


def code(builder: GraphBuilder, items: Sequence[Step | CodeStep]) -> list[Code | Sub]:
    """Builds the nodes of the `name = expression` lines."""
    return [builder.code(item) for item in items if isinstance(item, CodeStep)]


def call(builder: GraphBuilder, node: Node) -> Call:
    """Returns the node if it is a model call; other nodes are problems."""
    if isinstance(node, Call):
        return node
    builder.problem(1, f"step {node.name!r} must be a prompt of this cell", "Leave `run=` out")
    return Call(node.name, ())


def row(nodes: Sequence[Node]) -> Iterator[Link]:
    """Links the nodes in sequence."""
    yield from (Edge(a.name, b.name) for a, b in pairwise(nodes))


def output_fields(builder: GraphBuilder, node: Call, wanted: Callable[[Mapping[str, Any]], bool]) -> list[str] | None:
    """Returns the expressions of a call's output fields whose JSON schema is `wanted`.

    None if a class of the output has no schema: `builder.build` reports it.
    """
    try:
        output = resolve(node.name, node.output, builder.namespace)
    except Exception:  # noqa: BLE001 - classes of the notebook raise anything
        return None
    properties = output.schema.schema.get("properties", {}) if output.schema else {}
    names = [name for name, schema in properties.items() if wanted(schema)]
    return [node.name][: len(names)] if output.kind == "value" else [f"{node.name}.{name}" for name in names]


def bind_input(builder: GraphBuilder, sub: Sub, name: str, source: str, shared: Collection[str], line: int) -> Sub:
    """Binds input `name` of an inner graph (else its only input that is not `shared`) to the expression `source`."""
    open_ = [n for n in sub.graph.inputs if n not in dict(sub.given) and n not in shared]
    if name in dict(sub.given):
        return sub
    chosen = name if name in open_ else open_[0] if len(open_) == 1 else ""
    if not chosen:
        inputs = ", ".join(open_) or "none"
        builder.problem(line, f"{sub.graph.name} has no input {name!r} (inputs: {inputs})", f"Name one of them {name}")
        return sub
    return replace(sub, given=(*sub.given, (chosen, source)))
