"""Budgets: limits, reservations and spending of runs, in tokens and US dollars."""

from __future__ import annotations

import asyncio
import itertools
import math
from dataclasses import dataclass
from typing import NoReturn

from orchmagic.core.text_format import plain
from orchmagic.errors import BudgetExceeded

_AT_ONCE = 16  # calls that may run at once, and each take the largest worst case
_DUST = 1e-9  # US dollars: sums of floats are not exact


@dataclass(frozen=True, slots=True)
class Spend:
    """Tokens, in and out, and US dollars (None: the price is unknown). `guessed`: an upper bound of the real spend."""

    tokens: int = 0
    cost: float | None = 0.0
    guessed: bool = False


def mark_sent(error: BaseException, worst: Spend) -> None:
    """Note on an error that the request was sent, and what it can have cost; the layers above report it."""
    error.__dict__["_sent_at_most"] = worst


def sent_at_most(error: BaseException) -> Spend | None:
    """The most that the request of this error can have cost; None if it was not sent or the cost is known."""
    found = error.__dict__.get("_sent_at_most")
    return found if isinstance(found, Spend) else None


def mark_left(error: BaseException, *, sent: bool) -> None:
    """Note on the error that ended a wait for a batch whether its request was sent: collecting it books the cost."""
    error.__dict__["_left_in_batch"] = sent


def left_in_batch(error: BaseException) -> bool | None:
    """Whether the request was sent, for the end of a wait for a batch; None for all other errors."""
    found = error.__dict__.get("_left_in_batch")
    return found if isinstance(found, bool) else None


class Budget:
    """The spending of one run and its limits: `max_tokens`, and `money` in US dollars; None = no limit.

    Spending counts in all parents too: the budget of an inner orchestration has its run's as `parent`, and that one has
    those of the kernel. `place` precedes the ids of calls in the parent, if that is the budget of another run.

    `longest` is the most output tokens of an answer so far, by step and deployment; all runs of a name share it.

    There is no lock: all calls of a session run on its loop's thread, and nothing is awaited between check and
    booking. `settle` must not await either, or a second cancel could lose the booking.
    """

    shared = False  # True: several runs share it, see `SharedBudget`

    def __init__(
        self,
        max_tokens: int | None = None,
        money: float | None = None,
        parent: Budget | None = None,
        *,
        place: str = "",
    ) -> None:
        for name, limit in (("max_tokens", max_tokens), ("money", money)):
            if limit is not None and not limit >= 0:
                raise ValueError(f"{name} is {limit}: write 0 or more, or None for no limit")
        self.max_tokens = max_tokens
        self.money = money
        self.parent = parent
        self._place = place
        self.spent_tokens = 0
        self.spent_cost = 0.0
        self.longest: dict[tuple[str, str], int] = {} if parent is None or parent.parent is None else parent.longest
        self._counted: set[str] = set()
        self.reserved: dict[int, Spend] = {}
        self.reserved_tokens, self.reserved_cost = 0, 0.0  # the sums of the reservations, US dollars
        self.numbers = itertools.count()
        self.settled = asyncio.Event()

    @property
    def chain(self) -> tuple[Budget, ...]:
        """This budget and its parents, the outermost last."""
        return (self, *(self.parent.chain if self.parent else ()))

    async def reserve(self, worst: Spend) -> int:
        """Reserve the worst case of a call; returns a number for `settle`. Waits for other calls to free reservations.

        Raises:
            BudgetExceeded: the worst case exceeds what is left of a budget.
        """
        return (await self.reserve_first(worst))[0]

    async def reserve_first(self, *worst: Spend) -> tuple[int, int]:
        """Reserve the first of several worst cases, largest first, for which there is room now; else wait for the last.

        All but the last need room for many such calls, so that none of them takes the room of the others.

        Returns its number for `settle`, and which one it was.

        Raises:
            BudgetExceeded: the last one exceeds what is left of a budget.
        """
        chain = self.chain
        while True:
            for place, case in enumerate(worst):
                times = 1 if case is worst[-1] else _AT_ONCE
                if all(budget.fits(case, times) for budget in chain):
                    number = next(chain[-1].numbers)
                    for budget in chain:
                        budget.hold(number, case)
                    return number, place
            for budget in chain:
                budget.check(worst[-1])
            await chain[-1].settled.wait()

    def settle(self, number: int, spent: Spend) -> None:
        """End a reservation, and book the real spending."""
        for budget in self.chain:
            budget.release(number)
            budget.book(spent)
        root = self.chain[-1]
        root.settled.set()
        root.settled = asyncio.Event()

    def hold(self, number: int, worst: Spend) -> None:
        """Reserve `worst` in this budget only."""
        self.reserved[number] = worst
        self.reserved_tokens += worst.tokens
        self.reserved_cost += worst.cost or 0.0

    def release(self, number: int) -> None:
        """End a reservation of this budget only."""
        worst = self.reserved.pop(number)
        self.reserved_tokens -= worst.tokens
        self.reserved_cost = self.reserved_cost - (worst.cost or 0.0) if self.reserved else 0.0

    def forget_reservations(self) -> None:
        """Drop all reservations, in a forked process: only the parent makes their calls."""
        self.reserved.clear()
        self.reserved_tokens, self.reserved_cost = 0, 0.0

    def reset(self) -> None:
        """Set the spending to zero: a resumed run books the answers in its journal again."""
        self.spent_tokens, self.spent_cost = 0, 0.0
        self._counted.clear()

    def book(self, spent: Spend) -> None:
        """Add `spent` to this budget only, not to its parents."""
        self.spent_tokens += spent.tokens
        self.spent_cost += spent.cost or 0.0

    def count_once(self, call: str, tokens: int = 0, cost: float | None = None) -> bool:
        """Mark `call` as answered; True if the run's own budget had counted it before.

        `tokens` and `cost` of an answer from the journal are booked in each budget that had not counted it. They are 0
        for a new answer, which `settle` has booked.
        """
        counted = call in self._counted
        self._counted.add(call)
        if not counted:
            self.book(Spend(tokens, cost))
        above = self.parent
        return counted if above is None or above.shared else above.count_once(self._place + call, tokens, cost)

    def fits(self, worst: Spend, times: int = 1) -> bool:
        """Whether spending, reservations and `worst`, this many times, together are within the limits."""
        tokens = self.spent_tokens + self.reserved_tokens + times * worst.tokens
        cost = self.spent_cost + self.reserved_cost + times * (worst.cost or 0.0)
        tokens_fit = self.max_tokens is None or tokens <= self.max_tokens
        return tokens_fit and (self.money is None or cost <= self.money + _DUST)

    def check(self, worst: Spend) -> None:
        """Check that spending and `worst` together are within the limits, without the reservations.

        Raises:
            BudgetExceeded: they are not, even if all other calls cost nothing.
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

    def advice(self, option: str, needed: float) -> tuple[str, str]:
        """(name of the limit, what to write); `option` sets the limit, the number is the amount needed now."""
        name = option.replace("-", "_")
        more = _proposed(needed, self.money if name == "budget" else self.max_tokens)
        return option, f"raise --{option}, or lower max_tokens of the step; run.resume({name}={more}) goes on"


class SharedBudget(Budget):
    """The budget of all runs of a kernel, or of those of one name in it. Its limits may change at any time.

    Answers from a journal are not booked again. `unpriced` counts calls with an unknown price, `lost` counts calls that
    broke off and are booked with their worst case; `guessed` is the sum of those worst cases.
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
    """A limit to propose: `needed`, or twice the present limit if that is more, rounded up to two digits."""
    more = max(needed, 2 * (limit or 0.0))
    step = 10.0 ** (math.floor(math.log10(more)) - 1) if more > 0 else 1.0
    return plain(math.ceil(more / step - _DUST) * step, 12)
