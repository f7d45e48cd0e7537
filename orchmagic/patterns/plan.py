"""%%plan: plans typed steps, runs independent ones concurrently, checks the results, revises the plan; bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchmagic.core.text_format import counted
from orchmagic.graph.builder import GraphBuilder
from orchmagic.graph.model import CAP, END, FAIL, Arm, Branch, Call, Code, Each, Edge, Graph, Link, Node, Sub
from orchmagic.language.annotations import Field, Output
from orchmagic.language.cell import Cell, Step
from orchmagic.language.magic_line import Option, RunOptions
from orchmagic.language.template import Message
from orchmagic.patterns import Pattern
from orchmagic.patterns._agent import as_agent, check
from orchmagic.patterns._prompts import append_context, task
from orchmagic.patterns._roles import (
    bind_input,
    call,
    code,
    controls,
    default_step,
    need,
    only,
    output_fields,
    row,
    steps,
)

PLAN, EXECUTE, REFLECT, ANSWER = "plan", "execute", "reflect", "answer"
WAVE, RESULTS, REVISE = "wave", "results", "revise"
_REPLANS, _TASKS = 2, 16


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Builds the loops: plan, waves of execute until no step is left; `revise` goes back to plan with feedback."""
    builder = GraphBuilder(cell, options, namespace)
    controls(builder, None, "Write the steps plan, execute, reflect and answer")
    items = steps(builder, (WAVE, RESULTS, REVISE, "ready", "flaws"))
    roles = only(builder, items, (PLAN, EXECUTE, REFLECT, ANSWER))
    goal = need(builder, roles, PLAN, "the goal: `Break the goal into at most 6 steps: {{ goal }}`")
    planner = _planner(builder, goal)
    reflect = _reflect(builder, roles[REFLECT], goal) if REFLECT in roles else None
    shape = _Shape(
        steps=_field(builder, planner, "array", "steps", "plan -> steps: list[str]"),
        good=_field(builder, reflect, "boolean", "ok", "reflect -> ok: bool, feedback: str") if reflect else "",
        feedback=_feedback(reflect) if reflect else "",
        answers=ANSWER in roles,
        replans=builder.number("max_replans", builder.rounds(_REPLANS + 1) - 1),
        tasks=builder.number("max_tasks", _TASKS),
        parallel=bool(builder.options.extra.get("parallel")),
    )
    before = code(builder, items)
    nodes = [*before, planner, shape.wave, _execute(builder, roles, shape.steps), shape.results]
    nodes += [reflect, shape.revise] if reflect else [shape.revise]
    nodes += [_answer(builder, roles[ANSWER], goal)] if shape.answers else []
    links = [*row([*before, planner]), *shape.links()]
    return builder.build(nodes, links, [RESULTS, ANSWER] if shape.answers else [RESULTS])


@dataclass(frozen=True)
class _Shape:
    """The parameters of the links: expressions of the plan's steps and of the verdict, and the limits."""

    steps: str
    good: str
    feedback: str
    answers: bool
    replans: int
    tasks: int
    parallel: bool

    @property
    def ready(self) -> str:
        """The expression of the step numbers to run next; ignores results of an earlier plan."""
        return f'ready({self.steps}, {RESULTS}, visits["{PLAN}"]{", parallel=True" if self.parallel else ""})'

    @property
    def wave(self) -> Code:
        return Code(WAVE, self.ready)

    @property
    def results(self) -> Code:
        entry = f'{{"round": visits["{PLAN}"], "number": n, "step": {self.steps}[n - 1], "result": result}}'
        pairs = f"zip({WAVE}, {EXECUTE} or [None] * len({WAVE}), strict=True)"
        return Code(RESULTS, f"[*({RESULTS} or []), *({entry} for n, result in {pairs})]")

    @property
    def revise(self) -> Code:
        """The node that gives the planner the reason for a revision."""
        return Code(REVISE, f'flaws({self.steps}, {RESULTS}, visits["{PLAN}"], errors.get("{EXECUTE}")){self.feedback}')

    def links(self) -> list[Link]:
        """The loops, each with its limit."""
        done = ANSWER if self.answers else END
        end = REFLECT if self.good else done
        many = f"{counted(self.replans, 'revision')} of the plan were not enough"
        why = many if self.replans else "the plan would have to be revised, and --max-replans is 0"
        most, waves = f"the plan has more than {self.tasks} steps (--max-tasks)", self.tasks * (self.replans + 1)
        begin = f'"done" if {RESULTS} and not {self.steps} else "next" if len({self.steps}) <= {self.tasks} else "more"'
        onward = f'"failed" if None in ({EXECUTE} or [None]) else "next" if {self.ready} else "done"'
        arms = (Arm("failed", REVISE), Arm("next", WAVE, waves), Arm("done", end))
        links: list[Link] = [
            Branch(PLAN, begin, (Arm("next", WAVE), Arm("done", end)), CAP, most),
            Branch(WAVE, f"bool({WAVE})", (Arm(True, EXECUTE), Arm(False, REVISE)), REVISE),
            Edge(EXECUTE, RESULTS),
            Branch(RESULTS, onward, arms, CAP, f"{waves} waves of steps were not enough"),
            Branch(REVISE, f"bool({REVISE})", (Arm(True, PLAN, self.replans),), CAP, why),
        ]
        if self.good:
            links.append(Branch(REFLECT, self.good, (Arm(True, done), Arm(False, REVISE)), FAIL))
        return [*links, Edge(ANSWER, END)] if self.answers else links


def _planner(builder: GraphBuilder, goal: Step) -> Call:
    listed = Output("fields", (Field("steps", "list[str]"),))
    planner = call(builder, builder.step(goal, output=goal.output or listed))
    return replace(planner, messages=append_context(planner.messages, (RESULTS, REVISE, REFLECT), _AGAIN))


def _field(builder: GraphBuilder, node: Call, kind: str, usual: str, write: str) -> str:
    """Returns the expression of the output field with JSON type `kind`: the field `usual`, else the first."""
    fields = output_fields(builder, node, lambda schema: schema.get("type") == kind)
    if fields is None:
        return node.name
    if not fields:
        what = "list of steps" if kind == "array" else "verdict (a bool)"
        line = next((i.line for i in builder.cell.items if getattr(i, "name", "") == node.name), 1)
        builder.problem(line, f"{node.name!r} returns no {what}", f"Write `{write}`")
        return node.name
    return f"{node.name}.{usual}" if f"{node.name}.{usual}" in fields else fields[0]


def _execute(builder: GraphBuilder, roles: Mapping[str, Step], written: str) -> Node:
    """Builds the node that runs once per step of the wave; a failed step does not stop the others."""
    item = roles.get(EXECUTE, default_step(EXECUTE))
    each = Each(f"[{written}[n - 1] for n in {WAVE}]", "step")
    settings: dict[str, Any] = {} if item.messages or "run" in item.options else {"messages": _DO}
    node = builder.step(item, **settings)
    if isinstance(node, Sub):
        node = bind_input(builder, node, "step", "step", (RESULTS,), item.line)
    if node.each is not None:
        builder.problem(item.line, "`over=` of `execute`", "Leave it out: execute runs once for each step of the plan")
    node = replace(node, each=each, isolated=True)
    if isinstance(node, Call):
        node = replace(node, messages=append_context(node.messages, ("step",), "\n\nStep: {{ step }}"))
    if not (names := builder.names("tools")):
        return node
    return as_agent(builder, call(builder, node), check(builder, names, 1, "--tools"))


def _reflect(builder: GraphBuilder, step: Step, goal: Step) -> Call:
    verdict = Output("fields", (Field("ok", "bool"), Field("feedback", "str")))
    messages = step.messages or (Message("user", _about(goal, _CHECK)),)
    return call(builder, builder.step(step, messages=messages, output=step.output or verdict))


def _feedback(reflect: Call) -> str:
    named = any(f.name == "feedback" for f in reflect.output.fields)
    return (f" or {REFLECT}.feedback" if named else "") + ' or "the results are not good enough yet"'


def _answer(builder: GraphBuilder, step: Step, goal: Step) -> Node:
    messages = step.messages or (Message("user", _about(goal, _WRITE)),)
    settings: dict[str, Any] = {} if "run" in step.options else {"messages": messages}
    return builder.step(step, **settings)


def _about(goal: Step, text: str) -> str:
    return f"Task:\n{task(goal.messages)}\n\nResults of its steps:\n{{{{ results }}}}\n\n{text}"


_AGAIN = """\
{% if revise %}

An earlier plan was carried out. Results (a result of null: the step failed):
{{ results or [] }}
It must be revised: {{ revise }}
Plan only what is still to do.{% endif %}"""
_DO = (
    Message("system", "You carry out one step of a larger plan. Answer with the result of this step, nothing else."),
    Message("user", "Step: {{ step }}{% if results %}\n\nResults so far:\n{{ results }}{% endif %}"),
)
_CHECK = "Is the task complete, and is all of it supported by the results? If not, say in the feedback what is missing."
_WRITE = "Carry out the task with these results. Use nothing that they do not support."

pattern = Pattern(
    name="plan",
    summary="A model plans typed steps. They are executed, independent ones at the same time. The results are checked, "
    "and the plan is revised if needed.",
    when="The steps depend on the input, so a model must plan them. For orchestrator and workers add --parallel; for "
    "thinker, worker and verifier give plan, execute and reflect a model each.",
    breaks="The steps are always the same (use %%chain). The planner is weak: give it the strongest model, and execute "
    "a cheaper one. Each revision costs a new plan and its steps. All results are sent with every step.",
    dollars=(0.05, 1.5),
    seconds=(5, 90),
    example="""\
%%plan report --tools search --max-steps 30 --max-replans 2 --deadline 90s
plan -> steps: list[str]
    Break the goal into at most 6 steps: {{ goal }}
execute
    Do this step: {{ step }}. Results so far: {{ results }}
reflect -> ok: bool, feedback: str
    Goal: {{ goal }}. Results: {{ results }}. Complete and supported?
""",
    build=build,
    options=(
        Option("--tools", "words", "notebook functions that execute may call", "F,G"),
        Option("--parallel", "flag", "all steps at once, unless a step names in `after` what it waits for"),
        Option("--max-replans", "int", "how often the plan may be revised (default 2)"),
        Option("--max-tasks", "int", "most steps of one plan (default 16)", least=1),
    ),
)
