"""What an answer cost: the settings' own prices first, then what the endpoint says it charged, then the shipped list.

An unknown price is None, and shown as unknown: never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from orchmagic.models.pricing import price_list
from orchmagic.models.pricing.rates import MILLION, Rate, Rates, flat
from orchmagic.models.types import Deployment, ModelResponse
from orchmagic.models.wire import billing
from orchmagic.models.wire.billing import Bill
from orchmagic.trace.events import Usage

FREE = frozenset({"local", "scripted"})
_SAMPLE = 1_000  # tokens that are priced to learn a rate: dearer ones of very long prompts do not count
_READ = 3  # tokens that are read for each one that is written, about: by that, one model is dearer than another
_NOTHING = Rates(flat(0.0), flat(0.0))


def cost(deployment: Deployment, usage: Usage, *, at: float | None = None) -> float | None:
    """US dollars for `usage`; None when the model's price is unknown. What is cached or thought has its own rate.

    `at` is the time it was asked, in seconds since the epoch; now by default.
    """
    found = _rates(deployment, at=at)
    return None if found is None else found.cost(Bill(usage))


def settled(
    answer: ModelResponse, told: Mapping[str, Any], deployment: Deployment, sent: Mapping[str, Any]
) -> ModelResponse:
    """The answer with its cost; `told` is the `chat.completion` it was read from, `sent` the question's body.

    A cost that the endpoint reports wins over the list, whose prices it may not keep to, but not over the settings.
    """
    bill = billing.read(told.get("usage")) or Bill(answer.usage)
    own = _own(deployment)
    if own is None and bill.charged is not None:
        return replace(answer, cost=bill.charged, charged=True)
    found = own or _rates(deployment, price_list.context(sent, told))
    return replace(answer, cost=None if found is None else found.cost(bill))


def worst(deployment: Deployment, asked: int, answered: int, sent: Mapping[str, Any], **may: bool) -> float | None:
    """The most that a call of at most so many tokens can cost, by the dearest prices that may apply to it.

    `may`: what the body `sent` lets it be, see `Rates.worst`.
    """
    known = _own(deployment)
    if known is not None:
        found: tuple[Rates, ...] = (known,)
    elif deployment.base_url:
        found = price_list.possible(deployment.base_url, deployment.model, price_list.context(sent))
    else:  # whose price it would be is not known
        return None
    sums = [each.worst(asked, answered, **may) for each in found]
    return None if not sums or None in sums else max(s for s in sums if s is not None)


def rates(deployment: Deployment) -> tuple[float, float, float] | None:
    """US dollars for a million tokens of input, output and cached input; None when the price is unknown."""
    sides = (Usage(input=_SAMPLE), Usage(output=_SAMPLE), Usage(input=_SAMPLE, cached=_SAMPLE))
    found = _rates(deployment)
    if found is None:
        return None
    fresh, written, cached = (replace(found, request=0.0).cost(Bill(usage)) for usage in sides)
    if fresh is None or written is None or cached is None:
        return None
    return fresh * MILLION / _SAMPLE, written * MILLION / _SAMPLE, cached * MILLION / _SAMPLE


def strongest(large: Deployment | None, used: Iterable[Deployment]) -> dict[str, Any] | None:
    """What a run is measured against: the dearest of alias `large` and the models it may use; None: there is none.

    `{"alias", "model", "input_price", "output_price", "cached_price"}`, prices per million tokens; None where the
    price of `large` is unknown.
    """
    if large is not None and rates(large) is None:
        return _named(large, (None, None, None))
    known = [(d, found) for d in (*filter(None, (large,)), *used) if (found := rates(d)) is not None]
    if not known:
        return None
    return _named(*max(known, key=lambda pair: _READ * pair[1][0] + pair[1][1]))


def _rates(deployment: Deployment, context: price_list.Context = (), at: float | None = None) -> Rates | None:
    own = _own(deployment)
    if own is not None or not deployment.base_url:  # without: whose price it would be is not known
        return own
    return price_list.rates(deployment.base_url, deployment.model, context, at)


def _own(deployment: Deployment) -> Rates | None:
    """The settings' prices, or nothing for what runs here; None: neither."""
    fresh, written = deployment.input_price, deployment.output_price
    if fresh is not None and written is not None:
        return _set(fresh, written, deployment.cached_price, deployment.written_price, deployment.reasoning_price)
    return _NOTHING if deployment.provider in FREE else None


@lru_cache(256)
def _set(asked: float, answered: float, *others: float | None) -> Rates:
    cached, written, reasoning = (_flat(price) for price in others)
    return Rates(flat(asked), flat(answered), cached=cached, written=written, reasoning=reasoning)


def _flat(price: float | None) -> Rate | None:
    return None if price is None else flat(price)


def _named(deployment: Deployment, prices: tuple[float | None, float | None, float | None]) -> dict[str, Any]:
    names = ("input_price", "output_price", "cached_price")
    return {"alias": deployment.alias, "model": deployment.model, **dict(zip(names, prices, strict=True))}
