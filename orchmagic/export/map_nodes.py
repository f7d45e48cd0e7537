"""Generates the functions of a node with votes or items: one for a single vote or item, one that gathers them."""

from __future__ import annotations

import ast

from orchmagic.export import expression_source
from orchmagic.export import state as values
from orchmagic.export.call_nodes import answer, judge, models
from orchmagic.export.dependencies import in_texts, inside, needs
from orchmagic.export.formatting import call
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.quoting import literal, summary
from orchmagic.export.state import returned
from orchmagic.export.subgraphs import inner_value
from orchmagic.graph.model import Call, Node, Sub


def is_fanned(node: object) -> bool:
    """Whether the node has votes or items and needs more than one function."""
    return isinstance(node, Call | Sub) and bool(node.each or getattr(node, "votes", None))


def constants(plan: GraphPlan) -> list[list[str]]:
    """Returns the constants of votes: their number, and the share that must agree."""
    found = []
    for node in plan.calls:
        if node.votes:
            upper = plan.function[node.name].upper()
            found.append([f"{upper}_VOTES = {node.votes.count}"])
            if node.votes.least:
                found.append([f"{upper}_LEAST = {node.votes.least!r}  # share of the votes that must agree"])
    return found


def functions(plan: GraphPlan, node: Node) -> list[list[str]]:
    """Returns the functions of one vote and of one item, as lists of lines."""
    blocks: list[list[str]] = []
    if isinstance(node, Call) and node.votes:
        blocks.append(_one(plan, node, "vote", f"Ask a model for one vote on {node.name}."))
        if node.each:
            lines, value = _voted(plan, node)
            said = f"Take the vote on one item of {node.name}."
            blocks.append(_function(plan, node, "item", said, [*lines, f"    return {value}"]))
    elif isinstance(node, Call | Sub) and node.each:
        said = f"Run {node.graph.name} for" if isinstance(node, Sub) else "Ask a model about"
        blocks.append(_one(plan, node, "item", f"{said} one item of {node.name}."))
    return blocks


def body(plan: GraphPlan, node: Call | Sub) -> list[str]:
    """Returns the body of the node's own function, after its `when`."""
    if node.each is None:
        assert isinstance(node, Call)
        gathered, value = _voted(plan, node)
        return [*gathered, *returned(plan, node, value)]
    passed = "client=client" if isinstance(node, Call) else "graph=graph"
    tree = expression_source.threaded(plan, node.each.over)
    if expression_source.json_of(plan, node.each.over) == "as_json":
        tree = ast.Call(ast.Name("as_json"), [tree], [])
    items = ast.unparse(tree)
    lines: list[str] = []
    if not items.isidentifier():
        lines, items = [f"    items = {items}"], "items"
    lines.append(f"    one = partial({plan.function[node.name]}_item, state, {passed})")
    at_once = plan.limit("concurrency")
    given = ["one", items, *([f"at_once={at_once}"] if at_once != "CONCURRENCY" else [])]
    if node.isolated:
        given.append("may_stop=False")
    lines += call("    found, failed = await for_each(", given, ")")
    return [*lines, *returned(plan, node, "found", more=[f'"{plan.errors}": {{"{node.name}": failed}}'])]


def _one(plan: GraphPlan, node: Call | Sub, word: str, said: str) -> list[str]:
    """Returns the function that computes one vote or item."""
    item = node.each.item if node.each else None
    names = [*in_texts(node), *(n for e in inside(node) for n in needs(e))]
    reads = [row for n in plan.known(names) if n != item for row in values.local(plan, n, node.name)]
    if isinstance(node, Sub):
        lines = inner_value(plan, node)
        lines[-1] = f"    return {lines[-1]}"
    else:
        lines = answer(plan, node, lambda value, indent: [f"{indent}return {value}"])
    return _function(plan, node, word, said, [*reads, *lines])


def _function(plan: GraphPlan, node: Call | Sub, word: str, said: str, body: list[str]) -> list[str]:
    name = f"{plan.function[node.name]}_{word}"
    item = [f"{plan.variable[node.each.item]}: Any"] if node.each else []
    passed = "client: AsyncOpenAI"
    if isinstance(node, Sub):
        passed = f"graph: CompiledStateGraph[{plan.inner[node.name].named('State')}]"
    given = [f"state: {plan.named('State')}", *item, "*", passed]
    if word == "vote" and isinstance(node, Call) and judge(plan, node):
        kind = "str" if plan.endpoints.uniform else "Model"
        given.append(f"models: Sequence[{kind}] = {models(plan, node) or '(MODEL, *FALLBACK)'}")
    return [*call(f"async def {name}(", given, ") -> Any:"), summary(said), *body]


def _voted(plan: GraphPlan, node: Call) -> tuple[list[str], str]:
    """Returns the lines that gather votes, and the expression of their outcome."""
    assert node.votes is not None
    upper = plan.function[node.name].upper()
    item = [plan.variable[node.each.item]] if node.each else []
    lines = call("    vote = partial(", [f"{plan.function[node.name]}_vote", "state", *item, "client=client"], ")")
    given = ["vote", f"{upper}_VOTES", *([f"by={literal(node.votes.by)}"] if node.votes.by else [])]
    if node.votes.least:
        given.append(f"least={upper}_LEAST")
    if decides := judge(plan, node):
        given.append(f"judge=partial(vote, models={decides})")
    lines += call("    winner, told = await voted(", given, ")")
    value = "**winner" if plan.types[node.name].kind == "fields" else '"value": winner'
    return lines, f"{{{value}, **told}}"
