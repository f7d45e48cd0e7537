"""%%refine: generates, scores against criteria, retries with the feedback; the best round is the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchmagic.graph.builder import GraphBuilder
from orchmagic.graph.checks import reads
from orchmagic.graph.model import CAP, END, Arm, Branch, Call, Code, Graph, Node, Sub
from orchmagic.language.annotations import Field, Output
from orchmagic.language.cell import Cell, CodeStep, Control, Step
from orchmagic.language.expression import names
from orchmagic.language.magic_line import RunOptions
from orchmagic.language.template import Message
from orchmagic.patterns import Pattern
from orchmagic.patterns._prompts import append_context, task
from orchmagic.patterns._roles import controls, default_step, output_fields, row, steps

GENERATE, EVALUATE, ROUNDS, BEST = "generate", "evaluate", "rounds", "best"


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Builds a loop from `generate` to `best`, with the steps between generate and evaluate (such as a test run)."""
    builder = GraphBuilder(cell, options, namespace)
    until = _until(builder)
    _check_evaluator(builder, until)
    limit = (until.maximum if until else None) or builder.limits.max_iterations
    nodes = _nodes(builder)
    _check_unread(builder, nodes, until)
    made, evaluate = (next(n for n in nodes if n.name == name) for name in (GENERATE, EVALUATE))
    met = until.expression if until else "True"
    score = _score(builder, evaluate, met)
    entry = f'"round": len({ROUNDS} or []) + 1, "score": {score}, "met": bool({met}), "value": {GENERATE}'
    rounds = Code(ROUNDS, f"[*({ROUNDS} or []), {{{entry}}}]")
    # of equal scores take the latest: it had the most feedback
    like = GENERATE if isinstance(made, Call) and made.each is None else None  # values of an inner graph are plain JSON
    best = Code(BEST, 'max(reversed(rounds), key=lambda r: (r["met"], r["score"]))["value"]', like=like)
    nodes += [rounds, best]
    why = f"{limit} round{'s were' if limit > 1 else ' was'} not enough; the best one is the result"
    end = Branch(BEST, 'rounds[-1]["met"]', (Arm(True, END), Arm(False, GENERATE, limit - 1)), CAP, why)
    return builder.build(nodes, [*row(nodes), end], [GENERATE, BEST])


def _until(builder: GraphBuilder) -> Control | None:
    lines = controls(builder, "until", "Write `until evaluate.score >= 8 max 4`")
    if not lines:
        builder.problem(1, "the cell has no `until` line", "Write when it is good: `until evaluate.score >= 8 max 4`")
    for more in lines[1:]:
        builder.problem(more.line, "a second `until` line", "Join both with `and`")
    return lines[0] if lines else None


def _check_evaluator(builder: GraphBuilder, until: Control | None) -> None:
    """Reports an `until` that reads other steps only: `evaluate` would be a call that nothing needs."""
    written = [item.name for item in builder.cell.items if not isinstance(item, Control)]
    if until is None or EVALUATE in written:
        return
    read = [name for name in written if name != GENERATE and name in names(until.expression)]
    if read and EVALUATE not in names(until.expression):
        found = f"`until` reads {read[0]!r}, but the step that scores is `{EVALUATE}`, which the cell does not have"
        builder.problem(until.line, found, f"Call that step `{EVALUATE}`, or write `{EVALUATE}` and read it too")


def _check_unread(builder: GraphBuilder, nodes: Sequence[Node], until: Control | None) -> None:
    """Reports a step that nothing reads where `until` reads an `evaluate` that is added: both would be paid."""
    written = {item.name: item.line for item in builder.cell.items if not isinstance(item, Control)}
    if EVALUATE in written:
        return
    read = frozenset().union(*map(reads, nodes), names(until.expression) if until else ()) | {GENERATE}
    for name in (n for n in written if n not in read):
        found = f"nothing reads {name!r}: `until` reads `{EVALUATE}`, a step that would be added"
        builder.problem(written[name], found, f"Call this step `{EVALUATE}`, or read it")


def _nodes(builder: GraphBuilder) -> list[Node]:
    """Builds the nodes in order: `generate` reads the last feedback, `evaluate` gives a score."""
    items = steps(builder, (ROUNDS, BEST))
    called = [item.name for item in items]
    if GENERATE not in called:
        builder.problem(1, "the cell has no step 'generate'", "Write `generate` and, indented below it, what to make")
        items, called = [default_step(GENERATE), *items], [GENERATE, *called]
    if EVALUATE not in called:
        items, called = [*items, default_step(EVALUATE)], [*called, EVALUATE]
    at = called.index(EVALUATE)
    if at < called.index(GENERATE) or at + 1 < len(called):
        write = "Write generate, then what evaluate needs, then evaluate"
        builder.problem(items[at].line, "`evaluate` is not the last step", write)
    made = items[called.index(GENERATE)]
    return [_node(builder, item, made) for item in items]


def _node(builder: GraphBuilder, item: Step | CodeStep, made: Step | CodeStep) -> Node:
    if isinstance(item, CodeStep):
        return builder.code(item)
    settings: dict[str, Any] = {}
    if item.name == EVALUATE and "run" not in item.options and not item.messages:
        question = f"Task:\n{task(made.messages)}\n\n" if isinstance(made, Step) and made.messages else ""
        score = Output("fields", (Field("score", "float"), Field("feedback", "str")))
        messages = (Message("system", _JUDGE), Message("user", f"{question}Answer:\n{{{{ generate }}}}"))
        settings = {"messages": messages, "output": item.output or score}
    node = builder.step(item, **settings)
    if item.name == EVALUATE and node.each is not None:
        builder.problem(item.line, "`over=` of `evaluate`", "Leave it out: a round has one score")
    if item.name == GENERATE and isinstance(node, Call):
        return replace(node, messages=append_context(node.messages, (EVALUATE,), _AGAIN))
    return node


def _score(builder: GraphBuilder, node: Node, met: str) -> str:
    """Returns the expression of the score: the field `score`, else the first number, else the condition `met`."""
    if isinstance(node, Sub):
        last = node.graph.node(node.graph.results[-1])
        known = isinstance(last, Call)
        return _score(builder, replace(last, name=node.name), met) if known else 'getattr(evaluate, "score")'
    if not isinstance(node, Call):  # a function of the notebook: a number, or a dict that holds it
        return '(evaluate["score"] if isinstance(evaluate, dict) else evaluate)'
    fields = output_fields(builder, node, _is_number)
    if fields is None:
        return "0"
    if not fields:
        return f"int(bool({met}))"
    return f"{EVALUATE}.score" if f"{EVALUATE}.score" in fields else fields[0]


def _is_number(schema: Mapping[str, Any]) -> bool:
    several = schema.get("anyOf", ())
    return schema.get("type") in {"number", "integer"} or (bool(several) and all(map(_is_number, several)))


_AGAIN = """\
{% if evaluate %}

Your last answer:
{{ generate }}

It was judged:
{{ evaluate }}

Write a better one.{% endif %}"""
_JUDGE = (
    "Judge the answer to a task. Give a score from 0 (useless) to 10 (nothing to improve); be strict, most answers are "
    "worth 4 to 7. Say in the feedback what to change to gain the most."
)

pattern = Pattern(
    name="refine",
    summary="Generates an answer, scores it and tries again with the feedback until it is good enough. The best round "
    "is the result.",
    when="There are clear criteria, and feedback makes the answer measurably better: texts, translations, code with "
    "tests (`tests = run_tests(generate)` between generate and evaluate).",
    breaks="The score is vague, or the evaluator is as weak as the generator and rewards what sounds good. Every round "
    "costs two calls. The first answer is usually good enough (use %%cascade or a gate).",
    dollars=(0.005, 0.1),
    seconds=(4, 40),
    example="""\
%%refine tagline
generate(temperature=0.9)
    A tagline for {{ product }}. {% if evaluate %}Improve on: {{ evaluate.feedback }}{% endif %}
evaluate -> score: float, feedback: str
    Score from 0 to 10: {{ generate }}
until evaluate.score >= 8 max 4
""",
    build=build,
    controls=("until",),
)
