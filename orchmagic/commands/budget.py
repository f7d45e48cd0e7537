"""What the notebook has spent, and what it may."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchmagic import allowance
from orchmagic.commands.text import table
from orchmagic.errors import InputError

if TYPE_CHECKING:
    from orchmagic.models.middleware.budget import Shared
    from orchmagic.session import Session

_RUNS = 1_000  # latest runs of the history that are looked at


def budget(session: Session, *words: str) -> str:
    """Budget [0.50 | 100k tokens | off]: what all runs of this kernel spent, what is left; or set their limit"""
    if words:
        try:
            session.purse.limit(allowance.read(" ".join(words)))
        except ValueError as error:
            raise InputError(f"%orch budget {' '.join(words)}: write {error}") from None
    whole, rows = session.purse.whole, [("name", "spent", "tokens")]
    for name, own in sorted(session.purse.names.items(), key=lambda n: (-n[1].spent_cost, -n[1].spent_tokens)):
        rows.append((name, _money(own), f"{own.spent_tokens:,}"))
    said = [_told(whole), *([table(rows)] if len(rows) > 1 else []), _today(session)]
    return "\n".join(line for line in said if line)


def _told(whole: Shared) -> str:
    limits, left = [], []
    if whole.money is not None:
        limits.append(f"${whole.money:g}")
        left.append(f"${max(0.0, whole.money - whole.spent_cost):.4f}")
    if whole.max_tokens is not None:
        limits.append(f"{whole.max_tokens:,} tokens")
        left.append(f"{max(0, whole.max_tokens - whole.spent_tokens):,} tokens")
    bound = f"limit {' and '.join(limits)}, left {' and '.join(left)}" if limits else "no limit"
    held = f"; {len(whole.held)} calls under way" if whole.held else ""
    return f"This kernel spent {_money(whole)} and {whole.spent_tokens:,} tokens; {bound}{held}."


def _money(spent: Shared) -> str:
    return f"${spent.spent_cost:.4f}" + (f" + {spent.unpriced} calls of unknown price" if spent.unpriced else "")


def _today(session: Session) -> str:
    """All kernels of this notebook, as far as the history knows; all notebooks where it has no name."""
    name, today = session.history.notebook(), datetime.now().astimezone().date()
    runs = [r for r in session.history.store.runs(limit=_RUNS) if not name or r.notebook == name]
    runs = [r for r in runs if datetime.fromisoformat(r.started).astimezone().date() == today]
    if not runs:
        return ""
    whose = f"{Path(name).name}, all its kernels" if name else "all kernels"
    cost, tokens = sum(r.cost for r in runs), sum(r.tokens for r in runs)
    return f"Today, {whose}: ${cost:.4f} and {tokens:,} tokens in {len(runs)} run{'s' * (len(runs) != 1)}."
