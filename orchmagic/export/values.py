"""The values of a run: how the state holds them (as JSON), and how functions read them (as the cell's classes)."""

from __future__ import annotations

from typing import Any, Literal, Union, get_args, get_origin

from orchmagic.export import expressions
from orchmagic.export.plan import Plan
from orchmagic.export.templates import JSON, Known
from orchmagic.graph import Approve, Call, Code, Tools
from orchmagic.schema import annotation_names

_SCALARS: dict[type, str] = {str: "str", bool: "bool", int: "int", float: "float"}


def state(plan: Plan) -> str:
    """The class of the state."""
    lines = ["class State(TypedDict, total=False):", '    """What the steps share, as JSON."""', ""]
    lines += [f"    {name}: {input_type(plan, name)}" for name in plan.inputs]
    for node in plan.graph.nodes:
        if not isinstance(node, Tools):
            lines.append(f"    {node.name}: {held(plan, node.name)}")
    if any(isinstance(n, Call) and n.transcript for n in plan.graph.nodes):
        lines.append("    messages: Annotated[list[dict[str, Any]], operator.add]")
    lines += [f"    {plan.key(name, 'check')}: str | None" for name in checked(plan)]
    lines += [f"    {plan.key(n.name, 'visits')}: int" for n in plan.graph.nodes if n.name in plan.counted]
    return "\n".join(lines)


def checked(plan: Plan) -> list[str]:
    """The calls that a failed gate sends back to."""
    found = (n.again for n in plan.graph.nodes if isinstance(n, Code) and n.again)
    return list(dict.fromkeys(found))


def input_type(plan: Plan, name: str) -> str:
    """The type of an input, as far as the notebook's value tells; text when there is none."""
    if name not in plan.namespace:
        return "str"
    found = plan.namespace[name]
    if type(found) in _SCALARS:
        return _SCALARS[type(found)]
    if isinstance(found, list | tuple | set | frozenset):
        return "list[Any]"
    return "dict[str, Any]" if isinstance(found, dict) else "Any"


def held(plan: Plan, name: str) -> str:
    """The type of a node's value in the state."""
    node = plan.graph.node(name)
    match node:
        case Code(gate=True):
            return "bool"
        case Code() | Approve() | Tools():
            return "Any"
        case Call():
            kind = {"text": "str", "fields": "dict[str, Any]"}.get(plan.types[name].kind, "Any")
            return f"{kind} | None" if kind != "Any" and plan.nullable(name) else kind


def read(plan: Plan, name: str, at: str, *, ran: bool = False) -> str:
    """The expression that reads a value inside the function of `at`."""
    if name == "messages":
        return 'state.get("messages", [])'
    sure = plan.always(name, at, ran=ran)
    stored = f'state["{name}"]' if sure else f'state.get("{name}")'
    node = plan.graph.node(name) if name not in plan.inputs else None
    if not isinstance(node, Call) or plan.types[name].kind == "text" or _is_json(_type(plan, name)):
        return stored
    kind = seen_class(plan, node)
    if plan.types[name].kind == "value":
        wrapped = f'rebuilt({kind}, {{"value": state["{name}"]}}).value'
        return wrapped if sure else f'{wrapped} if state.get("{name}") is not None else None'
    if sure and plan.types[name].kind == "fields":
        return f"{kind}.model_validate({stored})"
    return f"rebuilt({kind}, {stored})"


def local(plan: Plan, name: str, at: str, *, ran: bool = False) -> list[str]:
    """The statement that gives a function its variable for a value of the state."""
    source = read(plan, name, at, ran=ran)
    # Any for what may be missing: the cell's expressions say themselves what holds then
    kind = ": Any" if source.startswith("state.get(") and name != "messages" else ""
    return expressions.lines(expressions.read(source), f"    {plan.variable[name]}{kind} = ")


def seen_class(plan: Plan, node: Call) -> str:
    """The class that expressions and prompts see."""
    sure = plan.types[node.name].confidence and plan.logprobs(node)
    return f"Sure{plan.class_[node.name]}" if sure else plan.kind(node)


def parameter(plan: Plan, name: str, at: str) -> str:
    """The type of a value as an argument of the prompt of `at`."""
    if name == "messages" or not plan.always(name, at):
        return "Messages" if name == "messages" else "Any"
    if name in plan.inputs:
        return input_type(plan, name)
    node = plan.graph.node(name)
    if not isinstance(node, Call):
        return held(plan, name)
    kind = plan.types[name].kind
    if kind == "text":
        return "str"
    if kind == "value":
        plain = not annotation_names(node.output)  # prompts stand above the classes
        return expressions.flat(expressions.read(node.output.annotation)) if plain else "Any"
    return f'"{seen_class(plan, node)}"'


def known(plan: Plan, name: str, at: str) -> Known:
    """The value as templates find it."""
    variable = name if name in plan.constants else plan.variable[name]
    if name in plan.constants:
        return Known(variable, type(plan.constants[name]) if type(plan.constants[name]) in _SCALARS else JSON)
    if name == "messages":
        return Known(variable, JSON)
    found = _type(plan, name)
    return Known(variable, found if plan.always(name, at) or found is JSON else Union[found, None])  # noqa: UP007 - at run time


def _type(plan: Plan, name: str) -> Any:
    if name in plan.inputs:
        return next((t for t, word in _SCALARS.items() if word == input_type(plan, name)), JSON)
    node = plan.graph.node(name)
    if not isinstance(node, Call):
        return bool if isinstance(node, Code) and node.gate else JSON
    found = plan.types[name]
    if found.kind == "value":
        return found.type.model_fields["value"].annotation
    return found.type


def _is_json(kind: Any) -> bool:
    """Whether the value is the same as JSON and as Python."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return True
    if origin in (list, dict) or (origin is not None and not isinstance(origin, type)):
        return all(map(_is_json, args))
    return kind in {*_SCALARS, type(None), Any, JSON, list, dict}
