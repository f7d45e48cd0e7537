"""The same question several times, each vote an answer of its own; the value that most votes have wins."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchmagic.errors import BudgetExceeded, error_kind
from orchmagic.graph.model import Votes
from orchmagic.models import images
from orchmagic.runtime.call_node import CallPrompt, ask
from orchmagic.runtime.context import Context
from orchmagic.trace.events import Decided, NodeFailed, NodeFinished, NodeStarted
from orchmagic.trace.reasons import AGREEMENT, Reason


@dataclass(frozen=True, slots=True)
class Tally:
    """The winner of a vote. `first` is its first vote as JSON, `agreement` the share (0..1) of all votes asked."""

    first: Any
    agreement: float
    dissent: tuple[Any, ...]
    tie: bool


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
    count = tally(given, votes)
    winner, decided = count.first, count.agreement >= votes.least
    judge = "" if decided else _judge(asked, ctx) or ""
    if judge:
        winner = await _ballot(replace(asked, model=judge), votes.count + 1, ctx)
    reason = Reason(
        "decision",
        cause="votes",
        used=round(count.agreement * votes.count),
        among=votes.count,
        tie=count.tie,
        limit=0 if decided else votes.least,
        source=judge,
    )
    decided = decided or bool(judge)
    choice, sure = _shown(winner, votes), count.agreement
    ctx.emit(Decided(span=asked.span, choice=choice, reason=reason, confidence=sure, basis=AGREEMENT))
    told = {"agreement": count.agreement, "dissent": list(count.dissent), "tie": count.tie, "decided": decided}
    return {**(winner if asked.node.output.kind == "fields" else {"value": winner}), **told}


def tally(given: Sequence[Any], votes: Votes) -> Tally:
    """Count the votes that were given; those that failed agree with nobody."""
    names = [_name(v, votes.by) for v in given]
    counts = Counter(names)
    winner, most = counts.most_common(1)[0]  # of equals the one that was met first
    dissent = tuple(v for v, name in zip(given, names, strict=True) if name != winner)
    tie = sum(n == most for n in counts.values()) > 1
    return Tally(given[names.index(winner)], most / votes.count, dissent, tie)


def _name(value: Any, by: str) -> str:
    chosen = value[by] if by else value
    return chosen.strip().casefold() if isinstance(chosen, str) else json.dumps(chosen, sort_keys=True)


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
