"""What an answer cost: the settings' own prices first, then what the endpoint says it charged, then the shipped list.

An unknown price is None, and shown as unknown: never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchmagic.errors import ModelError, OrchError, UnusableReply
from orchmagic.models.pricing import price_list
from orchmagic.models.pricing.rates import Rates, at, flat
from orchmagic.models.types import Deployment, ModelResponse
from orchmagic.models.wire import billing
from orchmagic.models.wire.billing import Bill
from orchmagic.trace.events import Usage

FREE = frozenset({"local", "scripted"})
_SAMPLE = 1_000  # tokens of a prompt whose rate is shown: dearer ones of very long prompts do not count
_INPUT_PER_OUTPUT = 3  # tokens, about: by this mix one model is called more expensive than another
_NOTHING = Rates(flat(0.0), flat(0.0))


def cost(deployment: Deployment, usage: Usage, *, at: float | None = None) -> float | None:
    """US dollars for `usage`; None if the model's price is unknown. Each kind of token has its own rate.

    `at` is the time of the call, in seconds since the epoch; now by default.
    """
    known = _rates(deployment, at=at)
    return None if known is None else known.cost(Bill(usage))


def with_cost(
    answer: ModelResponse, completion: Mapping[str, Any], deployment: Deployment, body: Mapping[str, Any]
) -> ModelResponse:
    """The answer with its cost; `completion` is the `chat.completion` it was read from, `body` that of the request.

    A cost that the endpoint reports wins over the list, whose prices it may not keep to, but not over the settings.
    """
    bill = billing.read(completion.get("usage")) or Bill(answer.usage)
    configured = _configured(deployment)
    if configured is None and bill.charged is not None:
        return replace(answer, cost=bill.charged, charged=True)
    known = configured or _rates(deployment, price_list.context(body, completion))
    return replace(answer, cost=None if known is None else known.cost(bill))


def of_failure(error: OrchError) -> tuple[Usage, float | None] | None:
    """The tokens that a failed attempt is billed, and US dollars (None: their price is unknown); None: nobody knows."""
    if isinstance(error, UnusableReply) and error.usage is not None:
        return error.usage, error.cost
    return None if isinstance(error, ModelError) and error.may_have_spent else (Usage(), 0.0)


def worst(deployment: Deployment, prompt: int, reply: int, body: Mapping[str, Any], **may: bool) -> float | None:
    """The most that a call of at most so many tokens can cost, by the highest prices that may apply to it.

    `may`: which kinds of tokens there may be, see `Rates.worst`.
    """
    configured = _configured(deployment)
    if configured is not None:
        possible: tuple[Rates, ...] = (configured,)
    elif deployment.base_url:
        possible = price_list.possible(deployment.base_url, deployment.model, price_list.context(body))
    else:  # the endpoint is unknown, and so is its price
        return None
    sums = [rates.worst(prompt, reply, **may) for rates in possible]
    return None if not sums or None in sums else max(s for s in sums if s is not None)


def rates(deployment: Deployment) -> tuple[float, float, float] | None:
    """US dollars for a million tokens of input, output and cached input; None when the price is unknown."""
    known = _rates(deployment)
    if known is None or known.input is None or known.output is None:
        return None
    fresh = at(known.input, _SAMPLE)
    return fresh, at(known.output, _SAMPLE), at(known.cached, _SAMPLE, fresh)


def strongest(large: Deployment | None, used: Iterable[Deployment]) -> dict[str, Any] | None:
    """The cost reference of a run: the most expensive of alias `large` and the models it may use; None: no such model.

    `{"alias", "model", "input_price", "output_price", "cached_price"}`, prices per million tokens; None where the
    price of `large` is unknown.
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
    return price_list.rates(deployment.base_url, deployment.model, context, at)


def _configured(deployment: Deployment) -> Rates | None:
    """The prices of the settings, or 0 for models that run here; None: neither."""
    if deployment.input_price is not None and deployment.output_price is not None:
        others = (deployment.cached_price, deployment.written_price, deployment.reasoning_price)
        cached, written, reasoning = (None if price is None else flat(price) for price in others)
        sums = flat(deployment.input_price), flat(deployment.output_price)
        return Rates(*sums, cached=cached, written=written, reasoning=reasoning)
    return _NOTHING if deployment.provider in FREE else None


def _named(deployment: Deployment, prices: tuple[float | None, float | None, float | None]) -> dict[str, Any]:
    names = ("input_price", "output_price", "cached_price")
    return {"alias": deployment.alias, "model": deployment.model, **dict(zip(names, prices, strict=True))}
