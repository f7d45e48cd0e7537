"""%%chain: steps in order, with gates between them. The cheapest pattern to build and to debug."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchmagic.core.text_format import counted
from orchmagic.graph.builder import GraphBuilder
from orchmagic.graph.model import (
    CAP,
    END,
    FAIL,
    REJECT,
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
    Sub,
)
from orchmagic.language.builtin_prompts import REJECTED_VALUE
from orchmagic.language.cell import Action, Cell, CodeStep, Control, Step
from orchmagic.language.expression import names
from orchmagic.language.magic_line import RunOptions
from orchmagic.language.template import Message
from orchmagic.patterns import Pattern


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Builds a sequence of nodes, one per step; a gate becomes a code node with a branch after it."""
    builder = GraphBuilder(cell, options, namespace)
    row = _Row()
    for item in cell.items:
        match item:
            case Step() | CodeStep():
                row.nodes.append(builder.node(item))
            case Control(keyword="gate"):
                _add_gate(builder, item, row)
            case Control(keyword="approve"):
                _add_approval(builder, item, row)
            case Control():
                builder.refuse(
                    item, f"`{item.keyword}` line", "Write a step, `name = expression`, `gate …` or `approve …`"
                )
    if not any(isinstance(n, _WORK) for n in row.nodes):
        builder.problem(1, "the cell has no step", "Write for example `summarize` and, indented below it, a prompt")
        row.nodes.append(Code("empty", "None"))
    results = (n.name for n in row.nodes if isinstance(n, _WORK) and n.name not in row.gates)
    return builder.build(row.nodes, _links(builder, row), results)


_WORK = (Call, Code, Sub)


@dataclass
class _Row:
    """The nodes in order; for each gate and approval its control line; the nodes that ask if a gate is false."""

    nodes: list[Node] = field(default_factory=list)
    gates: dict[str, Control] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)
    approvals: dict[str, Control] = field(default_factory=dict)


def _add_gate(builder: GraphBuilder, item: Control, row: _Row) -> None:
    again = None
    if item.action and item.action.kind == "retry":
        again = next((n.name for n in reversed(row.nodes) if isinstance(n, Call)), None)
        if again is None:
            builder.problem(item.line, "`else retry` has no step to retry", "Put the gate after a step with a prompt")
    gate = Code(f"gate_{len(row.gates) + 1}", _checked(item, row), gate=True, again=again)
    row.gates[gate.name] = item
    row.nodes.append(gate)
    if item.action and item.action.kind == "ask":
        row.asks[gate.name] = "answer" if not row.asks else f"answer_{len(row.asks) + 1}"
        row.nodes.append(Approve(row.asks[gate.name], Message("user", str(item.action.argument))))


def _checked(item: Control, row: _Row) -> str:
    """Returns the expression of a gate. If it reads the orchestration above it and its `else` leads on, then the
    gate is also false if a person rejected a value there, or if that cell stopped: the run goes on with the `else`.
    """
    above = row.nodes[-1] if row.nodes else None
    leads_on = item.action is not None and item.action.kind in {"goto", "ask"}
    if not (leads_on and isinstance(above, Sub) and not above.each and above.name in names(item.expression)):
        return item.expression
    row.nodes[-1] = replace(above, may_end=True)
    return f"{above.name} is not None and ({item.expression})"


def _add_approval(builder: GraphBuilder, item: Control, row: _Row) -> None:
    """Adds a node where a person approves, edits or rejects the value of the step above."""
    subject = next((n.name for n in reversed(row.nodes) if isinstance(n, _WORK) and n.name not in row.gates), None)
    if subject is None:
        builder.problem(item.line, "`approve` has nothing to approve", "Put it after the step that a person should see")
    again = None
    if item.action and item.action.kind == "retry":
        again = next((n.name for n in row.nodes if isinstance(n, Call) and n.name == subject), None)
        if again is None:
            builder.problem(item.line, "`else retry` has no step to retry", "Put `approve` after a step with a prompt")
    name = f"approval_{len(row.approvals) + 1}"
    row.approvals[name] = item
    row.nodes.append(Approve(name, item.messages[0], subject or row.nodes[0].name if row.nodes else "", again))


def _links(builder: GraphBuilder, row: _Row) -> list[Link]:
    links: list[Link] = []
    names = [*(n.name for n in row.nodes), END]
    for node, following in zip(row.nodes, names[1:], strict=True):
        if isinstance(node, Approve) and node.subject is not None:
            links.append(_decision(builder, node, row.approvals[node.name], following))
        elif isinstance(node, Code) and node.name in row.gates:
            ask = row.asks.get(node.name)
            passed = names[names.index(ask) + 1] if ask else following
            links.append(_branch(builder, node, row.gates[node.name], passed, ask))
        else:
            links.append(Edge(node.name, following))
    return links


def _decision(builder: GraphBuilder, approval: Approve, item: Control, following: str) -> Branch:
    """Builds the branch after an approval: a rejection ends the run, unless the control line has an `else`."""
    arms = [Arm(True, following)]
    otherwise, why = REJECT, REJECTED_VALUE
    match item.action:
        case Action("stop", reason):
            why = str(reason)
        case Action("retry", times) if approval.again:
            arms.append(Arm(False, approval.again, int(times)))
        case Action("goto", step):
            arms.append(_goto(builder, str(step), item))
            otherwise, why = CAP, _taken_too_often(builder, str(step), item)
    return Branch(approval.name, f"{approval.name} == 'approve'", tuple(arms), otherwise, why)


def _goto(builder: GraphBuilder, step: str, item: Control) -> Arm:
    """Builds the arm of a `goto`. Back to an earlier step, it ends the first of N rounds: it is taken N - 1 times."""
    rounds = builder.limits.max_iterations
    return Arm(False, step, rounds - 1 if _is_back(builder, step, item) else rounds)


def _taken_too_often(builder: GraphBuilder, step: str, item: Control) -> str:
    times = counted(builder.limits.max_iterations, "time")
    return f"`goto {step}`: {step} ran {times}" if _is_back(builder, step, item) else f"`goto {step}` was taken {times}"


def _is_back(builder: GraphBuilder, step: str, item: Control) -> bool:
    lines = (i.line for i in builder.cell.items if not isinstance(i, Control) and i.name == step)
    return next(lines, item.line) < item.line


def _branch(builder: GraphBuilder, gate: Code, item: Control, following: str, ask: str | None) -> Branch:
    arms = [Arm(True, following)]
    otherwise, why = FAIL, f"gate {gate.expression}"
    match item.action:
        case Action("stop", reason):
            otherwise, why = STOP, str(reason)
        case Action("ask") if ask:
            otherwise = ask
        case Action("retry", times) if gate.again:
            arms.append(Arm(False, gate.again, int(times)))
        case Action("goto", step):
            arms.append(_goto(builder, str(step), item))
            otherwise, why = CAP, _taken_too_often(builder, str(step), item)
    return Branch(gate.name, gate.name, tuple(arms), otherwise, why)


pattern = Pattern(
    name="chain",
    summary="Steps in a fixed order. Each reads the outputs of earlier steps; gates check them in between.",
    when="The task always has the same steps: extract then write, draft then polish, look up then answer.",
    breaks="Inputs need different steps (use %%route). A wrong early step makes all later ones wrong unless a gate "
    "follows it. Every step adds its latency.",
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
    controls=("gate", "approve"),
)
