"""Generates the state class (values as JSON), and how functions read, convert and return its values."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from orchmagic.export import dependencies, expression_source
from orchmagic.export.formatting import call
from orchmagic.export.fstrings import JSON, Known
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.graph.model import Approve, Branch, Call, Code, Node, Sub, Tools
from orchmagic.graph.output_types import OutputType
from orchmagic.language.annotations import annotation_names

_SCALARS: dict[type, str] = {str: "str", bool: "bool", int: "int", float: "float"}
_ALWAYS: Mapping[str, str] = {"messages": 'state.get("messages", [])', "errors": 'state.get("errors", {})'}


def state(plan: GraphPlan) -> str:
    """Returns the source of the state class."""
    lines = [f"class {plan.named('State')}(TypedDict, total=False):", '    """What the steps share, as JSON."""', ""]
    lines += [f"    {name}: {input_type(plan, name)}" for name in plan.inputs]
    for node in plan.graph.nodes:
        if not isinstance(node, Tools):
            lines.append(f"    {node.name}: {held(plan, node.name)}")
    if any(n.transcript for n in plan.calls):
        edited = any(isinstance(n, Tools) and n.approve for n in plan.graph.nodes)
        reducer = "append_messages" if edited else "operator.add"
        lines.append(f"    messages: Annotated[list[dict[str, Any]], {reducer}]")
    if plan.may_fail:
        lines.append(f"    {plan.errors}: Annotated[dict[str, Any], operator.or_]")
    lines += [f"    {plan.key(name, 'check')}: str | None" for name in checked(plan)]
    approvals = (n.name for n in plan.graph.nodes if isinstance(n, Approve) and n.subject)
    lines += [f"    {plan.key(name, 'why')}: str | None" for name in approvals]
    if any(plan.ends_at(n) for n in plan.graph.nodes):
        lines.append(f"    {plan.key('run', 'ended')}: str")
    lines += [f"    {plan.key(n.name, 'visits')}: int" for n in plan.graph.nodes if n.name in plan.counted]
    return "\n".join(lines)


def checked(plan: GraphPlan) -> list[str]:
    """Returns the calls that a failed gate or a rejection repeats."""
    found = (n.again for n in plan.graph.nodes if isinstance(n, Code | Approve) and n.again)
    return list(dict.fromkeys(found))


def input_type(plan: GraphPlan, name: str) -> str:
    """Returns the type of an input, from the notebook's value; `str` if there is none."""
    if plan.prefix:
        return "Any"  # the outer graph may pass anything
    if name not in plan.namespace:
        return "str"
    found = plan.namespace[name]
    if type(found) in _SCALARS:
        return _SCALARS[type(found)]
    if isinstance(found, list | tuple | set | frozenset):
        return "list[Any]"
    return "dict[str, Any]" if isinstance(found, dict) else "Any"


def held(plan: GraphPlan, name: str) -> str:
    """Returns the type of a node's value in the state, as source."""
    node = plan.graph.node(name)
    match node:
        case Code(gate=True):
            kind = "bool"
        case Call() | Sub() if node.each:
            kind = "Any" if plan.nullable(name) else "list[Any]"
        case Call():
            kinds = {"text": "str", "fields": "dict[str, Any]"}
            kind = "dict[str, Any]" if node.votes else kinds.get(plan.types[name].kind, "Any")
        case Code() | Approve() | Tools() | Sub():
            return "Any"
    return f"{kind} | None" if kind != "Any" and plan.nullable(name) else kind


def declared(plan: GraphPlan, name: str) -> Node:
    """Returns the node that defines the value's type: the node itself, or the call that its `like` names."""
    node = plan.graph.node(name)
    like = plan.graph.node(node.like) if isinstance(node, Code) and node.like else node
    return like if isinstance(like, Call) else node


def is_many(plan: GraphPlan, name: str) -> bool:
    """Whether the value is a list with one element per item."""
    return getattr(plan.graph.node(name), "each", None) is not None


def labelled(plan: GraphPlan) -> bool:
    """Whether a graph's result is stored with its step's name, because results have different classes."""
    return any(typed(plan, name, "value") for name in plan.graph.results)


def typed(plan: GraphPlan, name: str, stored: str, *, sure: bool = False) -> str:
    """Returns the expression that converts one stored value to its declared type; empty if JSON is the same."""
    node = declared(plan, name)
    if isinstance(node, Sub):
        inner = plan.inner[node.name]
        return f"{inner.seen}({stored})" if labelled(inner) else ""
    if not isinstance(node, Call) or _is_json(_one(plan, name)):
        return ""
    kind = seen_class(plan, node)
    if plan.types[node.name].kind == "value" and not node.votes:
        wrapped = f'rebuilt({kind}, {{"value": {stored}}}).value'
        return wrapped if sure else f"{wrapped} if {stored} is not None else None"
    if sure and (node.votes or plan.types[node.name].kind == "fields"):
        return f"{kind}.model_validate({stored})"
    return f"rebuilt({kind}, {stored})"


def read(plan: GraphPlan, name: str, at: str, *, ran: bool = False) -> str:
    """Returns the expression that reads a value inside the function of node `at`."""
    if name in _ALWAYS and name in plan.of_run:
        return _ALWAYS[name]
    if name == "visits" and name in plan.of_run:
        return _visits(plan, at, ran=ran)
    sure = plan.always(name, at, ran=ran)
    strict, loose = f'state["{name}"]', f'state.get("{name}")'
    if name in plan.inputs:
        return strict
    if is_many(plan, name):
        one = typed(plan, name, "item")
        every = f"[{one} for item in {strict}]"
        return (
            (strict if sure else loose) if not one else every if sure else f"{every} if {loose} is not None else None"
        )
    one = typed(plan, name, strict if sure else loose, sure=sure)
    # inside the conditional the key exists
    return one.replace(f'{{"value": {loose}}}', f'{{"value": {strict}}}') or (strict if sure else loose)


def _visits(plan: GraphPlan, at: str, *, ran: bool) -> str:
    """Returns the expression of the `visits` that the function of `at` (with `ran`: of the branch after it) reads."""
    link = plan.graph.link(at)
    node = plan.graph.node(at)
    sources = [link.on] if ran and isinstance(link, Branch) else dependencies.expressions(node)
    texts = [] if ran else dependencies.texts(node)
    wanted = dependencies.visited(sources, texts, list(plan.function))
    counts = (f'"{n}": state.get("{plan.key(n, "visits")}", 0)' for n in plan.function if n in wanted)
    # as in the notebook: without nodes that were not visited
    return f"{{step: n for step, n in {{{', '.join(counts)}}}.items() if n}}"


def local(plan: GraphPlan, name: str, at: str, *, ran: bool = False) -> list[str]:
    """Returns the statement that assigns a value of the state to its local variable."""
    source = read(plan, name, at, ran=ran)
    # Any for a value that may be missing: the cell's expressions handle None themselves
    kind = ": Any" if source.startswith("state.get(") and name not in _ALWAYS else ""
    return [f"    {plan.variable[name]}{kind} = {source}"]


def returned(
    plan: GraphPlan, node: Node, value: str | None, *, more: Sequence[str] = (), indent: str = "    "
) -> list[str]:
    """Returns the return statement: the node's value (an expression or None), `more`, and its visits if read."""
    own = [] if value is None else [f'"{node.name}": {value}']
    key = plan.key(node.name, "visits")
    counted = [f'"{key}": state.get("{key}", 0) + 1'] if node.name in plan.counted else []
    return call(f"{indent}return {{", [*own, *more, *counted], "}")


def seen_class(plan: GraphPlan, node: Call) -> str:
    """Returns the class of a call's value in expressions and prompts."""
    if node.votes:
        return plan.votes_class[node.name]
    return f"Sure{plan.class_[node.name]}" if plan.sure(node) else plan.kind(node)


def parameter(plan: GraphPlan, name: str, at: str) -> str:
    """Returns the type of a value as an argument of the prompt of `at`, as source."""
    if name in plan.inputs:
        return input_type(plan, name)
    if name not in plan.function:
        return {"messages": "Messages", "visits": "dict[str, int]", "errors": "dict[str, Any]"}.get(name, "Any")
    node = declared(plan, name)
    if not plan.always(name, at):
        return "Any"
    if not isinstance(node, Call) or is_many(plan, name):
        return held(plan, name)
    return _one_parameter(plan, node)


def _one_parameter(plan: GraphPlan, node: Call) -> str:
    kind = plan.types[node.name].kind
    if node.votes or kind in {"fields", "class"}:
        return f'"{seen_class(plan, node)}"'
    if kind == "text":
        return "str"
    plain = not annotation_names(node.output)  # prompts precede the classes in the module
    return ast.unparse(expression_source.read(node.output.annotation)) if plain else "Any"


def known(plan: GraphPlan, name: str, at: str) -> Known:
    """Returns variable and type of a value, for the conversion of templates."""
    variable = name if name in plan.constants else plan.variable[name]
    if name in plan.constants:
        return Known(variable, type(plan.constants[name]) if type(plan.constants[name]) in _SCALARS else JSON)
    if name not in plan.inputs and name not in plan.function:
        return Known(variable, JSON)  # an item, messages, visits
    found = _type(plan, name)
    return Known(variable, found if found is JSON or plan.always(name, at) else Union[found, None])  # noqa: UP007 - at run time


def _type(plan: GraphPlan, name: str) -> Any:
    if name in plan.inputs:
        return next((t for t, word in _SCALARS.items() if word == input_type(plan, name)), JSON)
    one = _one(plan, name)
    return list[Union[one, None]] if is_many(plan, name) and one not in {JSON, Any} else one  # type: ignore[valid-type]  # noqa: UP007 - at run time


def _one(plan: GraphPlan, name: str) -> Any:
    """Returns the Python type of one value of a node."""
    node = declared(plan, name)
    if isinstance(node, Sub):
        return Any if labelled(plan.inner[node.name]) else JSON
    if not isinstance(node, Call):
        return bool if isinstance(node, Code) and node.gate else JSON
    found: OutputType = plan.voted.get(node.name) or plan.types[node.name]
    return found.type.model_fields["value"].annotation if found.kind == "value" else found.type


def _is_json(kind: Any) -> bool:
    """Whether values of this type are the same in JSON and in Python."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return True
    if origin in (list, dict) or (origin is not None and not isinstance(origin, type)):
        return all(map(_is_json, args))
    return kind in {*_SCALARS, type(None), Any, JSON, list, dict}
