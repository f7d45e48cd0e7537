"""What a run asks a person: its pending questions and their order.

Each pending question is named by its span. Who shows a question and who answers one look it up here, so that what is
answered is what was shown.
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
    """A question that waits. `choices` are the decisions about a `value`; empty: any answer will do."""

    span: str
    question: str
    choices: tuple[str, ...] = ()
    value: Any = None

    @property
    def node(self) -> str:
        """The node of the outermost graph that asks, itself or by what runs inside it."""
        return self.span.partition("#")[0]


def pending_questions(record: Record) -> tuple[PendingQuestion, ...]:
    """The questions that a run waits with, the first to be answered first: by step, visit, item and tool call."""
    order = {name: i for i, (name, _) in enumerate(record.picture.nodes)}
    waiting = [s for s in record.spans if s.status == "waiting" and s.asked]
    return tuple(_question(s) for s in sorted(waiting, key=lambda s: _position(s.id, order)))


def question_to_answer(record: Record, span: str | None = None) -> PendingQuestion:
    """The question that an answer is for: the one of `span`, else the first that waits.

    Raises:
        InputError: that question does not wait, or none does.
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
    """How a command names the question: by its run alone, or with its span where several wait (`r7:act#1.2`)."""
    return record.run if len(pending_questions(record)) == 1 else f"{record.run}:{question.span}"


def _question(span: Span) -> PendingQuestion:
    asked = span.asked
    return PendingQuestion(span.id, asked["question"], tuple(asked["choices"]), asked["value"])


def _position(span: str, order: dict[str, int]) -> tuple[int, tuple[int, ...]]:
    """Spans count from 1 wherever they stand: `each#1/10` comes after `each#1/9`."""
    return order.get(span.partition("#")[0], len(order)), tuple(map(int, _NUMBER.findall(span)))
