"""Generates the functions that run a module: `run`, and `main` for the command line."""

from __future__ import annotations

from orchmagic.export import state
from orchmagic.export.formatting import call
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.module_plan import ModulePlan
from orchmagic.export.quoting import literal
from orchmagic.graph.model import Approve, Sub

_RESERVED = frozenset({"help", "h"})


def run(whole: ModulePlan) -> str:
    """Returns the source of the function that runs the graph once."""
    plan = whole.outer
    body = ["    state = await build_graph().ainvoke(inputs)"]
    if plan.pauses:  # no deadline while a person answers
        body = [
            '    graph = build_graph().with_config(configurable={"thread_id": "main"})',
            "    state = await graph.ainvoke(inputs)",
            '    while pauses := state.get("__interrupt__"):',
            "        answer = await asyncio.to_thread(answered, pauses[0].value)",
            "        state = await graph.ainvoke(Command(resume={pauses[0].id: answer}))",
        ]
    elif plan.graph.limits.deadline is not None:
        body = ["    async with asyncio.timeout(DEADLINE):", f"    {body[0]}"]
    head = ["async def run(inputs: State) -> Any:", '    """Run the graph once and return its result."""']
    joined = (n for n in plan.graph.nodes if isinstance(n, Sub) and not n.may_end and not plan.ends_at(n))
    if any(plan.inner[n.name].may_end_early for n in joined):
        caught = ["    except EndedEarlyError as end:", '        logger.warning("ended without a result: %s", end)']
        body = ["    try:", *(f"    {line}" for line in body), *caught, "        return None"]
    return "\n".join([*head, *body, "    return result(state)"])


def answered(whole: ModulePlan) -> str:
    """Returns the source of the function that asks a person at the terminal."""
    lines = ["def answered(asked: Mapping[str, Any]) -> Any:", '    """Ask a person at the terminal."""']
    approves = any(n.approve for _, n in whole.agents) or any(
        isinstance(n, Approve) and n.subject for plan in whole.plans for n in plan.graph.nodes
    )
    if approves:
        lines += [
            '    if "choices" in asked:',
            '        shown = json.dumps(asked["value"], indent=2, ensure_ascii=False)',
            '        how = "approve, reject WHY, or the JSON of what should stand there"',
            "        said = input(f\"{asked['question']}\\n{shown}\\n({how})\\n> \")",
            '        action, _, why = said.partition(" ")',
            '        if action in {"approve", "reject"}:',
            '            return {"action": action, "why": why}',
            '        return {"action": "edit", "value": json.loads(said)}',
        ]
    return "\n".join([*lines, "    return input(f\"{asked['question']}\\n> \")"])


def main(plan: GraphPlan) -> str:
    """Returns the source of the function that `python FILE` runs."""
    title = f"{plan.graph.name}: run it once and print the result."
    lines = [
        "def main() -> None:",
        '    """Run it from the command line and print the result."""',
        *call("    parser = argparse.ArgumentParser(", [f"description={literal(title)}"], ")"),
    ]
    for name in plan.inputs:
        lines += call("    parser.add_argument(", _option(plan, name), ")")
    given = [f"{name}=arguments.{name}" for name in plan.inputs]
    return "\n".join(
        [
            *lines,
            "    arguments = parser.parse_args()" if given else "    parser.parse_args()",
            *call("    inputs = State(", given, ")"),
            "    found = asyncio.run(run(inputs))",
            "    if not isinstance(found, str):",
            "        found = json.dumps(found, indent=2, ensure_ascii=False)",
            "    print(found)",
        ]
    )


def _option(plan: GraphPlan, name: str) -> list[str]:
    flag = f"--{name}-value" if name in _RESERVED else f"--{name}"
    kind = state.input_type(plan, name)
    given = [literal(flag), "required=True"]
    if flag != f"--{name}":
        given.append(f"dest={literal(name)}")
    return [*given, 'help="text"'] if kind == "str" else [*given, "type=json.loads", 'help="JSON"']
