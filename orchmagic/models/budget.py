"""What a run may spend, and what it has spent: limits, reservations under way, bookings. In tokens and US dollars."""

from __future__ import annotations

import asyncio
import itertools
import math
from dataclasses import dataclass
from typing import NoReturn

from orchmagic.core.numbers import plain
from orchmagic.errors import BudgetExceeded

_DUST = 1e-9  # US dollars: sums of floats are not exact


@dataclass(frozen=True, slots=True)
class Spend:
    """Tokens, in and out, and US dollars (None: the price is unknown). `guessed`: the most that it can have been."""

    tokens: int = 0
    cost: float | None = 0.0
    guessed: bool = False


class Budget:
    """What one run may spend; None leaves a side open. `money` in US dollars.

    An inner orchestration has a budget of its own below its run's (`parent`), a run's is below those of its kernel:
    what is spent counts in all.

    There is no lock: all calls of a session run on its loop's thread, and between check and booking nothing is
    awaited. Settling must not wait either, or a second cancel could lose it.
    """

    lasting = False  # it outlives a run, see `SharedBudget`

    def __init__(self, max_tokens: int | None = None, money: float | None = None, parent: Budget | None = None) -> None:
        for name, limit in (("max_tokens", max_tokens), ("money", money)):
            if limit is not None and not limit >= 0:
                raise ValueError(f"{name} is {limit}: write 0 or more, or None for no limit")
        self.max_tokens = max_tokens
        self.money = money
        self.parent = parent
        self.spent_tokens = 0
        self.spent_cost = 0.0
        self._met: set[str] = set()
        self.held: dict[int, Spend] = {}
        self.numbers = itertools.count()
        self.settled = asyncio.Event()

    @property
    def all(self) -> tuple[Budget, ...]:
        """This budget and those above it, the outermost last."""
        return (self, *(self.parent.all if self.parent else ()))

    async def reserve(self, worst: Spend) -> int:
        """Set `worst` aside; the number is for `settle`. Waits while other calls hold what it needs.

        Raises:
            BudgetExceeded: it does not fit beside what is already spent.
        """
        whole = self.all
        while True:
            for budget in whole:
                budget.check(worst)
            if all(budget.fits(worst) for budget in whole):
                break
            await whole[-1].settled.wait()
        number = next(whole[-1].numbers)
        for budget in whole:
            budget.held[number] = worst
        return number

    def settle(self, number: int, spent: Spend) -> None:
        """Give back what was set aside, and book what was really spent."""
        for budget in self.all:
            del budget.held[number]
            budget.book(spent)
        root = self.all[-1]
        root.settled.set()
        root.settled = asyncio.Event()

    def reset(self) -> None:
        """Nothing is spent yet: a new life of the run books again what its record holds."""
        self.spent_tokens, self.spent_cost = 0, 0.0
        self._met.clear()

    def book(self, spent: Spend) -> None:
        """Count what was spent, here alone."""
        self.spent_tokens += spent.tokens
        self.spent_cost += spent.cost or 0.0

    def met(self, call: str, tokens: int = 0, cost: float | None = None) -> bool:
        """Note that `call` is answered; True when the run's own budget had it noted.

        `tokens` and `cost` are what the answer took in an earlier life, counted in each budget that had it not
        noted; what was asked just now is settled.
        """
        known = call in self._met
        self._met.add(call)
        if not known:
            self.book(Spend(tokens, cost))
        above = self.parent
        return known if above is None or above.lasting else above.met(call, tokens, cost)

    def fits(self, worst: Spend) -> bool:
        held = self.held.values()
        tokens = self.spent_tokens + sum(h.tokens for h in held) + worst.tokens
        cost = self.spent_cost + sum(h.cost or 0.0 for h in held) + (worst.cost or 0.0)
        tokens_fit = self.max_tokens is None or tokens <= self.max_tokens
        return tokens_fit and (self.money is None or cost <= self.money + _DUST)

    def check(self, worst: Spend) -> None:
        tokens, cost = self.spent_tokens + worst.tokens, self.spent_cost + (worst.cost or 0.0)
        if self.max_tokens is not None and tokens > self.max_tokens:
            told = f"limit {self.max_tokens:,}, spent {self.spent_tokens:,}, the next call could take up to"
            self._refuse("max-tokens", f"{told} {worst.tokens:,}", tokens)
        if self.money is not None and cost > self.money + _DUST:
            told = f"limit ${plain(self.money)}, spent ${plain(self.spent_cost, 4)}, the next call could cost up to"
            self._refuse("budget", f"{told} ${plain(worst.cost or 0.0, 4)}", cost)

    def _refuse(self, option: str, told: str, needed: float) -> NoReturn:
        whose, advice = self.whose(option, needed)
        raise BudgetExceeded(f"{whose}: {told}: {advice}", budget=self)

    def whose(self, option: str, _: float) -> tuple[str, str]:
        """Whose limit it is, and what to write; `option` is the one that sets it, the number what is needed now."""
        return option, f"raise --{option}, or lower max_tokens of the step"


class SharedBudget(Budget):
    """What several runs spend together: all of a kernel, or those of one name in it. Its limits may change any time.

    What a run's record holds was booked here when it was paid, if it was paid here at all. `unpriced` counts calls
    whose price is unknown, `lost` those that broke off: what they took is booked in full, `guessed` is the sum.
    """

    lasting = True

    def __init__(self, parent: SharedBudget | None = None) -> None:
        super().__init__(parent=parent)
        self.unpriced = 0
        self.lost = 0
        self.guessed = Spend()

    def book(self, spent: Spend) -> None:
        super().book(spent)
        self.unpriced += spent.cost is None
        if spent.guessed:
            self.lost += 1
            tokens, cost = self.guessed.tokens + spent.tokens, (self.guessed.cost or 0.0) + (spent.cost or 0.0)
            self.guessed = Spend(tokens, cost)

    def whose(self, option: str, needed: float) -> tuple[str, str]:
        money = option == "budget"
        more = _round(needed, self.money if money else self.max_tokens) + " tokens" * (not money)
        what = f"notebook budget{' of tokens' * (not money)} (all runs of this kernel)"
        return what, f"write %orch budget {more}, or %orch budget off"


def _round(needed: float, limit: float | None) -> str:
    """A limit to propose: what is needed, or twice the one of now, in two digits that are not too small."""
    more = max(needed, 2 * (limit or 0.0))
    step = 10.0 ** (math.floor(math.log10(more)) - 1) if more > 0 else 1.0
    return plain(math.ceil(more / step - _DUST) * step, 12)
