"""Orchestrations inside orchestrations: `x = triage(ticket=t)`, or a step with `run=triage`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchmagic.errors import InputError, nearest
from orchmagic.graph.model import Approve, Call, Graph, Sub, Tools
from orchmagic.graph.once import once
from orchmagic.language import expression


def definition(found: object) -> Graph | None:
    """Returns the graph of a notebook value that is an orchestration, else None."""
    graph = getattr(found, "definition", None)
    return graph if isinstance(graph, Graph) else None


def called(name: str, source: str, namespace: Mapping[str, object]) -> Sub | None:
    """Returns the node for `triage(ticket=t)`; None for an expression that uses no orchestration.

    Raises:
        InputError: an orchestration is used other than in such a call, or its inputs are wrong.
    """
    inner = {n: g for n in sorted(expression.names(source)) if (g := definition(namespace.get(n)))}
    if not inner:
        return None
    call = ast.parse(source.strip(), mode="eval").body
    first, graph = next(iter(inner.items()))
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in inner):
        raise InputError(f"{first!r} is an orchestration: write `{name} = {first}({_form(graph)})`, or a step with "
                         f"`run={first}` (and `over=` for one run per item)")  # fmt: skip
    graph = inner.pop(call.func.id)
    if inner:
        raise InputError(f"{next(iter(inner))!r} is an orchestration too: give it a line of its own above")
    return Sub(name, graph, given=tuple(_given(call, graph)))


def _given(call: ast.Call, graph: Graph) -> Iterator[tuple[str, str]]:
    """Yields the inputs that the call passes, as (name, expression)."""
    form = f"write {graph.name}({_form(graph)})"
    if len(call.args) > len(graph.inputs):
        raise InputError(f"{graph.name} is given {len(call.args)} inputs: {form}")
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        raise InputError(f"{graph.name} takes its inputs by name: {form}")
    seen: set[str] = set()
    named = ((str(k.arg), k.value) for k in call.keywords)
    for name, value in (*zip(graph.inputs, call.args, strict=False), *named):
        if name not in graph.inputs:
            raise InputError(f"{graph.name} has no input {name!r}: {form}{nearest(name, graph.inputs)}")
        if name in seen:
            raise InputError(f"{graph.name} is given {name!r} twice: {form}")
        seen.add(name)
        yield name, ast.unparse(value)


def _form(graph: Graph) -> str:
    return ", ".join(f"{n}=…" for n in graph.inputs)


def free(node: Sub) -> tuple[str, ...]:
    """Returns the inputs of the inner graph that are not passed: they come from outer names that are the same."""
    given = dict(node.given)
    return tuple(n for n in node.graph.inputs if n not in given)


def nested(graph: Graph) -> Iterator[Graph]:
    """Yields all inner graphs, the deepest first."""
    for node in graph.nodes:
        if isinstance(node, Sub):
            yield from nested(node.graph)
            yield node.graph


def cycle(name: str, graph: Graph) -> str | None:
    """Returns the path from `graph` to an orchestration called `name`, as `a → b → name`; None if there is none."""
    if graph.name == name:
        return name
    inner = (node.graph for node in graph.nodes if isinstance(node, Sub))
    ways = (way for g in inner if (way := cycle(name, g)))
    return next((f"{graph.name} → {way}" for way in ways), None)


def downstream(graph: Graph, name: str) -> frozenset[str]:
    """Returns `name` and all later nodes that can be reached from it. Nodes that a loop returns to are not later."""
    order = [n.name for n in graph.nodes]
    reached = {name}
    for _ in order:  # links need not be in the order of their nodes
        reached |= {target for source, target in graph.arrows() if source in reached and target in order}
    return frozenset(n for n in order[order.index(name) :] if n in reached)


def with_model(graph: Graph, model: str, names: frozenset[str] | None = None) -> Graph:
    """Returns the graph with `model` for all calls, or for those of the nodes `names`."""
    nodes: list[Any] = []
    for node in graph.nodes:
        if names is not None and node.name not in names:
            nodes.append(node)
        elif isinstance(node, Sub):
            nodes.append(replace(node, graph=with_model(node.graph, model)))
        else:
            nodes.append(replace(node, model=model, ladder=()) if isinstance(node, Call) else node)
    return replace(graph, nodes=tuple(nodes))


@once
def pauses(graph: Graph) -> bool:
    """Whether a run of the graph may wait for a person."""
    return any(
        isinstance(n, Approve) or (isinstance(n, Tools) and n.approve) or (isinstance(n, Sub) and pauses(n.graph))
        for n in graph.nodes
    )
