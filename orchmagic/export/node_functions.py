"""Generates an async function per node, which takes the state and returns an update of it."""

from __future__ import annotations

import ast
from typing import assert_never

from orchmagic.export import expression_source, map_nodes, prompts, subgraphs
from orchmagic.export import state as values
from orchmagic.export.call_nodes import asking
from orchmagic.export.dependencies import before, needs
from orchmagic.export.formatting import assigned, call
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.quoting import literal, summary
from orchmagic.export.state import returned
from orchmagic.graph.model import Approve, Call, Code, Node, Sub, Tools
from orchmagic.language.builtin_prompts import REJECTED_VALUE

_LONGEST = 76  # longest docstring: 88 minus indentation and quotes


def nodes(plan: GraphPlan) -> list[str]:
    """Returns the functions of each node: of one vote or item, if it has several, and its own."""
    blocks = [block for n in plan.graph.nodes for block in (*map_nodes.functions(plan, n), _node(plan, n))]
    return ["\n".join(block) for block in blocks]


def checks(plan: GraphPlan) -> list[list[str]]:
    """Returns the expressions of gates that repeat a call, as constants: its next prompt quotes the failed check."""
    back = [n for n in plan.graph.nodes if isinstance(n, Code) and n.again]
    return [assigned(f"{plan.function[n.name].upper()}_CHECK", n.expression) for n in back]


def _node(plan: GraphPlan, node: Node) -> list[str]:
    body = _body(plan, node)
    if isinstance(node, Sub) and (node.may_end or plan.ends_at(node)):
        body = _caught(plan, node, body)
    state = plan.named("State")
    given = [f"state: {state}"]
    if isinstance(node, Call):
        given += ["*", "client: AsyncOpenAI"]
    elif isinstance(node, Sub):
        given += ["*", f"graph: CompiledStateGraph[{plan.inner[node.name].named('State')}]"]
    head = call(f"async def {plan.function[node.name]}(", given, f") -> {state}:")
    return [*head, summary(_said(plan, node)), *body]


def _caught(plan: GraphPlan, node: Sub, body: list[str]) -> list[str]:
    """Returns the body of a node whose inner graph may end early: the outer run ends too, or a gate decides."""
    if node.may_end:
        left = returned(plan, node, "None", more=[f'"{plan.errors}": {{"{node.name}": str(end)}}'], indent="        ")
    else:
        left = ['        logger.warning("ended without a result: %s", end)']
        left += returned(plan, node, None, more=[f'"{plan.key("run", "ended")}": str(end)'], indent="        ")
    return ["    try:", *(f"    {line}" for line in body), "    except EndedEarlyError as end:", *left]


def _said(plan: GraphPlan, node: Node) -> str:
    match node:
        case Call():
            return _asks(plan, node)
        case Sub():
            return f"Run {node.graph.name}{' once per item' if node.each else ''}."
        case Code():
            return "Check what the steps before it found." if node.gate else f"Compute {node.name}."
        case Approve():
            return "Wait for a person's answer."
        case Tools():
            asks = ", those that a person lets pass" if node.approve else " of the last message"
            return f"Run the tool calls{asks}, side by side."
        case _:
            assert_never(node)


def _asks(plan: GraphPlan, node: Call) -> str:
    if node.tools:
        return "Think, then call tools or answer."
    fields = [f.name for f in node.output.fields]
    listed = " and ".join([", ".join(fields[:-1]), fields[-1]]) if len(fields) > 1 else "".join(fields)
    what = listed or ("a text" if plan.types[node.name].kind == "text" else node.name)
    after = " once per item" if node.each else " several times; what most say wins" if node.votes else ""
    said = f"Ask a model for {what}{after}."
    return said if len(said) <= _LONGEST else f"Ask a model for {node.name}{after}."


def _body(plan: GraphPlan, node: Node) -> list[str]:
    if isinstance(node, Call | Sub) and map_nodes.is_fanned(node):
        reads = _reads(plan, node, [n for e in before(node) for n in needs(e)])
        return [*reads, *_skip(plan, node), *map_nodes.body(plan, node)]
    return [*([] if isinstance(node, Tools) else _reads(plan, node)), *_does(plan, node)]


def _does(plan: GraphPlan, node: Node) -> list[str]:
    match node:
        case Call():
            return [*_skip(plan, node), *asking(plan, node)]
        case Sub():
            *lines, value = subgraphs.inner_value(plan, node)
            return [*_skip(plan, node), *lines, *returned(plan, node, value)]
        case Code():
            return _gate(plan, node) if node.gate else _computed(plan, node)
        case Approve():
            return _approve(plan, node)
        case Tools():
            return _tools(plan, node)
        case _:
            assert_never(node)


def _computed(plan: GraphPlan, node: Code) -> list[str]:
    value = f"    value = {ast.unparse(expression_source.threaded(plan, node.expression))}"
    return [value, *returned(plan, node, f"{expression_source.json_of(plan, node.expression)}(value)")]


def _reads(plan: GraphPlan, node: Node, names: list[str] | None = None) -> list[str]:
    found = plan.reads(node) if names is None else plan.known(names)
    return [row for name in found for row in values.local(plan, name, node.name)]


def _skip(plan: GraphPlan, node: Call | Sub) -> list[str]:
    if node.when is None:
        return []
    tree = expression_source.opposite(expression_source.threaded(plan, node.when))
    return [f"    if {ast.unparse(tree)}:", *returned(plan, node, "None", indent="        ")]


def _gate(plan: GraphPlan, node: Code) -> list[str]:
    tree = expression_source.threaded(plan, node.expression)
    is_bool = isinstance(tree, ast.Compare) or (isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not))
    if not is_bool:
        tree = ast.Call(ast.Name("bool"), [tree], [])
    check = f"{plan.function[node.name].upper()}_CHECK"
    more = [f'"{plan.key(node.again, "check")}": None if passed else {check}'] if node.again else []
    return [f"    passed = {ast.unparse(tree)}", *returned(plan, node, "passed", more=more)]


def _approve(plan: GraphPlan, node: Approve) -> list[str]:
    arguments = [plan.variable[n] for n in prompts.read_by(plan, node)]
    lines = call(f"    asked = {plan.function[node.name]}_question(", arguments, ")")
    shown = [f'"step": {literal(node.name)}', '"question": asked']
    if node.subject is None:
        lines += _interrupt(shown)
        return [*lines, *returned(plan, node, "answer")]
    value = subgraphs.of_run(plan, node.subject)
    lines.append(f"    value: Any = {value}")
    lines += _interrupt([*shown, '"choices": CHOICES', '"value": value'])
    edited = 'answer["value"]'
    if subgraphs.is_labelled(plan, node.subject):
        edited = f'{{**(state.get("{node.subject}") or {{"step": ""}}), "value": {edited}}}'
    check = f'"{plan.key(node.again, "check")}": ' if node.again else ""
    lines.append('    if answer["action"] == "edit":')
    more = [f'"{node.subject}": {edited}', *([f"{check}None"] if check else [])]
    lines += returned(plan, node, '"approve"', more=more, indent="        ")
    more = [f'"{plan.key(node.name, "why")}": answer.get("why")']
    if check:
        lines.append(f'    check = answer.get("why") or {literal(REJECTED_VALUE)}')
        more.append(f'{check}None if answer["action"] == "approve" else check')
    return [*lines, *returned(plan, node, 'answer["action"]', more=more)]


def _interrupt(shown: list[str]) -> list[str]:
    return call("    answer = interrupt({", shown, "})")


def _tools(plan: GraphPlan, node: Tools) -> list[str]:
    table = plan.shared.tables[node.tools]
    lines, replies = [f'    calls = state["{node.transcript}"][-1]["tool_calls"]'], "replies"
    if node.approve:
        ask, replies = f"{plan.function[node.name].upper()}_APPROVE", "[as_run(message, calls), *replies]"
        lines = [
            f'    message = state["{node.transcript}"][-1]',
            "    # Before any tool runs, since LangGraph runs this again with the answers.",
            f'    calls = [approved(call, {table}, {ask}) for call in message["tool_calls"]]',
        ]
    given = ["call", table]
    if plan.has_tool_timeout(node):
        given.append(f"timeout={plan.function[node.name].upper()}_TIMEOUT")
    lines.append(f"    uses = (use_tool({', '.join(given)}) for call in calls)")
    return [
        *lines,
        "    replies = await asyncio.gather(*uses)",
        *returned(plan, node, None, more=[f'"{node.transcript}": {replies}']),
    ]
