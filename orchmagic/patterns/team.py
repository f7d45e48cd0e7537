"""%%team: a supervisor assigns each task to one of several agents; all results go to one shared workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchmagic.graph.builder import GraphBuilder, literal
from orchmagic.graph.model import CAP, END, Arm, Branch, Call, Code, Edge, Graph, Link, Sub
from orchmagic.language.annotations import Field, Output
from orchmagic.language.cell import Cell, CodeStep, Step
from orchmagic.language.magic_line import Option, RunOptions
from orchmagic.language.step_options import STEP_OPTIONS, StepOption, words
from orchmagic.language.template import Message
from orchmagic.patterns import Pattern
from orchmagic.patterns._agent import as_agent, check
from orchmagic.patterns._prompts import append_context, read
from orchmagic.patterns._roles import bind_input, call, code, controls, default_step, row, steps

SUPERVISOR, WORKSPACE, LATEST, ANSWER, FINISH = "supervisor", "workspace", "latest", "answer", "finish"
_TURNS = 10
_TOOLS = StepOption(
    "tools", words, "one or more functions", "[search, fetch]", "notebook functions that the agent may call"
)


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Builds the loop: supervisor, the agent it names, and back, until it finishes or the turns are used up."""
    builder = GraphBuilder(cell, options, namespace)
    controls(builder, None, "Write agents: `researcher(tools=search): finds facts` and a prompt below")
    items = steps(builder, (WORKSPACE, LATEST, ANSWER, FINISH))
    before = code(builder, [i for i in items if i.name != SUPERVISOR])
    if any(isinstance(i, CodeStep) and i.name == SUPERVISOR for i in items):
        builder.problem(1, "'supervisor' is a prompt in %%team", "Write `supervisor` and the goal below it, indented")
    members = [i for i in items if isinstance(i, Step) and i.name != SUPERVISOR]
    lead = next((i for i in items if isinstance(i, Step) and i.name == SUPERVISOR), default_step(SUPERVISOR))
    if not members:
        builder.problem(1, "a team needs agents", "Write `writer: writes and revises the copy` and a prompt below")
    agents = [_agent(builder, step) for step in members]
    boss = _supervisor(builder, lead, members)
    values = ", ".join(f'"{m.name}": {m.name}' for m in members)
    latest = Code(LATEST, f"{{{values}}}[{SUPERVISOR}.next]")
    error = f"errors.get({SUPERVISOR}.next) if {LATEST} is None else None"
    turn = f'"agent": {SUPERVISOR}.next, "task": {SUPERVISOR}.task, "result": {LATEST}, "error": {error}'
    workspace = Code(WORKSPACE, f"[*({WORKSPACE} or []), {{{turn}}}]")
    answer = Code(ANSWER, f"{SUPERVISOR}.answer or {LATEST}")
    links = [*row([*before, boss]), *_links(members, builder.number("max_turns", builder.rounds(_TURNS)))]
    return builder.build([*before, boss, *agents, latest, workspace, answer], links, [WORKSPACE, LATEST, ANSWER])


def _agent(builder: GraphBuilder, step: Step) -> Call | Sub:
    """Builds an agent: a prompt, a prompt with tools, or another orchestration. The supervisor reads its errors."""
    if "run" in step.options:
        node = builder.step(step, also=(_TOOLS,))
        if isinstance(node, Sub):
            node = bind_input(builder, node, "task", f"{SUPERVISOR}.task", (WORKSPACE,), step.line)
        return replace(node, isolated=True)
    node = replace(builder.step(step, also=(_TOOLS,), messages=_briefing(step)), isolated=True)
    names = _TOOLS.value_in(step.options)
    if names is None:
        return node
    return as_agent(builder, call(builder, node), check(builder, names, step.line, "tools="))


def _briefing(step: Step) -> tuple[Message, ...]:
    """Builds the prompt of an agent: its role and its current task."""
    briefing = step.messages or (
        Message("system", literal(f"You are the {step.name}: {step.description or step.name}")),
    )
    if len(briefing) == 1:
        briefing = (replace(briefing[0], role="system"),)
    return briefing if SUPERVISOR in read(briefing) else (*briefing, Message("user", _TASK))


def _supervisor(builder: GraphBuilder, step: Step, members: Sequence[Step]) -> Call:
    labels = [*(m.name for m in members), FINISH]
    own = (
        Field("next", f"Literal[{', '.join(map(repr, labels))}]"),
        Field("task", "str"),
        Field("answer", "str"),
    )
    if step.output and step.output.kind != "fields":
        builder.problem(
            step.line, "the supervisor returns named outputs", "Write `supervisor -> why: str`, or no arrow"
        )
    names = {f.name for f in own}
    more = tuple(f for f in step.output.fields if f.name not in names) if step.output else ()
    team = "\n".join(f"- {m.name}: {m.description or m.name}" for m in members)
    goal = step.messages or _goal(builder, members)
    messages = (Message("system", literal(_LEAD.format(team=team))), *append_context(goal, (WORKSPACE,), _SO_FAR))
    return call(builder, builder.step(step, messages=messages, output=Output("fields", (*more, *own)), role=SUPERVISOR))


def _goal(builder: GraphBuilder, members: Sequence[Step]) -> tuple[Message, ...]:
    """The default prompt of a supervisor: the variables that its agents read."""
    names = sorted(read([m for step in members for m in step.messages]) - {SUPERVISOR, WORKSPACE})
    if not names:
        builder.problem(
            1, "the supervisor has no goal", "Write `supervisor` and, indented below it, `Goal: {{ brief }}`"
        )
    return (Message("user", "\n".join(f"{{{{ {n} }}}}" for n in names)),)


def _links(members: Sequence[Step], turns: int) -> list[Link]:
    arms = (*(Arm(m.name, m.name, turns) for m in members), Arm(FINISH, ANSWER))
    why = f"{turns} turns were not enough; the last result is kept"
    links: list[Link] = [Branch(SUPERVISOR, f"{SUPERVISOR}.next", arms, CAP, why)]
    links += [Edge(m.name, LATEST) for m in members]
    return [*links, Edge(LATEST, WORKSPACE), Edge(WORKSPACE, SUPERVISOR), Edge(ANSWER, END)]


_LEAD = """\
You lead a team towards a goal. Each turn, name in `next` who works now, and in `task` exactly what to do: the agent \
sees your task and the workspace. Where `error` says why an agent failed, give the task to another, or change it. \
When the goal is reached, or nobody can come nearer to it, choose finish and write the whole result in `answer` \
(empty: the last result in the workspace is the answer).
Your team:
{team}"""
_SO_FAR = "\n\nWorkspace, oldest turn first:\n{{ workspace or [] }}"
_TASK = (
    "{{ supervisor.task }}{% if workspace %}\n\nWorkspace of the team, oldest turn first:\n{{ workspace }}{% endif %}"
)

pattern = Pattern(
    name="team",
    summary="A supervisor gives tasks to agents with their own prompts, models and tools. They share one workspace.",
    when="The work needs different skills or tools, the order depends on earlier results, and no agent should have the "
    "tools of another.",
    breaks="The order is known: use %%chain or %%plan. Fixed roles (thinker, worker, verifier) are a %%plan with three "
    "models: `plan(model=…)` thinks, `execute(model=…)` works, `reflect(model=…)` verifies and sends work back. The "
    "workspace grows with every turn, and all of it is sent each time.",
    dollars=(0.02, 1.0),
    seconds=(10, 120),
    example="""\
%%team launch --max-turns 10
supervisor
    Goal: {{ brief }}
researcher(tools=search): finds and checks facts
    You research. Cite sources.
writer: writes and revises the copy
    You write plainly.
""",
    build=build,
    step_options=(*STEP_OPTIONS, _TOOLS),
    options=(Option("--max-turns", "int", "most turns of all agents together (default 10)", least=1),),
)
