"""What a run may spend, and what it has spent: limits, reservations under way, bookings. In tokens and US dollars."""

from __future__ import annotations

import asyncio
import itertools
import math
from dataclasses import dataclass
from typing import NoReturn

from orchmagic.core.text_format import plain
from orchmagic.errors import BudgetExceeded

_DUST = 1e-9  # US dollars: sums of floats are not exact


@dataclass(frozen=True, slots=True)
class Spend:
    """Tokens, in and out, and US dollars (None: the price is unknown). `guessed`: an upper bound of the real spend."""

    tokens: int = 0
    cost: float | None = 0.0
    guessed: bool = False


class Budget:
    """What one run may spend: `max_tokens`, and `money` in US dollars; None: no limit.

    The `parent` of an inner orchestration's budget is its run's, whose parent are those of the kernel: spending counts
    in all of them.

    There is no lock: all calls of a session run on its loop's thread, and between check and booking nothing is
    awaited. Settling must not wait either, or a second cancel could lose it.
    """

    shared = False  # by several runs, see `SharedBudget`

    def __init__(self, max_tokens: int | None = None, money: float | None = None, parent: Budget | None = None) -> None:
        for name, limit in (("max_tokens", max_tokens), ("money", money)):
            if limit is not None and not limit >= 0:
                raise ValueError(f"{name} is {limit}: write 0 or more, or None for no limit")
        self.max_tokens = max_tokens
        self.money = money
        self.parent = parent
        self.spent_tokens = 0
        self.spent_cost = 0.0
        self._counted: set[str] = set()
        self.reserved: dict[int, Spend] = {}
        self.numbers = itertools.count()
        self.settled = asyncio.Event()

    @property
    def chain(self) -> tuple[Budget, ...]:
        """This budget and those above it, the outermost last."""
        return (self, *(self.parent.chain if self.parent else ()))

    async def reserve(self, worst: Spend) -> int:
        """Reserve the worst case of a call; the number is for `settle`. Waits while others have reserved what it needs.

        Raises:
            BudgetExceeded: it does not fit into what is left of a budget.
        """
        chain = self.chain
        while True:
            for budget in chain:
                budget.check(worst)
            if all(budget.fits(worst) for budget in chain):
                break
            await chain[-1].settled.wait()
        number = next(chain[-1].numbers)
        for budget in chain:
            budget.reserved[number] = worst
        return number

    def settle(self, number: int, spent: Spend) -> None:
        """End a reservation, and book what was really spent."""
        for budget in self.chain:
            del budget.reserved[number]
            budget.book(spent)
        root = self.chain[-1]
        root.settled.set()
        root.settled = asyncio.Event()

    def reset(self) -> None:
        """Start from zero: a resumed run books again what its journal holds."""
        self.spent_tokens, self.spent_cost = 0, 0.0
        self._counted.clear()

    def book(self, spent: Spend) -> None:
        """Count what was spent, in this budget alone."""
        self.spent_tokens += spent.tokens
        self.spent_cost += spent.cost or 0.0

    def count_once(self, call: str, tokens: int = 0, cost: float | None = None) -> bool:
        """Note that `call` is answered; True if the run's own budget had counted it before.

        `tokens` and `cost` are what an answer from the journal took, booked in each budget that had not counted it; the
        answer of a call just made is settled already, so it takes 0 here.
        """
        counted = call in self._counted
        self._counted.add(call)
        if not counted:
            self.book(Spend(tokens, cost))
        above = self.parent
        return counted if above is None or above.shared else above.count_once(call, tokens, cost)

    def fits(self, worst: Spend) -> bool:
        """Whether it fits beside what is spent and reserved."""
        reserved = self.reserved.values()
        tokens = self.spent_tokens + sum(r.tokens for r in reserved) + worst.tokens
        cost = self.spent_cost + sum(r.cost or 0.0 for r in reserved) + (worst.cost or 0.0)
        tokens_fit = self.max_tokens is None or tokens <= self.max_tokens
        return tokens_fit and (self.money is None or cost <= self.money + _DUST)

    def check(self, worst: Spend) -> None:
        """Check that it fits beside what is spent.

        Raises:
            BudgetExceeded: it does not, so waiting for other calls is no use.
        """
        tokens, cost = self.spent_tokens + worst.tokens, self.spent_cost + (worst.cost or 0.0)
        if self.max_tokens is not None and tokens > self.max_tokens:
            state = f"limit {self.max_tokens:,}, spent {self.spent_tokens:,}, the next call could take up to"
            self._refuse("max-tokens", f"{state} {worst.tokens:,}", tokens)
        if self.money is not None and cost > self.money + _DUST:
            state = f"limit ${plain(self.money)}, spent ${plain(self.spent_cost, 4)}, the next call could cost up to"
            self._refuse("budget", f"{state} ${plain(worst.cost or 0.0, 4)}", cost)

    def _refuse(self, option: str, state: str, needed: float) -> NoReturn:
        limit, advice = self.advice(option, needed)
        raise BudgetExceeded(f"{limit}: {state}: {advice}", budget=self)

    def advice(self, option: str, _: float) -> tuple[str, str]:
        """The name of the limit, and what to write; `option` is the one that sets it, the number what is needed now."""
        return option, f"raise --{option}, or lower max_tokens of the step"


class SharedBudget(Budget):
    """The budget of several runs: all of a kernel, or those of one name in it. Its limits may change any time.

    Answers from a journal are not booked here: they were when they were paid. `unpriced` counts calls whose price is
    unknown, `lost` those that broke off, whose worst case is booked; `guessed` is the sum of those.
    """

    shared = True

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

    def advice(self, option: str, needed: float) -> tuple[str, str]:
        money = option == "budget"
        proposed = _proposed(needed, self.money if money else self.max_tokens) + " tokens" * (not money)
        limit = f"notebook budget{' of tokens' * (not money)} (all runs of this kernel)"
        return limit, f"write %orch budget {proposed}, or %orch budget off"


def _proposed(needed: float, limit: float | None) -> str:
    """A limit to propose: what is needed, at least twice the present one, rounded up to two digits."""
    more = max(needed, 2 * (limit or 0.0))
    step = 10.0 ** (math.floor(math.log10(more)) - 1) if more > 0 else 1.0
    return plain(math.ceil(more / step - _DUST) * step, 12)
