"""Keeps a run inside its budget: reserves the worst case of a call before it is made, and books the real cost after.

`core.tokens` bounds the tokens of a prompt.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchmagic.core import tokens
from orchmagic.core.text_format import plain
from orchmagic.errors import BudgetExceeded, OrchError
from orchmagic.models import images
from orchmagic.models.budget import Budget, Spend
from orchmagic.models.cache.key import sent
from orchmagic.models.pricing import prices
from orchmagic.models.types import Deployment, Handler, ModelRequest, ModelResponse
from orchmagic.trace.events import Usage

_MESSAGE = 16  # tokens that a chat template may add to a message
_TOOLS = 256  # tokens that it may add to the list of tools, to explain how to call them


@dataclass(slots=True)
class Budgeting:
    """Runs for every attempt. `unpriced` says what to write if a deployment's price is unknown."""

    budget: Budget
    resolve: Callable[[str], Deployment]
    unpriced: Callable[[Deployment], str] = lambda _: "set input_price and output_price, US dollars per million"

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        deployment = self.resolve(request.model)
        worst = worst_case(request, deployment)
        bound = next((b for b in self.budget.chain if b.money is not None), None)
        if bound is not None and worst.cost is None:
            limit = f"{'notebook ' * bound.shared}budget: limit ${plain(bound.money or 0.0)}"
            name = f"{deployment.alias!r} ({deployment.model})"
            raise BudgetExceeded(f"{limit}, but the price of {name} is unknown: {self.unpriced(deployment)}")
        number = await self.budget.reserve(worst)
        spent = replace(worst, guessed=True)  # a cancelled or broken call may have been billed in full
        try:
            answer = await handler(request)
            spent = _spend(answer.usage, answer.cost, worst)
        except OrchError as error:
            if (billed := prices.of_failure(error)) is not None:
                spent = _spend(*billed, worst)
            raise
        else:
            return answer
        finally:
            self.budget.settle(number, spent)


def worst_case(request: ModelRequest, deployment: Deployment) -> Spend:
    """The most tokens and US dollars that one attempt can be billed."""
    body = sent(request, deployment)
    pictures = images.inside(request.messages)
    text = json.dumps(images.describe_images(body) if pictures else body, ensure_ascii=False)
    prompt = tokens.at_most(text, pictures)
    prompt += _MESSAGE * len(body["messages"]) + (_TOOLS if "tools" in body else 0)
    # parameters of the settings may raise the limit of the reply, or ask for several replies
    limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if isinstance(body.get(name), int)]
    replies = body["n"] if isinstance(body.get("n"), int) else 1
    reply = max([request.max_tokens, *limits]) * max(1, replies)
    may = {
        "cache_an_hour": '"1h"' in text,
        "images": bool(pictures) or "modalities" in body,
        "audio": "modalities" in body or '"input_audio"' in text,
    }
    return Spend(prompt + reply, prices.worst(deployment, prompt, reply, body, **may))


def _spend(usage: Usage, cost: float | None, worst: Spend) -> Spend:
    return Spend(usage.total, worst.cost if cost is None else cost)
