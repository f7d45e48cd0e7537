"""The nodes of a module: an async function each, state in, update out."""

from __future__ import annotations

import ast
from typing import assert_never

from orchmagic.export import expressions, prompts, threads, values
from orchmagic.export.asking import asking
from orchmagic.export.layout import assigned, call, literal
from orchmagic.export.plan import Plan
from orchmagic.export.updates import returned
from orchmagic.graph import Approve, Call, Code, Node, Tools

_LONGEST = 76  # of a docstring: 88 less indentation and quotes


def nodes(plan: Plan) -> list[str]:
    """One function for each node."""
    return ["\n".join(_node(plan, node)) for node in plan.graph.nodes]


def checks(plan: Plan) -> list[list[str]]:
    """The gates that send a step back, as text: its model reads it when the check failed."""
    back = [n for n in plan.graph.nodes if isinstance(n, Code) and n.again]
    return [assigned(f"{plan.function[n.name].upper()}_CHECK", n.expression) for n in back]


def _node(plan: Plan, node: Node) -> list[str]:
    body = _body(plan, node)
    client = ", *, client: AsyncOpenAI" if isinstance(node, Call) else ""
    head = f"async def {plan.function[node.name]}(state: State{client}) -> State:"
    if not any("state" in row for row in body):
        head += "  # noqa: ARG001 - LangGraph passes it"
    return [head, f'    """{_said(plan, node)}"""', *body]


def _said(plan: Plan, node: Node) -> str:
    match node:
        case Call(tools=tools) if tools:
            return "Think, then call tools or answer."
        case Call():
            fields = [f.name for f in node.output.fields]
            listed = " and ".join([", ".join(fields[:-1]), fields[-1]]) if len(fields) > 1 else "".join(fields)
            what = listed or ("a text" if plan.types[node.name].kind == "text" else node.name)
            said = f"Ask a model for {what}."
            return said if len(said) <= _LONGEST else f"Ask a model for {node.name}."
        case Code(gate=True):
            return "Check what the steps before it found."
        case Code():
            return f"Compute {node.name}."
        case Approve():
            return "Wait for a person's answer."
        case Tools():
            return "Run the tool calls of the last message side by side."
        case _:
            assert_never(node)


def _body(plan: Plan, node: Node) -> list[str]:
    reads = [row for name in plan.reads(node) for row in values.local(plan, name, node.name)]
    match node:
        case Call():
            return [*reads, *_skip(plan, node), *asking(plan, node)]
        case Code(gate=True):
            return [*reads, *_gate(plan, node)]
        case Code():
            tree = threads.threaded(plan, node.expression)
            value = expressions.lines(tree, "    value = ")
            return [*reads, *_skip(plan, node), *value, *returned(plan, node, "to_jsonable_python(value)")]
        case Approve():
            return [*reads, *_approve(plan, node)]
        case Tools():
            return _tools(plan, node)
        case _:
            assert_never(node)


def _skip(plan: Plan, node: Call | Code) -> list[str]:
    if node.when is None:
        return []
    tree = expressions.opposite(threads.threaded(plan, node.when))
    return [*expressions.lines(tree, "    if ", ":"), *returned(plan, node, "None", indent="        ")]


def _gate(plan: Plan, node: Code) -> list[str]:
    tree = threads.threaded(plan, node.expression)
    is_bool = isinstance(tree, ast.Compare) or (isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not))
    if not is_bool:
        tree = ast.Call(ast.Name("bool"), [tree], [])
    check = f"{plan.function[node.name].upper()}_CHECK"
    more = [f'"{plan.key(node.again, "check")}": None if passed else {check}'] if node.again else []
    return [*expressions.lines(tree, "    passed = "), *returned(plan, node, "passed", more=more)]


def _approve(plan: Plan, node: Approve) -> list[str]:
    arguments = [plan.variable[n] for n in prompts.read_by(plan, node)]
    lines = call(f"    asked = {plan.function[node.name]}_question(", arguments, ")")
    lines += call("    answer = interrupt({", [f'"step": {literal(node.name)}', '"question": asked'], "})")
    return [*lines, *returned(plan, node, "answer")]


def _tools(plan: Plan, node: Tools) -> list[str]:
    return [
        f'    calls = state["{node.transcript}"][-1]["tool_calls"]',
        "    replies = await asyncio.gather(*map(use_tool, calls))",
        *returned(plan, node, None, more=[f'"{node.transcript}": list(replies)']),
    ]
