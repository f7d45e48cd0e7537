"""%%chain: steps in order, with checks between them. The cheapest pattern to build and to debug."""

from __future__ import annotations

from collections.abc import Mapping

from orchmagic.cell import Cell, CodeStep, Control, Step
from orchmagic.graph import (
    CAP,
    DEFAULTS,
    END,
    FAIL,
    STOP,
    Approve,
    Arm,
    Branch,
    Call,
    Code,
    Edge,
    Graph,
    Link,
    Node,
)
from orchmagic.lowering import Lowering
from orchmagic.options import RunOptions
from orchmagic.patterns import Pattern
from orchmagic.template import Message


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Steps become nodes in a row; a gate becomes a code node with a branch behind it."""
    lower = Lowering(cell, options, namespace)
    nodes: list[Node] = []
    gates: dict[str, Control] = {}
    asks: dict[str, str] = {}
    for item in cell.items:
        match item:
            case Step():
                nodes.append(lower.call(item))
            case CodeStep():
                nodes.append(lower.code(item))
            case Control(keyword="gate"):
                gate = _gate(lower, item, nodes, len(gates) + 1)
                gates[gate.name] = item
                nodes.append(gate)
                if item.action and item.action.kind == "ask":
                    asks[gate.name] = "answer" if not asks else f"answer_{len(asks) + 1}"
                    nodes.append(Approve(asks[gate.name], Message("user", str(item.action.argument))))
            case Control():
                lower.refuse(item, f"`{item.keyword}` line", "Write a step, `name = expression` or `gate …`")
    if not any(isinstance(n, Call | Code) for n in nodes):
        lower.problem(1, "the cell has no step", "Write for example `summarize` and, indented below it, a prompt")
        nodes.append(Code("empty", "None"))
    links = _links(lower, nodes, gates, asks)
    results = (n.name for n in nodes if isinstance(n, Call | Code) and n.name not in gates)
    return lower.build(nodes, links, results)


def _gate(lower: Lowering, item: Control, before: list[Node], number: int) -> Code:
    again = None
    if item.action and item.action.kind == "retry":
        again = next((n.name for n in reversed(before) if isinstance(n, Call)), None)
        if again is None:
            lower.problem(item.line, "`else retry` has no step to retry", "Put the gate behind a step with a prompt")
    return Code(f"gate_{number}", item.expression, gate=True, again=again)


def _links(lower: Lowering, nodes: list[Node], gates: Mapping[str, Control], asks: Mapping[str, str]) -> list[Link]:
    links: list[Link] = []
    for i, node in enumerate(nodes):
        following = nodes[i + 1].name if i + 1 < len(nodes) else END
        if node.name not in gates:
            links.append(Edge(node.name, following))
            continue
        if node.name in asks:
            following = nodes[i + 2].name if i + 2 < len(nodes) else END
        assert isinstance(node, Code)
        links.append(_branch(lower, node, gates[node.name], following, asks.get(node.name)))
    return links


def _branch(lower: Lowering, gate: Code, item: Control, following: str, ask: str | None) -> Branch:
    passed = Arm(True, following)
    why = f"gate {gate.expression}"
    kind = item.action.kind if item.action else "fail"
    argument = item.action.argument if item.action else ""
    if kind == "stop":
        return Branch(gate.name, gate.name, (passed,), STOP, str(argument))
    if kind == "ask":
        assert ask is not None
        return Branch(gate.name, gate.name, (passed,), ask, why)
    if kind == "retry" and gate.again:
        return Branch(gate.name, gate.name, (passed, Arm(False, gate.again, int(argument))), FAIL, why)
    if kind == "goto":
        limit = lower.options.max_iterations or DEFAULTS.max_iterations
        cap = f"`goto {argument}` was taken {limit} times"
        return Branch(gate.name, gate.name, (passed, Arm(False, str(argument), limit)), CAP, cap)
    return Branch(gate.name, gate.name, (passed,), FAIL, why)


pattern = Pattern(
    name="chain",
    summary="Steps in a fixed order, each reading what the steps before it found, with checks between them.",
    when="The task always has the same steps: extract then write, draft then polish, look up then answer.",
    breaks="Inputs differ so much that they need different steps (use %%route); an early wrong step poisons the rest "
    "unless a gate stands behind it; latency adds up with every step.",
    dollars=(0.001, 0.02),
    seconds=(1, 5),
    example="""\
%%chain triage
extract(retry=2) -> product: str, severity: "low" | "high", quote: str
    Read the support ticket. Copy `quote` word for word from it.
    Ticket: {{ ticket }}
gate extract.quote in ticket else retry 2
reply(when=extract.severity == "high")
    system: You are a calm support engineer.
    user: Answer this ticket about {{ extract.product }} in two sentences:
    {{ ticket }}
""",
    build=build,
)
