"""%%cascade: the cheapest model answers first; if the answer fails its checks, the next stronger model answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchmagic.graph.builder import GraphBuilder
from orchmagic.graph.model import END, FAIL, Arm, Branch, Call, Code, Edge, Graph, Link, Node
from orchmagic.language import expression
from orchmagic.language.annotations import Output
from orchmagic.language.cell import Cell, Control, Step
from orchmagic.language.magic_line import Option, RunOptions
from orchmagic.language.template import Message
from orchmagic.patterns import Pattern
from orchmagic.patterns._prompts import task
from orchmagic.patterns._roles import call, code, controls, default_step, need, only, row, steps

ANSWER, JUDGE, VERIFIED, ANSWERED = "answer", "judge", "verified", "answered"
_LEAST = 2  # minimum number of models


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Builds a loop: answer, checks, back with the next model. The last model's answer is kept even if it fails."""
    builder = GraphBuilder(cell, options, namespace)
    models = _models(builder)
    verify = controls(builder, "verify", "Write `verify EXPRESSION`")
    if not verify:
        write = (
            "Write `verify` and an expression, such as `verify answer.value in answer.work` or `verify judge >= 0.8`"
        )
        builder.problem(1, "nothing checks the answer of this cascade, so the first model's would always do", write)
    items = steps(builder, (JUDGE, VERIFIED, ANSWERED, *(_check(i) for i in range(len(verify)))))
    step = need(builder, only(builder, items, (ANSWER,)), ANSWER, "the question: `Solve step by step. {{ question }}`")
    if "model" in step.options:
        builder.problem(step.line, "`model=` beside --models", "Leave it out: --models says which model answers when")
    answer = replace(call(builder, builder.step(step)), model=None, ladder=models, isolated=True)
    before = code(builder, [i for i in items if i.line < step.line])
    looks = [replace(n, isolated=True) for n in code(builder, [i for i in items if i.line > step.line])]
    checks = [*looks, *_checks(builder, verify, step, models)]
    passed = [n.name for n in checks if isinstance(n, Code) and n.gate]
    # test this visit's answer first: the checks may still have values of an earlier visit
    verified = Code(VERIFIED, " and ".join([f"{ANSWER} is not None", *passed]), gate=True, verifies=ANSWER)
    answered = Code(ANSWERED, f"{ANSWER} is not None")
    links = [*row([*before, answer]), *_onward(checks), *_ends(builder, models)]
    return builder.build([*before, answer, *checks, verified, answered], links, [ANSWER])


def _models(builder: GraphBuilder) -> tuple[str, ...]:
    models = builder.names("models")
    if len(models) < _LEAST:
        write = "Add --models and names from the cheapest to the strongest: --models small,large"
        builder.problem(1, "a cascade needs at least two models", write)
    return models


def _check(number: int) -> str:
    return f"verify_{number + 1}"


def _checks(builder: GraphBuilder, verify: Sequence[Control], step: Step, models: Sequence[str]) -> list[Node]:
    """Builds a gate per `verify` line, with the judge before its gate. A check that raises counts as failed."""
    nodes: list[Node] = []
    for i, item in enumerate(verify):
        judged = JUDGE in expression.names(item.expression)
        source = item.expression
        if judged:
            if any(n.name == JUDGE for n in nodes):
                builder.problem(item.line, "a second judge", "Put all that the judge should look at into one prompt")
                continue
            nodes.append(_judge(builder, item, step, models))
            # a reply out of range is no probability, so the check fails
            source = f"{JUDGE} is not None and 0 <= {JUDGE} <= 1 and ({source})"
        elif item.messages:
            write = "Compare what the judge says: `verify judge >= 0.8`"
            builder.problem(item.line, "text under `verify`, but its expression asks no judge", write)
        nodes.append(Code(_check(i), source, gate=True, isolated=True))
    return nodes


def _judge(builder: GraphBuilder, item: Control, step: Step, models: Sequence[str]) -> Call:
    """Builds the judge: a call that gives a probability, or None if its reply cannot be parsed.

    Without --judge the second model judges. It is stronger than the first, whose answers it mostly judges (models
    rate their own mistakes as right), and usually cheaper than the last.
    """
    chosen = builder.options.extra.get("judge") or (models[1] if len(models) >= _LEAST else None)
    prompt = item.messages or (Message("user", f"Task:\n{task(step.messages)}\n\nProposed answer:\n{{{{ answer }}}}"),)
    return builder.call(
        replace(default_step(JUDGE), line=item.line),
        messages=(Message("system", _PROBABILITY), *prompt),
        output=Output("value", annotation="float"),
        model=chosen,
        isolated=True,
        role=JUDGE,
    )


def _onward(checks: Sequence[Node]) -> list[Link]:
    """Links the answer to its checks; the first failed check skips the rest."""
    if not checks:
        return [Edge(ANSWER, VERIFIED)]
    there = (Arm(True, checks[0].name), Arm(False, VERIFIED))
    links: list[Link] = [Branch(ANSWER, f"{ANSWER} is not None", there, VERIFIED)]
    for node, following in zip(checks, [*(n.name for n in checks[1:]), VERIFIED], strict=True):
        if isinstance(node, Code) and node.gate and following != VERIFIED:
            links.append(Branch(node.name, node.name, (Arm(True, following),), VERIFIED))
        else:
            links.append(Edge(node.name, following))
    return links


def _ends(builder: GraphBuilder, models: Sequence[str]) -> list[Link]:
    again = Arm(False, ANSWER, min(max(len(models), _LEAST), builder.rounds(_LEAST + len(models))) - 1)
    why = f"none of {', '.join(models)} gave an answer that can be read"
    return [
        Branch(VERIFIED, VERIFIED, (Arm(True, END), again), ANSWERED),
        Branch(ANSWERED, ANSWERED, (Arm(True, END),), FAIL, why),
    ]


_PROBABILITY = (
    "You check answers. Reply with one number: the probability from 0 (surely wrong) to 1 (surely right) that the "
    "proposed answer is right."
)

pattern = Pattern(
    name="cascade",
    summary="The cheapest model answers first. A stronger model is called only if the answer fails its checks.",
    when="Most requests are easy, a few are hard, and a check costs much less than the strong model: code, arithmetic, "
    "extraction, anything with a schema or a test.",
    breaks="Nothing can check the answer, so the cheap model's mistakes pass. Most requests are hard, so each pays for "
    "every model. A judge is less reliable than a test: measure how often it is wrong.",
    dollars=(0.0005, 0.03),
    seconds=(1, 15),
    example="""\
%%cascade solve --models small,large
answer -> work: str, value: int
    Solve step by step. {{ question }}
verify str(answer.value) in answer.work
verify judge >= 0.8
    Question: {{ question }} Proposed: {{ answer.value }}. Probability that it is right?
""",
    build=build,
    controls=("verify",),
    options=(
        Option("--models", "words", "the models that answer, from the cheapest to the strongest", "A,B,…"),
        Option(
            "--judge", "text", "the model that judges for `verify judge …` (default: the second of --models)", "MODEL"
        ),
    ),
)
