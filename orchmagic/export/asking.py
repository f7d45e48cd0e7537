"""The part of a node's function that asks a model: prompt, request, reply, and what becomes of it."""

from __future__ import annotations

from orchmagic.export import prompts, values
from orchmagic.export.layout import call, literal
from orchmagic.export.plan import Plan
from orchmagic.export.updates import returned
from orchmagic.graph import Call

_OPTIONS = ("temperature", "max_tokens", "timeout")


def tuned(plan: Plan) -> list[list[str]]:
    """Constants of single steps: what `_arguments` names."""
    found = []
    for node in plan.calls:
        upper = plan.function[node.name].upper()
        if node.name in plan.typed and node.retry != plan.reasks:
            found.append([f"{upper}_REASKS = {node.retry}"])
        given = [(option, getattr(node, option)) for option in _OPTIONS]
        found += [[f"{upper}_{option.upper()} = {value!r}"] for option, value in given if value is not None]
    return found


def asking(plan: Plan, node: Call) -> list[str]:
    """The lines of the function."""
    lines = _messages(plan, node)
    if node.tools:
        return [*lines, *_agent(plan, node)]
    if node.name not in plan.typed:
        lines += call("    choice = await first_usable(", _arguments(plan, node), ")")
        return [*lines, *returned(plan, node, 'choice.message.content or ""')]
    return [*lines, *_typed(plan, node)]


def _typed(plan: Plan, node: Call) -> list[str]:
    sure = plan.logprobs(node)
    target = ("value, choice" if sure else "value, _") if plan.wants_choice else "value"
    indent = "        " if node.tolerant else "    "
    lines = call(f"{indent}{target} = await ask(", _arguments(plan, node), ")")
    if node.tolerant:
        skipped = returned(plan, node, "None", indent=indent)
        lines = ["    try:", *lines, "    except UnfitReplyError:", *skipped]
    if sure:
        field = literal(node.confidence)
        lines.append(f'    value["confidence"] = how_sure(choice, {field}, value[{field}])')
    return [*lines, *returned(plan, node, _value(plan, node))]


def _agent(plan: Plan, node: Call) -> list[str]:
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


def _value(plan: Plan, node: Call) -> str:
    return 'value["value"]' if plan.types[node.name].kind == "value" else "value"


def _messages(plan: Plan, node: Call) -> list[str]:
    arguments = [plan.variable[n] for n in prompts.read_by(plan, node)]
    lines = call(f"    messages = {plan.function[node.name]}_prompt(", arguments, ")")
    if node.transcript:
        lines.append(f'    messages += state.get("{node.transcript}", [])')
    if node.name not in values.checked(plan):
        return lines
    said = f'state["{node.name}"]'
    said = said if plan.types[node.name].kind == "text" else f"as_text({said})"
    return [
        *lines,
        f'    if check := state.get("{plan.key(node.name, "check")}"):',
        *call("        last = {", ['"role": "assistant"', f'"content": {said}'], "}"),
        '        again = {"role": "user", "content": AGAIN.format(check=check)}',
        "        messages += [last, again]",
    ]


def _arguments(plan: Plan, node: Call) -> list[str]:
    """The arguments of `ask` or `first_usable`."""
    upper = plan.function[node.name].upper()
    typed = node.name in plan.typed
    found = ["client", "messages", *([plan.kind(node)] if typed else [])]
    if form := plan.form_name(node):
        found.append(f"name={literal(form)}")
    if typed and node.retry != plan.reasks:
        found.append(f"reasks={upper}_REASKS")
    if models := plan.endpoints.models(node):
        found.append(f"models={models}")
    found += [f"{option}={upper}_{option.upper()}" for option in _OPTIONS if getattr(node, option) is not None]
    if node.tools:
        found.append("tools=tool_format()")
    if plan.logprobs(node):
        found.append("logprobs=True")
    return found
