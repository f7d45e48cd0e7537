"""Keeps a run inside its budget: reserves the worst case of a call before it is made, and books the real cost after.

`core.tokens` bounds the tokens of a prompt, `max_tokens` those of the reply. A call for which there is little room is
sent with a smaller `max_tokens`: what the schema of its reply can take, or twice the longest reply of its step so far.
A reply that is cut off there is asked for once more, in full. So the limit holds, and money that is left is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from orchmagic.core import tokens
from orchmagic.core.text_format import plain
from orchmagic.errors import BudgetExceeded, OrchError, TruncatedReply
from orchmagic.models import images
from orchmagic.models.budget import Budget, Spend, left_in_batch, mark_sent
from orchmagic.models.cache.key import sent
from orchmagic.models.pricing import prices
from orchmagic.models.types import Deployment, Handler, ModelRequest, ModelResponse
from orchmagic.models.wire import schema_size
from orchmagic.trace.events import Usage

_MESSAGE = 16  # tokens that a chat template may add to a message
_TOOLS = 256  # tokens that it may add to the list of tools, to explain how to call them
_SPARE = 32  # tokens on top of an expected reply: marks around it, a word more
_LONGER = 2  # times the longest reply so far, or the JSON without white space


@dataclass(slots=True)
class Budgeting:
    """Runs for every attempt. `unpriced` says what to write if a deployment's price is unknown."""

    budget: Budget
    called: Callable[[ModelRequest], Deployment]
    unpriced: Callable[[Deployment], str] = lambda _: "set input_price and output_price, US dollars per million"
    _in_full: set[str] = field(default_factory=set, init=False)  # calls whose short reply was cut off

    async def __call__(self, request: ModelRequest, handler: Handler) -> ModelResponse:
        deployment = self.called(request)
        sizes = [request.max_tokens, *self._shorter(request, deployment)]
        cases = worst_cases(request, deployment, sizes)
        self._check_price(cases[0], deployment)
        number, place = await self.budget.reserve_first(*cases)
        worst, is_short = cases[place], place > 0
        spent = replace(worst, guessed=True)  # a cancelled or broken call may have been billed in full
        try:
            answer = await handler(replace(request, max_tokens=sizes[place]) if is_short else request)
            spent = _spend(answer.usage, answer.cost, worst)
            if is_short:
                _check_whole(answer, sizes[place])
        except OrchError as error:
            if (billed := prices.of_failure(error)) is not None:
                spent = _spend(*billed, worst)
            if is_short and isinstance(error, TruncatedReply):
                self._in_full.add(request.call)
                error.args = (_cut(sizes[place], request.max_tokens),)
                error.is_short = True
            if spent.guessed:
                mark_sent(error, worst)
            raise
        except BaseException as error:
            sent = left_in_batch(error)
            spent = spent if sent is None else Spend()
            if sent is not False:
                mark_sent(error, worst)
            raise
        else:
            self._learn(request, deployment, answer.usage.output)
            return answer
        finally:
            self.budget.settle(number, spent)

    def _check_price(self, worst: Spend, deployment: Deployment) -> None:
        """Raises BudgetExceeded if a limit of money holds and the price is unknown."""
        bound = next((b for b in self.budget.chain if b.money is not None), None)
        if bound is not None and worst.cost is None:
            limit = f"{'notebook ' * bound.shared}budget: limit ${plain(bound.money or 0.0)}"
            name = f"{deployment.alias!r} ({deployment.model})"
            raise BudgetExceeded(f"{limit}, but the price of {name} is unknown: {self.unpriced(deployment)}")

    def _shorter(self, request: ModelRequest, deployment: Deployment) -> list[int]:
        """A smaller `max_tokens` for the case that there is little room; else empty."""
        if deployment.batch:  # a reply that is cut off waits a day more, and the batch is found by the whole request
            return []
        if request.call in self._in_full or all(b.money is b.max_tokens is None for b in self.budget.chain):
            return []
        longest = self.budget.longest.get(_step(request, deployment)) or _by_schema(request, deployment)
        few = request.max_tokens if longest is None else _LONGER * longest + _SPARE
        return [few] if few < request.max_tokens else []

    def _learn(self, request: ModelRequest, deployment: Deployment, output: int) -> None:
        step = _step(request, deployment)
        self.budget.longest[step] = max(output, self.budget.longest.get(step, 1))


def _step(request: ModelRequest, deployment: Deployment) -> tuple[str, str]:
    """The step without visits, items and votes, and the deployment: replies of one step are alike."""
    steps = (part.partition("#")[0] for part in request.call.split("/") if "#" in part)
    return "/".join(steps), deployment.alias


def _by_schema(request: ModelRequest, deployment: Deployment) -> int | None:
    """The most tokens of a reply that fits the schema; None if there is no bound, or the model may think before."""
    parameters = {**deployment.parameters, **request.parameters}
    thinks = "reasoning_effort" in parameters or deployment.reasoning_price is not None
    if request.schema is None or request.tools or thinks or deployment.max_tokens_field == "max_completion_tokens":
        return None
    return schema_size.largest(request.schema.schema)


def _check_whole(answer: ModelResponse, few: int) -> None:
    """Raises TruncatedReply if a reply fills its short limit: not every endpoint says that it cut."""
    if answer.usage.output >= few and not answer.usage.estimated:
        raise TruncatedReply("", model=answer.model, provider=answer.provider, usage=answer.usage, cost=answer.cost)


def _cut(few: int, most: int) -> str:
    return f"the reply was cut off at {few:,} tokens, for which the budget had room: asked again with {most:,}"


def worst_cases(request: ModelRequest, deployment: Deployment, sizes: Sequence[int]) -> list[Spend]:
    """The most tokens and US dollars that one attempt can be billed, for each of some values of `max_tokens`."""
    body = sent(request, deployment)
    pictures = images.inside(request.messages)
    text = json.dumps(images.describe_images(body) if pictures else body, ensure_ascii=False)
    prompt = tokens.at_most(text, pictures)
    prompt += _MESSAGE * len(body["messages"]) + (_TOOLS if "tools" in body else 0)
    # parameters of the settings may raise the limit of the reply, or ask for several replies
    given = {**deployment.parameters, **request.parameters}
    limits = [given[name] for name in ("max_tokens", "max_completion_tokens") if isinstance(given.get(name), int)]
    replies = body["n"] if isinstance(body.get("n"), int) else 1
    may = {
        "cache_an_hour": '"1h"' in text,
        "images": bool(pictures) or "modalities" in body,
        "audio": "modalities" in body or '"input_audio"' in text,
    }
    found = []
    for size in sizes:
        reply = max([size, *limits]) * max(1, replies)
        found.append(Spend(prompt + reply, prices.worst(deployment, prompt, reply, body, **may)))
    return found


def _spend(usage: Usage, cost: float | None, worst: Spend) -> Spend:
    return Spend(usage.total, worst.cost if cost is None else cost)
