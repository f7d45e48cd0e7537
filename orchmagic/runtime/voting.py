"""Calls the model several times with one prompt; the most frequent value wins (majority vote)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from orchmagic.core.portable import count_votes
from orchmagic.errors import ending
from orchmagic.graph.model import Votes
from orchmagic.models import images
from orchmagic.runtime.call_node import CallPrompt, ask
from orchmagic.runtime.context import Context, failure_recorded
from orchmagic.trace.events import Decided, NodeFinished, NodeStarted
from orchmagic.trace.reasons import AGREEMENT, Reason


async def vote(prompt: CallPrompt, votes: Votes, ctx: Context) -> Any:
    """Returns the winning value as JSON with agreement, dissent, tie and decided.

    Raises:
        OrchError: all votes failed; this is the first error.
    """
    ballots = [_ballot(prompt, i, ctx) for i in range(1, votes.count + 1)]
    outcomes = await asyncio.gather(*ballots, return_exceptions=True)
    errors = [o for o in outcomes if isinstance(o, BaseException)]
    if stop := ending(errors) or (errors[0] if len(errors) == len(outcomes) else None):
        raise stop
    given = [o for o in outcomes if not isinstance(o, BaseException)]
    winner, outcome = count_votes(given, votes.count, votes.by)
    agreement = outcome["agreement"]
    decided = agreement >= votes.least
    judge = "" if decided else next(iter(ctx.defaults.fallbacks(prompt.node)), "")
    if judge:
        winner = await _ballot(replace(prompt, model=judge), votes.count + 1, ctx)
    reason = Reason(
        "decision",
        cause="votes",
        used=round(agreement * votes.count),
        among=votes.count,
        tie=outcome["tie"],
        limit=0 if decided else votes.least,
        source=judge,
    )
    decided = decided or bool(judge)
    choice = _shown(winner, votes)
    ctx.emit(Decided(span=prompt.span, choice=choice, reason=reason, confidence=agreement, basis=AGREEMENT))
    return {**(winner if prompt.node.output.kind == "fields" else {"value": winner}), **outcome, "decided": decided}


async def _ballot(prompt: CallPrompt, number: int, ctx: Context) -> Any:
    span = f"{prompt.span}/v{number}"
    ctx.emit(NodeStarted(span=span, node=prompt.node.name, kind="vote", input=images.describe_images(prompt.messages)))
    with failure_recorded(span, ctx):
        reply = await ask(replace(prompt, span=span, vote=number), ctx)
    ctx.emit(NodeFinished(span=span, output=reply.value))
    return reply.value


def _shown(winner: Any, votes: Votes) -> str:
    value = winner[votes.by] if votes.by else winner
    return value if isinstance(value, str) else json.dumps(value)
