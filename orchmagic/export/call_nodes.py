"""Generates the lines of a node's function that call a model: prompt, request and reply."""

from __future__ import annotations

from collections.abc import Callable

from orchmagic.export import prompts, state
from orchmagic.export.formatting import assigned, call
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.quoting import literal
from orchmagic.export.state import returned
from orchmagic.graph.model import Call

Leave = Callable[[str, str], list[str]]
"""Writes the last statement of a function: (expression of its value, indentation) -> lines."""


def _own_arguments(plan: GraphPlan, node: Call) -> dict[str, object]:
    """Returns the request arguments that the step, or the cell that it belongs to, sets itself."""
    seconds = plan.asked.defaults.timeout_of(node)
    own: dict[str, object] = {"max_tokens": node.max_tokens} if node.max_tokens is not None else {}
    if node.timeout is not None or seconds != plan.defaults.timeout:
        own["timeout"] = seconds
    return node.request_parameters | own


def tuned(plan: GraphPlan) -> list[list[str]]:
    """Returns the constants of single steps that `_arguments` refers to."""
    found = []
    for node in plan.calls:
        upper = plan.function[node.name].upper()
        if node.name in plan.typed and plan.reasks(node) != plan.shared.reasks:
            found.append([f"{upper}_REASKS = {plan.reasks(node)}"])
        found += [assigned(f"{upper}_{name.upper()}", value) for name, value in _own_arguments(plan, node).items()]
    return found


def asking(plan: GraphPlan, node: Call) -> list[str]:
    """Returns the body of a node that calls a model once per visit."""
    if node.tools:
        return [*_messages(plan, node), *_agent(plan, node)]
    return answer(plan, node, lambda value, indent: returned(plan, node, value, indent=indent))


def answer(plan: GraphPlan, node: Call, leave: Leave) -> list[str]:
    """Returns the lines that get one value from a model; `leave` writes the return."""
    lines = _messages(plan, node)
    if node.name in plan.typed:
        return [*lines, *_typed(plan, node, leave)]
    lines += call("    choice = await first_usable(", _arguments(plan, node), ")")
    return [*lines, *leave('choice.message.content or ""', "    ")]


def _typed(plan: GraphPlan, node: Call, leave: Leave) -> list[str]:
    sure = plan.logprobs(node)
    tolerant = node.tolerant and not node.each and not node.votes  # a failed item or vote is recorded as failed
    indent = "        " if tolerant else "    "
    lines = call(f"{indent}value, {'choice' if sure else '_'} = await ask(", _arguments(plan, node), ")")
    if tolerant:
        lines = ["    try:", *lines, "    except UnfitReplyError:", *leave("None", indent)]
    if sure:
        field = literal(node.confidence)
        lines.append(f'    value["confidence"] = how_sure(choice, {field}, value[{field}])')
    return [*lines, *leave(_value(plan, node), "    ")]


def _agent(plan: GraphPlan, node: Call) -> list[str]:
    typed = node.name in plan.typed
    before = "    value, choice = await ask(" if typed else "    choice = await first_usable("
    calls = f'"{node.transcript}": [tool_calls(choice)]'
    return [
        *call(before, _arguments(plan, node), ")"),
        "    if choice.message.tool_calls:",
        *returned(plan, node, None, more=[calls], indent="        "),
        '    reply = choice.message.content or ""',
        '    said = {"role": "assistant", "content": reply}',
        *returned(plan, node, _value(plan, node) if typed else "reply", more=[f'"{node.transcript}": [said]']),
    ]


def _value(plan: GraphPlan, node: Call) -> str:
    return 'value["value"]' if plan.types[node.name].kind == "value" else "value"


def _messages(plan: GraphPlan, node: Call) -> list[str]:
    arguments = [plan.variable[n] for n in prompts.read_by(plan, node)]
    lines = call(f"    messages = {plan.function[node.name]}_prompt(", arguments, ")")
    if node.transcript:
        lines.append(f'    messages += state.get("{node.transcript}", [])')
    if node.name not in state.checked(plan):
        return [*lines, *_rung(plan, node)]
    said = f'state["{node.name}"]'
    said = said if state.held(plan, node.name) in {"str", "str | None"} else f"as_text({said})"
    return [
        *lines,
        f'    if check := state.get("{plan.key(node.name, "check")}"):',
        *call("        last = {", ['"role": "assistant"', f'"content": {said}'], "}"),
        '        again = {"role": "user", "content": AGAIN.format(check=check)}',
        "        messages += [last, again]",
        *_rung(plan, node),
    ]


def _rung(plan: GraphPlan, node: Call) -> list[str]:
    """Returns the lines that choose the models of this visit, for a node with a ladder of models."""
    if not node.ladder:
        return []
    ladder = f"{plan.function[node.name].upper()}_LADDER"
    visits = f'state.get("{plan.key(node.name, "visits")}", 0)'
    rest = plan.endpoints.tuple_of(plan.fallback(node))
    after = ", *FALLBACK" if plan.fallback(node) == plan.endpoints.fallback else f", *{rest}"
    return [
        f"    rung = min({visits}, len({ladder}) - 1)",
        f"    models = ({ladder}[rung]{after if plan.fallback(node) else ','})",
    ]


def ladders(plan: GraphPlan) -> list[list[str]]:
    """Returns the constants with the models of a step's first, second … visit."""
    found = []
    for node in plan.calls:
        if node.ladder:
            kind = "str" if plan.endpoints.uniform else "Model"
            upper = plan.function[node.name].upper()
            found.append([f"{upper}_LADDER: tuple[{kind}, ...] = {plan.endpoints.tuple_of(node.ladder)}"])
    return found


def models(plan: GraphPlan, node: Call) -> str | None:
    """Returns the argument `models=` of a call; None for the default."""
    if node.ladder:
        return "models"
    return plan.endpoints.models(plan.asked.defaults.models(node)[0], plan.fallback(node))


def judge(plan: GraphPlan, node: Call) -> str | None:
    """Returns the models that decide if too few votes agree; None if there are none."""
    rest = plan.fallback(node)
    if not node.votes or not node.votes.least or not rest:
        return None
    return "FALLBACK" if rest == plan.endpoints.fallback else plan.endpoints.tuple_of(dict.fromkeys(rest))


def _arguments(plan: GraphPlan, node: Call) -> list[str]:
    """Returns the arguments of `ask` or `first_usable`."""
    upper = plan.function[node.name].upper()
    typed = node.name in plan.typed
    found = ["client", "messages", *([plan.kind(node)] if typed else [])]
    if typed and (form := plan.form(node)):
        found.append(f"form={literal(form)}")
    if typed and plan.reasks(node) != plan.shared.reasks:
        found.append(f"reasks={upper}_REASKS")
    if chosen := "models" if judge(plan, node) else models(plan, node):
        found.append(f"models={chosen}")
    found += [f"{name}={upper}_{name.upper()}" for name in _own_arguments(plan, node)]
    if node.tools:
        found.append(f"tools=tool_format({plan.shared.tables[node.tools]})")
    if plan.logprobs(node):
        found.append("logprobs=True")
    return found
