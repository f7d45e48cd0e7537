"""Builds an agent: a prompt with tools as an inner graph, so that other steps see neither its tools nor its turns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orchmagic.core.text_format import counted
from orchmagic.errors import nearest
from orchmagic.graph import checks, tool_schema
from orchmagic.graph.builder import GraphBuilder, is_code
from orchmagic.graph.model import CAP, END, Arm, Branch, Call, Edge, Graph, Limits, Link, Sub, Tools
from orchmagic.graph.resolution import bound
from orchmagic.patterns._prompts import read

TRANSCRIPT = "messages"
_STATE = frozenset({"supervisor", "workspace", "results", "plan", "reflect"})  # of patterns with agents
_TURN = 2  # steps of one turn: model and tools


def check(builder: GraphBuilder, names: Iterable[str], line: int, where: str) -> tuple[str, ...]:
    """Returns the tool names; reports those that are no function with type hints. `where`: `--tools` or `tools=`."""
    tools = tuple(names)
    for name in tools:
        if trouble := tool_schema.problem(name, builder.namespace.get(name)):
            known = [
                n for n, v in builder.namespace.items() if not n.startswith("_") and tool_schema.problem(n, v) is None
            ]
            builder.problem(line, trouble, f"{where} takes functions defined in the notebook{nearest(name, known)}")
    return tools


def turns(cap: int) -> list[Link]:
    """The links of an agent's loop: model and tools alternate until the model answers or `cap` is reached."""
    calls_tools = f"bool({TRANSCRIPT}[-1].get('tool_calls'))"
    arms = (Arm(True, "tools", cap - 1), Arm(False, END))
    why = f"Stopped after {counted(cap, 'round')} without an answer"
    return [Branch("agent", calls_tools, arms, CAP, why), Edge("tools", "agent")]


def as_agent(builder: GraphBuilder, call: Call, names: tuple[str, ...]) -> Sub:
    """Wraps a call with tools in an inner graph that loops until it answers, at most `--max-iterations` times."""
    cap = builder.limits.max_iterations
    agent = replace(
        call, name="agent", tools=names, transcript=TRANSCRIPT, each=None, when=None, isolated=False, role="agent"
    )
    act = Tools("tools", names, TRANSCRIPT, bound(builder.options.timeout))
    names_read = sorted(read(call.messages))
    steps = {getattr(item, "name", "") for item in builder.cell.items} | _STATE | checks.own(call)
    code = [n for n in names_read if n not in steps and is_code(builder.namespace.get(n))]
    graph = Graph(
        name=f"{builder.options.name or builder.cell.magic}.{call.name}",
        pattern="react",
        nodes=(agent, act),
        links=tuple(turns(cap)),
        results=("agent",),
        inputs=tuple(n for n in names_read if n not in code),
        code=(*code, *names),
        limits=Limits(cap, _TURN * cap, max_tokens=None, deadline=None),
        model=builder.options.model,
        fallback=builder.options.fallback,
    )
    return Sub(call.name, graph, each=call.each, when=call.when, isolated=call.isolated)
