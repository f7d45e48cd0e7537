"""The same question several times, each vote an answer of its own; the value that most votes have wins."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from orchmagic.core.portable import count_votes
from orchmagic.errors import BudgetExceeded, error_kind
from orchmagic.graph.model import Votes
from orchmagic.models import images
from orchmagic.runtime.call_node import CallPrompt, ask
from orchmagic.runtime.context import Context
from orchmagic.trace.events import Decided, NodeFailed, NodeFinished, NodeStarted
from orchmagic.trace.reasons import AGREEMENT, Reason


async def vote(asked: CallPrompt, votes: Votes, ctx: Context) -> Any:
    """The outcome as JSON: the winner with agreement, dissent, tie and decided.

    Raises:
        OrchError: not one vote was given; the first failure.
    """
    ballots = [_ballot(asked, i, ctx) for i in range(1, votes.count + 1)]
    found = await asyncio.gather(*ballots, return_exceptions=True)
    if stop := next((f for f in found if isinstance(f, BaseException) and not isinstance(f, Exception)), None):
        raise stop
    if limit := next((f for f in found if isinstance(f, BudgetExceeded)), None):
        raise limit
    given = [f for f in found if not isinstance(f, BaseException)]
    if not given:
        raise next(f for f in found if isinstance(f, BaseException))
    winner, told = count_votes(given, votes.count, votes.by)
    agreement = told["agreement"]
    decided = agreement >= votes.least
    judge = "" if decided else _judge(asked, ctx) or ""
    if judge:
        winner = await _ballot(replace(asked, model=judge), votes.count + 1, ctx)
    reason = Reason(
        "decision",
        cause="votes",
        used=round(agreement * votes.count),
        among=votes.count,
        tie=told["tie"],
        limit=0 if decided else votes.least,
        source=judge,
    )
    decided = decided or bool(judge)
    choice, sure = _shown(winner, votes), agreement
    ctx.emit(Decided(span=asked.span, choice=choice, reason=reason, confidence=sure, basis=AGREEMENT))
    return {**(winner if asked.node.output.kind == "fields" else {"value": winner}), **told, "decided": decided}


async def _ballot(asked: CallPrompt, number: int, ctx: Context) -> Any:
    span = f"{asked.span}/v{number}"
    ctx.emit(NodeStarted(span=span, node=asked.node.name, kind="vote", input=images.describe_images(asked.messages)))
    try:
        answer = await ask(replace(asked, span=span, vote=number), ctx)
    except Exception as error:
        ctx.emit(NodeFailed(span=span, error=str(error), error_kind=error_kind(error)))
        raise
    ctx.emit(NodeFinished(span=span, output=answer.value))
    return answer.value


def _judge(asked: CallPrompt, ctx: Context) -> str | None:
    return next(iter(ctx.defaults.fallbacks(asked.node)), None)


def _shown(winner: Any, votes: Votes) -> str:
    value = winner[votes.by] if votes.by else winner
    return value if isinstance(value, str) else json.dumps(value)
