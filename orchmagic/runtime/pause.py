"""Validates a person's answer against its question."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

from orchmagic.errors import InputError, OrchError
from orchmagic.graph import tool_schema
from orchmagic.graph.model import Approve, Node, Sub, Tools
from orchmagic.graph.value_types import ValueTypes
from orchmagic.runtime.context import Context
from orchmagic.runtime.json_state import as_json
from orchmagic.trace.decisions import DECISIONS, EDIT
from orchmagic.trace.questions import PendingQuestion


def checked_reply(reply: object, question: PendingQuestion, ctx: Context, run: str) -> Any:
    """Returns the reply as JSON in the form of the question of `run`: an answer, or `{"action": …}`.

    Raises:
        InputError: the reply has another form; the run still waits.
    """
    if reply is None:
        raise InputError(f"an answer is missing: {question.question} Write run.resume(answer)")
    if not question.choices:
        if _decides(reply):  # an approval, which is no answer to a free question
            raise InputError(f"{run} asks for an answer: write %orch resume {run} YOUR ANSWER, or run.resume(answer)")
        return as_json(reply, "answer")
    decision = {"action": reply} if isinstance(reply, str) else reply
    action = decision.get("action") if isinstance(decision, dict) else None
    if action not in question.choices or not isinstance(decision, dict):
        raise InputError(f"{reply!r} is no answer: write run.approve(), run.edit(value) or run.reject(why)")
    if action == EDIT:
        decision = {**decision, "value": _edited(decision, question, ctx)}
    return as_json(decision, "answer")


def _decides(reply: object) -> TypeGuard[dict[str, Any]]:
    """Whether the reply has the form that Approve, Edit and Reject send."""
    return isinstance(reply, dict) and reply.get("action") in DECISIONS and reply.keys() <= {"action", "value", "why"}


def _edited(reply: dict[str, Any], question: PendingQuestion, ctx: Context) -> Any:
    """The edited value as JSON: a tool's arguments, or the new value of a step."""
    if "value" not in reply:
        raise InputError("an edit needs a value: write run.edit(value)")
    value = as_json(reply["value"], "value")
    node, kinds = _asking_node(question.span, ctx)
    try:
        if isinstance(node, Tools):
            return _arguments(value, question, ctx)
        if isinstance(node, Approve) and node.subject:
            kinds.accept(node.subject, value, question.value)
    except (OrchError, ValueError) as error:
        what = f"{question.value['tool']!r}" if isinstance(node, Tools) else repr(getattr(node, "subject", ""))
        raise InputError(f"the edit does not fit {what}: {' '.join(str(error).split())}") from None
    return value


def _asking_node(span: str, ctx: Context) -> tuple[Node | None, ValueTypes]:
    """The node that asks, at any depth ("each#1/3/tools#1.2"), and the value types of its graph."""
    graph, kinds, node = ctx.graph, ctx.kinds, None
    for part in span.split("/"):
        name, visit, _ = part.partition("#")
        if visit:  # else the part is the number of an item
            node = graph.node(name)
        if visit and isinstance(node, Sub):
            graph, kinds = node.graph, kinds.inner[name]
    return node, kinds


def _arguments(value: Any, question: PendingQuestion, ctx: Context) -> Any:
    """The tool's arguments, also if the person returned the whole displayed value."""
    name = question.value["tool"]
    if isinstance(value, dict) and value.keys() == question.value.keys() and value["tool"] == name:
        value = value["arguments"]
    tool_schema.tool(name, ctx.namespace[name]).read(json.dumps(value))  # type: ignore[arg-type]  # checked when the cell was read
    return value
