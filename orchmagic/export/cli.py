"""How a module is run: `result`, `run`, and `main` for the command line."""

from __future__ import annotations

from orchmagic.export import state, subgraphs
from orchmagic.export.formatting import call, literal
from orchmagic.export.graph_plan import GraphPlan
from orchmagic.export.module_plan import ModulePlan
from orchmagic.graph.model import Approve, Call

_RESERVED = frozenset({"help", "h"})


def result(plan: GraphPlan) -> str:
    """The function that picks the run's result out of the state."""
    names = [subgraphs.of_run(plan, n) for n in reversed(plan.graph.results)]
    lines = [
        "def result(state: Mapping[str, Any]) -> Any:",
        '    """Return the run\'s result: the last of these values that there is."""',
    ]
    if _transcribed(plan):
        lines += [
            '    said = [m["content"] for m in state.get("messages", []) if m.get("content")]',
            *call("    values = [", [*names, "*reversed(said)"], "]"),
        ]
    else:
        lines += call("    values = [", names, "]")
    return "\n".join([*lines, "    return next((value for value in values if value is not None), None)"])


def _transcribed(plan: GraphPlan) -> bool:
    return any(isinstance(n, Call) and n.transcript for n in plan.graph.nodes)


def run(plan: GraphPlan) -> str:
    """The function that runs the graph once."""
    asks = plan.pauses
    deadline = plan.graph.limits.deadline
    lines = ["async def run(inputs: State) -> Any:"]
    lines.append('    """Run the graph once and return its result."""')
    body = _asking() if asks else ["state = await build_graph().ainvoke(inputs)"]
    if deadline is not None and not asks:
        lines += ["    async with asyncio.timeout(DEADLINE):", *(f"        {row}" for row in body)]
    else:
        lines += [f"    {row}" for row in body]
    return "\n".join([*lines, "    return result(state)"])


def _asking() -> list[str]:
    """A person has all the time in the world: no deadline here."""
    return [
        'graph = build_graph().with_config(configurable={"thread_id": "main"})',
        "state = await graph.ainvoke(inputs)",
        'while pauses := state.get("__interrupt__"):',
        "    answer = await asyncio.to_thread(answered, pauses[0].value)",
        "    state = await graph.ainvoke(Command(resume={pauses[0].id: answer}))",
    ]


def answered(whole: ModulePlan) -> str:
    """The function that asks a person at the terminal."""
    lines = ["def answered(asked: Mapping[str, Any]) -> Any:", '    """Ask a person at the terminal."""']
    approves = any(n.approve for _, n in whole.agents) or any(
        isinstance(n, Approve) and n.subject for plan in whole.plans for n in plan.graph.nodes
    )
    if approves:
        lines += [
            '    if "choices" in asked:',
            '        shown = json.dumps(asked["value"], indent=2, ensure_ascii=False)',
            '        how = "approve, reject, or the JSON of what should stand there"',
            "        said = input(f\"{asked['question']}\\n{shown}\\n({how})\\n> \")",
            '        if said in {"approve", "reject"}:',
            '            return {"action": said}',
            '        return {"action": "edit", "value": json.loads(said)}',
        ]
    return "\n".join([*lines, "    return input(f\"{asked['question']}\\n> \")"])


def main(plan: GraphPlan) -> str:
    """The function behind `python FILE`."""
    lines = [
        "def main() -> None:",
        '    """Run it from the command line and print the result."""',
        *call("    parser = argparse.ArgumentParser(", [f"description={literal(_title(plan))}"], ")"),
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


def _title(plan: GraphPlan) -> str:
    return f"{plan.graph.name}: run it once and print the result."


def _option(plan: GraphPlan, name: str) -> list[str]:
    flag = f"--{name}-value" if name in _RESERVED else f"--{name}"
    kind = state.input_type(plan, name)
    given = [literal(flag), "required=True"]
    if flag != f"--{name}":
        given.append(f"dest={literal(name)}")
    return [*given, 'help="text"'] if kind == "str" else [*given, "type=json.loads", 'help="JSON"']
