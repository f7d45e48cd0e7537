"""The cost of an answer: by the settings' prices, else the amount that the endpoint reports, else the price list.

An unknown price is None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchmagic.errors import ModelError, OrchError, UnusableReply
from orchmagic.models.pricing import price_list
from orchmagic.models.pricing.rates import Rates, at, flat
from orchmagic.models.types import Deployment, ModelResponse
from orchmagic.models.wire import billing, chat_completions
from orchmagic.models.wire.billing import Bill
from orchmagic.models.wire.urls import vendor
from orchmagic.trace.events import Usage

FREE = frozenset({"local", "scripted"})
_SAMPLE = 1_000  # tokens of the prompt whose rate is shown; very long prompts may cost more
_INPUT_PER_OUTPUT = 3  # tokens: the mix by which the prices of models are compared
BATCH_DISCOUNT = 0.5
"""What a batch saves where neither the alias nor the price list says it."""
_NOTHING = Rates(flat(0.0), flat(0.0))


def cost(deployment: Deployment, usage: Usage, *, at: float | None = None) -> float | None:
    """The cost of `usage` in US dollars; None if the model's price is unknown. Each kind of token has its own rate.

    `at` is the time of the call, in seconds since the epoch; default now.
    """
    known = _rates(deployment, at=at)
    return None if known is None else known.cost(Bill(usage))


def priced_answer(completion: Mapping[str, Any], deployment: Deployment, body: Mapping[str, Any]) -> ModelResponse:
    """Read an answer with its provider and cost from a `chat.completion`; `body` is the request's body.

    A cost that the endpoint reports takes precedence over the price list, but not over the settings.
    """
    bill = billing.read(completion.get("usage"))
    answer = chat_completions.response(completion, body, bill)
    bill = bill or Bill(answer.usage)
    configured = _configured(deployment)
    charged = configured is None and bill.charged is not None
    known = None if charged else configured or _rates(deployment, price_list.context(body, completion))
    return replace(
        answer,
        cost=bill.charged if charged else None if known is None else known.cost(bill),
        charged=charged,
        provider=vendor(deployment.provider, deployment.base_url),
    )


def of_failure(error: OrchError) -> tuple[Usage, float | None] | None:
    """(usage, US dollars) billed for a failed attempt, dollars None = unknown price; None if the usage is unknown."""
    if isinstance(error, UnusableReply) and error.usage is not None:
        return error.usage, error.cost
    return None if isinstance(error, ModelError) and error.may_have_spent else (Usage(), 0.0)


def worst(deployment: Deployment, prompt: int, reply: int, body: Mapping[str, Any], **may: bool) -> float | None:
    """The most US dollars that a call can cost, by the highest prices that may apply; None if they are unknown.

    `prompt`, `reply`: the most tokens of each. `may`: the kinds of tokens that may occur, see `Rates.worst`.
    """
    configured = _configured(deployment)
    if configured is not None:
        possible: tuple[Rates, ...] = (configured,)
    elif deployment.base_url:
        possible = price_list.possible(deployment.base_url, deployment.model, price_list.context(body))
        possible = tuple(_for_batch(rates, deployment, price_list.context(body)) for rates in possible)
    else:  # without an endpoint the price is unknown
        return None
    sums = [rates.worst(prompt, reply, **may) for rates in possible]
    return None if not sums or None in sums else max(s for s in sums if s is not None)


def rates(deployment: Deployment) -> tuple[float, float, float] | None:
    """(input, output, cached input) in US dollars per million tokens; None if the price is unknown."""
    known = _rates(deployment)
    if known is None or known.input is None or known.output is None:
        return None
    fresh = at(known.input, _SAMPLE)
    return fresh, at(known.output, _SAMPLE), at(known.cached, _SAMPLE, fresh)


def strongest(large: Deployment | None, used: Iterable[Deployment]) -> dict[str, Any] | None:
    """The cost reference of a run: the most expensive of alias `large` and the models it may use; None: no such model.

    `{"alias", "model", "input_price", "output_price", "cached_price"}`, in US dollars per million tokens. The prices
    are None if that of `large` is unknown.
    """
    if large is not None and rates(large) is None:
        return _named(large, (None, None, None))
    known = [(d, prices) for d in (*filter(None, (large,)), *used) if (prices := rates(d)) is not None]
    if not known:
        return None
    return _named(*max(known, key=lambda pair: _INPUT_PER_OUTPUT * pair[1][0] + pair[1][1]))


def _rates(deployment: Deployment, context: price_list.Context = (), at: float | None = None) -> Rates | None:
    configured = _configured(deployment)
    if configured is not None or not deployment.base_url:  # without an address the list has no price
        return configured
    listed = price_list.rates(deployment.base_url, deployment.model, context, at)
    return listed and _for_batch(listed, deployment, context, at)


def _for_batch(listed: Rates, deployment: Deployment, context: price_list.Context, at: float | None = None) -> Rates:
    """The rates of the list for a deployment: through its Batch API those of batches, else less its discount."""
    if not deployment.batch:
        return listed
    if deployment.batch_discount is not None:
        return listed.discounted(deployment.batch_discount)
    own = price_list.batch_rates(deployment.base_url or "", deployment.model, context, at)
    return own or listed.discounted(BATCH_DISCOUNT)


def _configured(deployment: Deployment) -> Rates | None:
    """The prices in the settings, or 0 for local and scripted models; None if there are none."""
    if deployment.input_price is not None and deployment.output_price is not None:
        others = (deployment.cached_price, deployment.written_price, deployment.reasoning_price)
        cached, written, reasoning = (None if price is None else flat(price) for price in others)
        sums = flat(deployment.input_price), flat(deployment.output_price)
        rates = Rates(*sums, cached=cached, written=written, reasoning=reasoning)
        discount = BATCH_DISCOUNT if deployment.batch_discount is None else deployment.batch_discount
        return rates.discounted(discount) if deployment.batch else rates
    return _NOTHING if deployment.provider in FREE else None


def _named(deployment: Deployment, prices: tuple[float | None, float | None, float | None]) -> dict[str, Any]:
    names = ("input_price", "output_price", "cached_price")
    return {"alias": deployment.alias, "model": deployment.model, **dict(zip(names, prices, strict=True))}
