"""Generates the prompts of a module: a function per step, whose arguments are the values that the prompt reads."""

from __future__ import annotations

from orchmagic.export import fstrings, state
from orchmagic.export.dependencies import in_texts
from orchmagic.export.formatting import Filled, assigned, call, texts
from orchmagic.export.fstrings import JSON, Known
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.quoting import literal, summary
from orchmagic.graph.model import Approve, Call, Node
from orchmagic.language import template
from orchmagic.language.template import Message


def prompts(plan: GraphPlan) -> list[str]:
    """Returns the functions, each after the constants with its Jinja templates."""
    blocks: list[str] = []
    for node in plan.graph.nodes:
        match node:
            case Call():
                blocks += _call(plan, node)
            case Approve():
                blocks += _question(plan, node)
            case _:
                continue
    return blocks


def read_by(plan: GraphPlan, node: Node) -> list[str]:
    """Returns the values of the state that a node's prompt reads, in the order of its arguments."""
    return plan.known(in_texts(node))


def _signature(plan: GraphPlan, node: Node, word: str, returns: str) -> list[str]:
    kinds = {n: "Any" if n == _item(node) else state.parameter(plan, n, node.name) for n in read_by(plan, node)}
    arguments = [f"{plan.variable[n]}: {kind}" for n, kind in kinds.items()]
    return call(f"def {plan.function[node.name]}_{word}(", arguments, f") -> {returns}:")


def _call(plan: GraphPlan, node: Call) -> list[str]:
    taken = {plan.variable[n] for n in read_by(plan, node)} | set(plan.graph.code)
    constants: list[str] = []
    body: list[str] = []
    shown: list[str] = []
    for number, message in enumerate(node.messages):
        name = _variable(message.role, number, taken)
        taken.add(name)
        lines, constant = _content(plan, node, message, name, number)
        body += lines
        constants += constant
        shown.append(f'{{"role": {literal(message.role)}, "content": {name}}}')
    head = [*_signature(plan, node, "prompt", "Messages"), summary(f"Say what {node.name} asks.")]
    return [*constants, "\n".join([*head, *body, *call("    return [", shown, "]")])]


def _variable(role: str, number: int, taken: set[str]) -> str:
    name = role
    while name in taken:
        name = f"{role}_{number + 1}" if name == role else f"{name}_"
    return name


def _question(plan: GraphPlan, node: Approve) -> list[str]:
    lines, constants = _content(plan, node, node.question, "", 0)
    head = [*_signature(plan, node, "question", "str"), summary(f"Say what {node.name} asks a person.")]
    return [*constants, "\n".join([*head, *lines])]


def _content(plan: GraphPlan, node: Node, message: Message, name: str, number: int) -> tuple[list[str], list[str]]:
    """Returns (lines that render the text, constants); the text is assigned to `name`, or returned if that is empty."""
    before = f"    {name} = " if name else "    return "
    wanted = template.names(message.text)
    known = {n: _known(plan, n, node) for n in wanted if n in plan.variable or n in plan.constants}
    parts = fstrings.parts(message.text, known)
    if parts is not None:
        return texts(before, _merged(parts)), []
    constant = f"{plan.function[node.name].upper()}_{(name or 'question').upper()}"
    if constant in plan.graph.code:
        constant += f"_{number + 1}"
    given = [f"{n}={known[n].variable if n in known else n}" for n in sorted(wanted)]
    given += [f"{n}={n}" for n in fstrings.called_builtins(message.text)]
    return call(f"{before}rendered(", [constant, *given], ")"), ["\n".join(assigned(constant, message.text))]


def _item(node: Node) -> str | None:
    """Returns the name of the node's item, which hides a step or input of that name."""
    return node.each.item if isinstance(node, Call) and node.each else None


def _known(plan: GraphPlan, name: str, node: Node) -> Known:
    return Known(plan.variable[name], JSON) if name == _item(node) else state.known(plan, name, node.name)


def _merged(parts: list[str | Filled]) -> list[str | Filled]:
    """Joins neighbouring texts and drops empty ones."""
    found: list[str | Filled] = []
    for part in parts:
        if found and isinstance(part, str) and isinstance(found[-1], str):
            found[-1] += part
        elif part != "":
            found.append(part)
    return found or [""]
