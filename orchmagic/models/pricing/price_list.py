"""Looks up prices in the list of the package genai-prices, by endpoint, model, time and service tier.

Nothing is fetched from the network. A look-up takes 60 us, and each attempt needs two or three, so results are cached
for a minute (some prices change with the hour).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

from orchmagic.models.pricing.rates import Rate, Rates, flat

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

Context: TypeAlias = tuple[tuple[str, str], ...]
"""Further conditions of a price, such as `(("service_tier", "priority"),)`."""

PACKAGE = "genai-prices"
_MINUTE, _HOUR = 60, 3600  # seconds
_BATCH = ("processing", "batch")
_FREE = ":free"  # OpenRouter's suffix of free models, which have no price in the list
_THOUSAND = 1_000
_NAMES = {  # our names of the rates, and the names in genai-prices
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "written": "cache_write_mtok",
    "written_long": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_in": "input_audio_mtok",
    "audio_out": "output_audio_mtok",
    "cached_audio": "cache_audio_read_mtok",
    "image_in": "input_image_mtok",
    "image_out": "output_image_mtok",
}


def rates(base_url: str, model: str, context: Context = (), at: float | None = None) -> Rates | None:
    """The prices at a time (seconds since the epoch, default now); None if the list has none."""
    return _rates(base_url, model, context, int((time.time() if at is None else at) // _MINUTE))


def possible(base_url: str, model: str, context: Context = (), at: float | None = None) -> tuple[Rates, ...]:
    """All prices that may apply to a call sent at a time: within the next hour, with and without its `context`."""
    now = time.time() if at is None else at
    cases = [(c, when) for c in dict.fromkeys(((), context)) for when in (now, now + _HOUR)]
    known = (rates(base_url, model, c, when) for c, when in cases)
    return tuple(dict.fromkeys(r for r in known if r is not None))


def batch_rates(base_url: str, model: str, context: Context = (), at: float | None = None) -> Rates | None:
    """The prices through the Batch API at a time; None if the list has none of its own for it."""
    listed, plain = (rates(base_url, model, c, at) for c in ((*context, _BATCH), context))
    return None if listed == plain else listed


def context(*bodies: Mapping[str, Any]) -> Context:
    """Read the conditions of the price from the bodies of a request and its answer; later bodies win."""
    names = ("service_tier", "speed")
    values = {name: text for body in bodies for name in names if isinstance(text := body.get(name), str) and text}
    return tuple(values.items())


def model_names(base_url: str) -> tuple[str, ...]:
    """The names of an endpoint's models in the list; OpenAI's for an unknown endpoint, which may serve them too."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - 0.2 s

    find = get_snapshot().find_provider
    try:
        provider = find("", None, base_url)
    except LookupError:
        provider = find("", "openai", None)
    return tuple(model.id for model in provider.models)


def edition() -> str:
    """Name the list: `genai-prices 0.2.3, its newest price of 2026-11-09`. The list itself has no date."""
    newest = max(_starts(), default=None)
    return f"{PACKAGE} {version(PACKAGE)}" + (f", its newest price of {newest}" if newest else "")


@lru_cache(1024)
def _rates(base_url: str, model: str, context: Context, minute: int) -> Rates | None:
    known = _known(base_url, model)
    if known is None:
        return None
    prices = known.get_prices(datetime.fromtimestamp(minute * _MINUTE, UTC), dict(context) or None)
    listed = _read(prices)
    if listed == Rates():  # the list has no price
        return Rates(flat(0.0), flat(0.0)) if model.endswith(_FREE) else None
    return listed


@lru_cache(256)
def _known(base_url: str, model: str) -> ModelInfo | None:
    # 0.2 s, only for models that have no price in the settings
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - as said above

    try:
        return get_snapshot().find_provider_model(model, None, None, base_url)[1]
    except LookupError:  # an unknown endpoint or model
        return None


def _read(prices: ModelPrice) -> Rates:
    read: dict[str, Any] = {ours: _rate(getattr(prices, theirs, None)) for ours, theirs in _NAMES.items()}
    calls = _rate(getattr(prices, "requests_kcount", None))
    return Rates(**read, request=calls[-1][1] / _THOUSAND if calls else 0.0)


def _rate(price: Any) -> Rate | None:
    if price is None:
        return None
    if hasattr(price, "tiers"):
        return ((-1, float(price.base)), *((tier.start, float(tier.price)) for tier in price.tiers))
    return flat(float(price))


def _starts() -> Iterator[date]:
    """The start dates of all prices in the list, up to today."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - 0.2 s

    today = datetime.now(UTC).date()
    for provider in get_snapshot().providers:
        for model in provider.models:
            changes = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
            days = (getattr(change.constraint, "start_date", None) for change in changes)
            yield from (day for day in days if day is not None and day <= today)
