"""`%orch budget`: shows what the notebook has spent, and sets its limit."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchmagic.core.money import spend_limit
from orchmagic.core.text_format import counted, table
from orchmagic.errors import InputError
from orchmagic.notebook.commands.registry import command
from orchmagic.trace.humanize import money

if TYPE_CHECKING:
    from orchmagic.models.budget import SharedBudget
    from orchmagic.runtime.session import Session

_RUNS = 1_000  # latest runs of the history that are summed up


@command
def budget(session: Session, *words: str) -> str:
    """Budget [0.50 | 100k tokens | off]: what this kernel spent and may spend; or set its limit"""
    kernel = session.services.budget
    if words:
        try:
            kernel.limit(spend_limit(" ".join(words)))
        except ValueError as error:
            raise InputError(f"%orch budget {' '.join(words)}: write {error}") from None
    whole, rows = kernel.whole, [("name", "spent", "tokens")]
    for name, own in sorted(kernel.names.items(), key=lambda n: (-n[1].spent_cost, -n[1].spent_tokens)):
        rows.append((name, money(own.spent_cost, own.unpriced), f"{own.spent_tokens:,}"))
    parts = [_kernel(whole), table(rows) if len(rows) > 1 else "", _today(session)]
    return "\n".join(filter(None, parts))


def _kernel(whole: SharedBudget) -> str:
    limits, left = [], []
    if whole.money is not None:
        limits.append(money(whole.money))
        left.append(money(max(0.0, whole.money - whole.spent_cost)))
    if whole.max_tokens is not None:
        limits.append(counted(whole.max_tokens, "token"))
        left.append(counted(max(0, whole.max_tokens - whole.spent_tokens), "token"))
    bound = f"limit {' and '.join(limits)}, left {' and '.join(left)}" if limits else "no limit"
    held = f"; {counted(len(whole.reserved), 'call')} under way" if whole.reserved else ""
    took = _sum(whole.spent_cost, whole.unpriced, whole.spent_tokens)
    return f"This kernel spent {took}; {bound}{held}.{_lost(whole)}"


def _lost(whole: SharedBudget) -> str:
    """Explains spending that has no receipt: the highest possible cost of calls that broke off."""
    if not whole.lost:
        return ""
    cost, tokens = whole.guessed.cost or 0.0, counted(whole.guessed.tokens, "token")
    most = f"{tokens}, {money(cost)}" if cost else tokens
    calls = counted(whole.lost, "call")
    return f"\nOf that {most} for {calls} that broke off: the most that it can have been. Receipts and history lack it."


def _sum(cost: float, unpriced: int, tokens: int) -> str:
    return f"{counted(tokens, 'token')}, {money(cost, unpriced)}"


def _today(session: Session) -> str:
    """Today's spending of all kernels of this notebook in the history; of all notebooks if its name is unknown."""
    name, today = session.services.history.notebook(), datetime.now().astimezone().date()
    runs = [r for r in session.services.history.store.runs(limit=_RUNS) if not name or r.notebook == name]
    runs = [r for r in runs if not r.caller]  # counted in the run that called it
    runs = [r for r in runs if datetime.fromisoformat(r.started).astimezone().date() == today]
    if not runs:
        return ""
    whose = f"{Path(name).name}, all its kernels" if name else "all kernels"
    whole = _sum(sum(r.cost for r in runs), sum(r.unpriced for r in runs), sum(r.tokens for r in runs))
    return f"Today, {whose}: {whole} in {counted(len(runs), 'run')}."
