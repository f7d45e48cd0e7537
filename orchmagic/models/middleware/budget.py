"""Never spend past a limit: the worst case of a call is set aside before it is made, and settled after.

The worst case of a prompt is its length in bytes: a token of a byte-level tokenizer covers at least one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from orchmagic.errors import BudgetExceeded, ModelError
from orchmagic.events import Usage
from orchmagic.models import Deployment, Handler, ModelRequest, ModelResponse, prices, wire

_FRAME = 16  # tokens that a chat template may put around a message


class Budget:
    """What a run may spend. None leaves a side open. `money` in US dollars."""

    def __init__(self, max_tokens: int | None = None, money: float | None = None) -> None:
        self.max_tokens = max_tokens
        self.money = money
        self.tokens = 0
        self.dollars = 0.0
        self._held_tokens = 0
        self._held_dollars = 0.0
        self._lock = asyncio.Lock()

    async def hold(self, tokens: int, dollars: float) -> None:
        """Set the worst case aside.

        Raises:
            BudgetExceeded: it does not fit beside what is spent and set aside.
        """
        async with self._lock:
            used, paid = self.tokens + self._held_tokens, self.dollars + self._held_dollars
            if self.max_tokens is not None and used + tokens > self.max_tokens:
                raise BudgetExceeded(
                    f"max-tokens {self.max_tokens:,}: {used:,} used, and the next call could take up to {tokens:,}"
                )
            if self.money is not None and paid + dollars > self.money:
                raise BudgetExceeded(
                    f"budget ${self.money:g}: ${paid:.4f} spent, and the next call could cost up to ${dollars:.4f}"
                )
            self._held_tokens += tokens
            self._held_dollars += dollars

    async def settle(self, held: tuple[int, float], spent: tuple[int, float]) -> None:
        """Give back what was set aside, and book what was really spent."""
        async with self._lock:
            self._held_tokens -= held[0]
            self._held_dollars -= held[1]
            self.tokens += spent[0]
            self.dollars += spent[1]


class Budgeting:
    """The innermost middleware: every attempt passes here."""

    def __init__(self, budget: Budget, resolve: Callable[[str], Deployment]) -> None:
        self._budget = budget
        self._resolve = resolve

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        deployment = self._resolve(request.model)
        worst = self._worst(request, deployment)
        await self._budget.hold(*worst)
        spent = worst  # a cancelled or broken call may have been billed in full
        try:
            answer = await handler(request)
            spent = self._paid(deployment, answer.usage)
        except ModelError as error:
            usage = getattr(error, "usage", None)
            if usage is not None:
                spent = self._paid(deployment, usage)
            elif not error.may_have_spent:
                spent = (0, 0.0)
            raise
        else:
            return answer
        finally:
            await asyncio.shield(self._budget.settle(worst, spent))

    def _worst(self, request: ModelRequest, deployment: Deployment) -> tuple[int, float]:
        body = wire.body(request, deployment)
        prompt = len(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        usage = Usage(input=prompt + _FRAME * len(request.messages), output=request.max_tokens)
        cost = prices.cost(deployment, usage)
        if cost is None and self._budget.money is not None:
            raise BudgetExceeded(
                f"the price of {deployment.alias!r} is unknown, so a budget in dollars cannot be kept: "
                f"set input_price and output_price in [tool.orchmagic.models.{deployment.alias}]"
            )
        return usage.total, cost or 0.0

    @staticmethod
    def _paid(deployment: Deployment, usage: Usage) -> tuple[int, float]:
        return usage.total, prices.cost(deployment, usage) or 0.0
