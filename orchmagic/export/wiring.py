"""`build_graph` of a module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from orchmagic.export import endpoints
from orchmagic.export.branches import target
from orchmagic.export.layout import call, literal
from orchmagic.export.plan import Plan
from orchmagic.graph import FAIL, Approve, Branch, Call, Edge


def build(plan: Plan) -> str:
    """The function that makes the graph."""
    graph = plan.graph
    lines = ["def build_graph(client: AsyncOpenAI | None = None) -> CompiledStateGraph[State]:"]
    if plan.calls:
        lines += ['    """Return the graph; a client that is given serves MODEL\'s endpoint."""']
        made = call("        client = AsyncOpenAI(", endpoints.client(plan.endpoints), ")")
        lines += ["    if client is None:", *made]
    else:
        lines = ["def build_graph() -> CompiledStateGraph[State]:", '    """Return the graph."""']
    lines.append("    builder = StateGraph(State)")
    for node in graph.nodes:
        function = plan.function[node.name]
        given = f"partial({function}, client=client)" if isinstance(node, Call) else function
        lines += call("    builder.add_node(", [literal(node.name), given], ")")
    lines.append(f"    builder.add_edge(START, {literal(graph.first)})")
    for node in graph.nodes:
        lines += _linked(plan, node.name)
    saver = ["checkpointer=InMemorySaver()"] if any(isinstance(n, Approve) for n in graph.nodes) else []
    lines += call("    graph = builder.compile(", [*saver, f"name={literal(graph.name)}"], ")")
    return "\n".join([*lines, "    return graph.with_config(recursion_limit=MAX_STEPS)"])


def _linked(plan: Plan, source: str) -> list[str]:
    link = plan.graph.link(source)
    match link:
        case None:
            return [f"    builder.add_edge({literal(source)}, END)"]
        case Edge():
            return call("    builder.add_edge(", [literal(source), target(link.target)], ")")
        case Branch():
            arrows = [target(t) for s, t in plan.graph.arrows() if s == source and t != FAIL]
            return _conditional(plan, source, list(dict.fromkeys(arrows)))
        case _:
            assert_never(link)


def _conditional(plan: Plan, source: str, targets: Sequence[str]) -> list[str]:
    after = f"after_{plan.function[source]}"
    return call("    builder.add_conditional_edges(", [literal(source), after, f"[{', '.join(targets)}]"], ")")
