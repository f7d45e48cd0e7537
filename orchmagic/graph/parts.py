"""What a graph has: control flow, data flow, failure handling; routing, state, retrieval, tools, observability."""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.graph.model import CAP, Approve, Branch, Call, Code, Edge, Fork, Graph, Join, Node, Sub, Tools
from orchmagic.graph.resolution import CallDefaults


def parts(graph: Graph, defaults: CallDefaults) -> list[tuple[str, str]]:
    """Returns (part, what the graph has of it), a row for each of the three parts and of the five concerns."""
    rows = {
        "control flow": _control(graph),
        "data flow": _data(graph),
        "failure handling": _failures(graph, defaults),
        "routing": _routing(graph),
        "state": _state(graph),
        "retrieval": _named("code", [n.name for n in graph.nodes if isinstance(n, Code) and not n.gate]),
        "tools": _named("tools", [t for n in graph.nodes if isinstance(n, Tools) for t in n.tools]),
        "observability": iter(["each run is traced and kept: %orch runs"]),
    }
    return [(part, "; ".join(found) or "none") for part, found in ((p, list(f)) for p, f in rows.items())]


def _control(graph: Graph) -> Iterator[str]:
    yield f"%%{graph.pattern}: {', '.join(node.name for node in graph.nodes)}"
    kinds = {"branches": Branch, "parallel": Fork, "joins": Join, "edges": Edge}
    counts = {word: sum(isinstance(link, kind) for link in graph.links) for word, kind in kinds.items()}
    yield from (f"{word} {count}" for word, count in counts.items() if count)
    yield from _named("asks a person", [n.name for n in graph.nodes if isinstance(n, Approve)])


def _data(graph: Graph) -> Iterator[str]:
    yield from _named("inputs", graph.inputs)
    typed = [n.name for n in graph.nodes if isinstance(n, Call) and n.output.kind != "text"]
    yield from _named("typed steps", typed)
    yield from _named("result", graph.results[-1:])


def _failures(graph: Graph, defaults: CallDefaults) -> Iterator[str]:
    yield from _named("gates", [n.name for n in graph.nodes if isinstance(n, Code) and n.gate])
    yield from _named("fallback", dict.fromkeys(m for c in calls(graph) for m in defaults.fallbacks(c)))
    limits = graph.limits
    yield f"at most {limits.max_steps} steps"
    if any(CAP in pair for pair in graph.arrows()):
        yield f"at most {limits.max_iterations} rounds"
    yield f"budget ${limits.budget:g}" if limits.budget is not None else "no budget"
    if limits.deadline is not None:
        yield f"deadline {limits.deadline:g} s"


def _routing(graph: Graph) -> Iterator[str]:
    for call in calls(graph):
        if call.role == "router":
            yield f"{call.name} chooses a handler"
        if len(call.ladder) > 1:
            yield f"{call.name} goes up {', '.join(call.ladder)}"


def _state(graph: Graph) -> Iterator[str]:
    yield "each step's value is kept as JSON"
    if graph.safety is not None and graph.safety.thread:
        yield f"conversation {graph.safety.thread}"


def _named(what: str, names: object) -> Iterator[str]:
    listed = [str(name) for name in names]  # type: ignore[attr-defined]  # any iterable of names
    if listed:
        yield f"{what}: {', '.join(listed)}"


def calls(graph: Graph) -> list[Call]:
    """Returns the model calls of a graph, with those of its agents and cells."""

    def inside(node: Node) -> Iterator[Call]:
        if isinstance(node, Call):
            yield node
        elif isinstance(node, Sub):
            yield from calls(node.graph)

    return [call for node in graph.nodes for call in inside(node)]
