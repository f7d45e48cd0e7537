"""What an answer cost: the settings' own prices first, then the price list that is shipped with genai-prices.

The list is data of an installed package; nothing is ever fetched.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from orchmagic.events import Usage
from orchmagic.models import Deployment

FREE = frozenset({"local", "scripted"})
_MILLION = 1_000_000
_SAMPLE = 1_000  # tokens that are priced to learn a rate: dearer ones of very long prompts do not count
_READ = 3  # tokens that are read for each one that is written, about: by that, one model is dearer than another


def cost(deployment: Deployment, usage: Usage) -> float | None:
    """US dollars for `usage`; None when the model's price is unknown. Cached input has its own rate."""
    if deployment.input_price is not None and deployment.output_price is not None:
        return _priced(deployment, usage, deployment.input_price, deployment.output_price)
    if deployment.provider in FREE:
        return 0.0
    return _listed(deployment, usage)


def _priced(deployment: Deployment, usage: Usage, fresh: float, written: float) -> float:
    cached = fresh if deployment.cached_price is None else deployment.cached_price
    read = (usage.input - usage.cached) * fresh + usage.cached * cached
    return (read + usage.output * written) / _MILLION


def _listed(deployment: Deployment, usage: Usage) -> float | None:
    if not deployment.base_url:  # whose price it would be is not known
        return None
    import genai_prices  # noqa: PLC0415 - 0.2 s, only for models that have no price in the settings

    spent = genai_prices.Usage(input_tokens=usage.input, cache_read_tokens=usage.cached, output_tokens=usage.output)
    try:
        # the bundled list only: genai-prices fetches a new one when an UpdatePrices is started, never here
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of odd token counts; a price is no reason to stop
            found = genai_prices.calc_price(spent, deployment.model, provider_api_url=deployment.base_url)
    except (LookupError, ValueError):  # an unknown endpoint or model; counts that do not add up
        return None
    return float(found.total_price)


def rates(deployment: Deployment) -> tuple[float, float, float] | None:
    """US dollars for a million tokens of input, output and cached input; None when the price is unknown."""
    sides = (Usage(input=_SAMPLE), Usage(output=_SAMPLE), Usage(input=_SAMPLE, cached=_SAMPLE))
    fresh, written, cached = (cost(deployment, usage) for usage in sides)
    if fresh is None or written is None or cached is None:
        return None
    return fresh * _MILLION / _SAMPLE, written * _MILLION / _SAMPLE, cached * _MILLION / _SAMPLE


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


def _named(deployment: Deployment, prices: tuple[float | None, float | None, float | None]) -> dict[str, Any]:
    names = ("input_price", "output_price", "cached_price")
    return {"alias": deployment.alias, "model": deployment.model, **dict(zip(names, prices, strict=True))}
