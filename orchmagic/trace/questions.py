"""The pending questions of a run to a person, and their order.

A question is identified by its span. Views and commands both use this module, so that an answer goes to the question
that was shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from orchmagic.errors import InputError
from orchmagic.trace.record import Record, Span

_NUMBER = re.compile(r"(?<=[#/.])\d+")


@dataclass(frozen=True, slots=True)
class PendingQuestion:
    """A question that waits for an answer. `choices`: decisions about `value`; empty if any text will do."""

    span: str
    question: str
    choices: tuple[str, ...] = ()
    value: Any = None

    @property
    def node(self) -> str:
        """The node of the outermost graph that asks, or that contains the span that asks."""
        return self.span.partition("#")[0]


def pending_questions(record: Record) -> tuple[PendingQuestion, ...]:
    """Return the pending questions in the order to answer them: by step, visit, item and tool call."""
    order = {name: i for i, (name, _) in enumerate(record.picture.nodes)}
    waiting = [s for s in record.spans if s.status == "waiting" and s.asked]
    return tuple(_question(s) for s in sorted(waiting, key=lambda s: _position(s.id, order)))


def question_to_answer(record: Record, span: str | None = None) -> PendingQuestion:
    """Return the pending question of `span`, or the first one if `span` is None.

    Raises:
        InputError: the question is not pending, or none is.
    """
    waiting = pending_questions(record)
    found = next((q for q in waiting if span in {None, q.span}), None)
    if found is not None:
        return found
    if not waiting:
        raise InputError(f"run {record.run} does not wait for a person")
    raise InputError(
        f"the question of {span} in run {record.run} does not wait any more, and nothing was answered: it waits with "
        f"that of {', '.join(q.span for q in waiting)}, see %orch show {record.run}"
    )


def answer_target(record: Record, question: PendingQuestion) -> str:
    """Return how a command names the question: its run, with its span if several are pending (`r7:act#1.2`)."""
    return record.run if len(pending_questions(record)) == 1 else f"{record.run}:{question.span}"


def _question(span: Span) -> PendingQuestion:
    asked = span.asked
    return PendingQuestion(span.id, asked["question"], tuple(asked["choices"]), asked["value"])


def _position(span: str, order: dict[str, int]) -> tuple[int, tuple[int, ...]]:
    """Sort key of a span; numbers compare as numbers: `each#1/10` comes after `each#1/9`."""
    return order.get(span.partition("#")[0], len(order)), tuple(map(int, _NUMBER.findall(span)))
