"""Generates the code that runs an inner graph: its inputs, its result, and the type of that for later steps."""

from __future__ import annotations

import ast

from orchmagic.export import expression_source, state
from orchmagic.export.formatting import call
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.quoting import literal, summary
from orchmagic.graph.model import Sub


def inner_value(plan: GraphPlan, node: Sub) -> list[str]:
    """Returns the lines that run the inner graph; the last one is the expression of its result."""
    inner = plan.inner[node.name]
    given = dict(node.given)
    arguments = []
    for name in inner.inputs:
        tree = expression_source.threaded(plan, given.get(name, name))
        if not _is_json(plan, given.get(name, name)):
            tree = ast.Call(ast.Name(expression_source.json_of(plan, given.get(name, name))), [tree], [])
        arguments.append(f"{name}={ast.unparse(tree)}")
    lines = call(f"    inputs = {inner.named('State')}(", arguments, ")")
    return [*lines, "    ended = await graph.ainvoke(inputs)", f"{inner.result}(ended)"]


def _is_json(plan: GraphPlan, source: str) -> bool:
    """Whether the expression is a value that the state holds as JSON unchanged."""
    if not source.isidentifier() or source in plan.graph.code:
        return False
    if source not in plan.function or source in plan.inputs:
        return True
    return not state.typed(plan, source, "value")


def result(plan: GraphPlan) -> str:
    """Returns the function that takes a graph's result from its state, with its step's name if `labelled`."""
    labelled = bool(plan.prefix) and state.labelled(plan)
    names = list(reversed(plan.graph.results))
    values = [f'state.get("{n}")' if plan.prefix else of_run(plan, n) for n in names]
    said = "*reversed(said)"
    if labelled:
        values = [f"({literal(name)}, {value})" for name, value in zip(names, values, strict=True)]
        said = '*(("", text) for text in reversed(said))'
    lines = [
        f"def {plan.result}(state: Mapping[str, Any]) -> Any:",
        '    """Return the result: the last of these values that there is."""',
    ]
    lines += _without_result(plan)
    if any(n.transcript for n in plan.calls):
        lines.append('    said = [m["content"] for m in state.get("messages", []) if m.get("content")]')
        values.append(said)
    lines += call("    values = [", values, "]")
    shown = '{"step": step, "value": value} for step, value' if labelled else "value for value"
    picked = [f"({shown} in values if value is not None)", "None"]
    return "\n".join([*lines, *call("    return next(", picked, ")")])


def _without_result(plan: GraphPlan) -> list[str]:
    """Returns the lines for a run that a person rejected, or that ended inside an inner graph; often none."""
    tests = [f'state.get("{name}") == "reject"' for name in plan.rejectable() if not plan.prefix]
    if any(plan.ends_at(n) for n in plan.graph.nodes):
        tests.append(f'state.get("{plan.key("run", "ended")}")')
    return [f"    if {' or '.join(tests)}:", "        return None"] if tests else []


def seen(plan: GraphPlan) -> list[str]:
    """Returns the function that converts a result to the class of its step; none if JSON is the same."""
    if not state.labelled(plan):
        return []
    lines = [
        f"def {plan.seen}(found: Any) -> Any:",
        summary(f"Return what {plan.graph.name} found as the class of its step."),
        '    value = found and found["value"]',
        "    if value is None:",
        "        return None",
    ]
    for name in plan.graph.results:
        many = state.is_many(plan, name)
        one = state.typed(plan, name, "item" if many else "value", sure=not many)
        if one:
            source = f"[{one} for item in value]" if many else one
            lines.append(f'    if found["step"] == {literal(name)}:')
            lines.append(f"        return {source}")
    return ["\n".join([*lines, "    return value"])]


def of_run(plan: GraphPlan, name: str) -> str:
    """Returns the expression of an outer value as the run's result: without the step name of an inner graph."""
    stored = f'state.get("{name}")'
    node = plan.graph.node(name)
    if not isinstance(node, Sub) or not (one := state.typed(plan, name, "item" if node.each else stored)):
        return stored
    return f"to_jsonable_python({f'[{one} for item in {stored} or ()]' if node.each else one})"


def is_labelled(plan: GraphPlan, name: str) -> bool:
    """Whether the state holds the value with its step's name."""
    node = plan.graph.node(name)
    return isinstance(node, Sub) and state.labelled(plan.inner[node.name])
