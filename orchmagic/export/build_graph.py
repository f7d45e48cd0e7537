"""Generates `build_graph`, and the same function for each inner graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from orchmagic.export import endpoints
from orchmagic.export.branches import may_end, raises, target
from orchmagic.export.formatting import call
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.quoting import literal, summary
from orchmagic.graph.model import START, Branch, Call, Edge, Fork, Join, Node, Sub, targets


def build(plan: GraphPlan) -> str:
    """Returns the source of the function that builds the LangGraph graph."""
    graph, state = plan.graph, plan.named("State")
    lines = [*_head(plan), f"    builder = StateGraph({state})"]
    for node in graph.nodes:
        lines += call("    builder.add_node(", [literal(node.name), _action(plan, node)], ")")
    lines += [f"    builder.add_edge(START, {literal(name)})" for name in graph.starts]
    for node in graph.nodes:
        lines += _linked(plan, node.name)
    saver = ["checkpointer=InMemorySaver()"] if plan.pauses and not plan.prefix else []
    lines += call("    graph = builder.compile(", [*saver, f"name={literal(graph.name)}"], ")")
    return "\n".join([*lines, f"    return graph.with_config(recursion_limit={plan.limit('max_steps')})"])


def _head(plan: GraphPlan) -> list[str]:
    kind = f"CompiledStateGraph[{plan.named('State')}]"
    given = ["client: AsyncOpenAI" if plan.prefix else "client: AsyncOpenAI | None = None"] if plan.asks_models else []
    lines = call(f"def {plan.build}(", given, f") -> {kind}:")
    if plan.prefix:
        return [*lines, summary(f"Return the graph of {plan.graph.name}.")]
    if not given:
        return [*lines, '    """Return the graph."""']
    made = call("        client = AsyncOpenAI(", endpoints.client(plan.endpoints), ")")
    said = '    """Return the graph; a client that is given serves MODEL\'s endpoint."""'
    return [*lines, said, "    if client is None:", *made]


def _action(plan: GraphPlan, node: Node) -> str:
    """Returns the source of a node's function with its arguments other than the state bound (`partial`)."""
    function = plan.function[node.name]
    if isinstance(node, Call):
        function = f"partial({function}, client=client)"
    elif isinstance(node, Sub):
        inner = plan.inner[node.name]
        function = f"partial({function}, graph={inner.build}({'client' if inner.asks_models else ''}))"
    if not getattr(node, "isolated", False):
        return function
    given = [f"step={literal(node.name)}", f"node={function}"]
    if node.name in plan.counted:
        given.append(f"visits={literal(plan.key(node.name, 'visits'))}")
    if plan.errors != "errors":
        given.append(f"errors={literal(plan.errors)}")
    return f"partial(isolated, {', '.join(given)})"


def _linked(plan: GraphPlan, source: str) -> list[str]:
    link = plan.graph.link(source)
    match link:
        case None:
            return [f"    builder.add_edge({literal(source)}, END)"]
        case Edge():
            if may_end(link, plan):
                return _chosen(plan, source, [target(link.target), "END"])
            return call("    builder.add_edge(", [literal(source), target(link.target)], ")")
        case Branch():
            arrows = [target(t) for t in targets(link) if not raises(plan, t)]
            return _chosen(plan, source, [*arrows, *(["END"] if plan.ends_at(plan.graph.node(source)) else [])])
        case Fork():
            return [f"    builder.add_edge({literal(source)}, {target(t)})" for t in link.targets if source != START]
        case Join():
            last = [n.name for n in plan.graph.nodes if n.name in link.sources][-1]
            joined = call("    builder.add_edge(", [literal(list(link.sources)), target(link.target)], ")")
            return joined if source == last else []  # written once, after the last source
        case _:
            assert_never(link)


def _chosen(plan: GraphPlan, source: str, arrows: Iterable[str]) -> list[str]:
    given = [literal(source), f"after_{plan.function[source]}", f"[{', '.join(dict.fromkeys(arrows))}]"]
    return call("    builder.add_conditional_edges(", given, ")")


def serve() -> str:
    """Returns the source of the function for `langgraph.json`: LangGraph's server calls it without arguments."""
    return '''\
def serve() -> CompiledStateGraph[State]:
    """Return the graph for LangGraph's server."""
    return build_graph()'''
