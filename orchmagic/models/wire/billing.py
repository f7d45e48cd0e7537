"""Reads the `usage` object of an answer: tokens of each kind, and the cost in US dollars that some endpoints report.

Endpoints agree on little but the names of the sums; which count is part of which sum is inferred from the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchmagic.trace.events import Usage

_TICKS = 10_000_000_000  # xAI counts money in 10^-10 US dollars


@dataclass(frozen=True, slots=True)
class Bill:
    """Token counts for the price of a call: `written_long` is the part of `usage.written` that is cached for an hour;
    the others count tokens of audio and images. `charged`: US dollars, None = not reported.
    """

    usage: Usage = field(default_factory=Usage)
    written_long: int = 0
    audio_in: int = 0
    audio_out: int = 0
    image_in: int = 0
    image_out: int = 0
    charged: float | None = None


def read(data: Any) -> Bill | None:
    """Read a `usage` object; None if it has no counts, so that the tokens must be estimated."""
    if not isinstance(data, Mapping):
        return None
    inputs = _part(data, "prompt_tokens_details", "input_tokens_details")
    outputs = _part(data, "completion_tokens_details", "output_tokens_details")
    usage = _sums(data, _cached(data, inputs), _written(data, inputs), _first(outputs, "reasoning_tokens"))
    if not usage.total:
        return None
    written = _part(inputs, "cache_creation_token_details") or _part(data, "cache_creation")
    return Bill(
        usage=usage,
        written_long=min(usage.written, _first(written, "ephemeral_1h_input_tokens")),
        audio_in=min(usage.input, _first(inputs, "audio_tokens")),
        audio_out=min(usage.output, _first(outputs, "audio_tokens")),
        image_in=min(usage.input, _first(inputs, "image_tokens")),
        image_out=min(usage.output, _first(outputs, "image_tokens")),
        charged=charged(data),
    )


def charged(data: Mapping[str, Any]) -> float | None:
    """The cost in US dollars that the endpoint reports; None if it reports none, or 0, which may mean unknown."""
    cost = data.get("cost")
    if isinstance(cost, Mapping):  # Perplexity
        return _money(cost.get("total_cost"))
    if cost is not None:  # OpenRouter and compatible gateways
        return _money((_money(cost) or 0.0) + _upstream(data, _money(cost) or 0.0))
    ticks = _money(data.get("cost_in_usd_ticks"))
    return _money(data.get("cost_usd_total")) if ticks is None else ticks / _TICKS


def _upstream(data: Mapping[str, Any], fee: float) -> float:
    """The vendor's price in addition to OpenRouter's fee, if the user's own vendor key was used; else 0."""
    vendors = _money(_part(data, "cost_details").get("upstream_inference_cost")) or 0.0
    users_key = data.get("is_byok")
    return vendors if users_key or (users_key is None and vendors > fee) else 0.0


def _sums(data: Mapping[str, Any], cached: int, written: int, reasoning: int) -> Usage:
    """Input with cached tokens and output with reasoning; some endpoints do not include them in their sums."""
    prompt = _first(data, "prompt_tokens", "input_tokens")
    reply = _first(data, "completion_tokens", "output_tokens")
    beside = max(0, _first(data, "total_tokens") - prompt - reply)  # Gemini and xAI: the reasoning
    if cached + written > prompt or (beside and beside == cached + written != reasoning):
        prompt, beside = prompt + cached + written, max(0, beside - cached - written)
    elif not beside and reasoning > reply:
        beside = reasoning
    output = reply + beside
    return Usage(
        input=prompt, output=output, cached=cached, written=written, reasoning=min(output, reasoning or beside)
    )


def _cached(data: Mapping[str, Any], details: Mapping[str, Any]) -> int:
    # Anthropic's name; DeepSeek's; Moonshot and Together; Mistral
    others = ("cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
    return _first(details, "cached_tokens", "cache_read_tokens") or _first(data, *others)


def _written(data: Mapping[str, Any], details: Mapping[str, Any]) -> int:
    names = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
    return _first(details, *names) or _first(data, "cache_creation_input_tokens")


def _part(data: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        part = data.get(name)
        if isinstance(part, dict):
            return part
    return {}


def _first(data: Mapping[str, Any], *names: str) -> int:
    """The first of the named counts that exists and is not 0; else 0."""
    for name in names:
        value = data.get(name)
        if value and (number := _money(value)) is not None:
            return int(number)
    return 0


def _money(value: Any) -> float | None:
    """A positive number, also written as text, else None: endpoints send null or 0 for nothing, and sometimes nonsense.

    Never raises: the answer that the figure came with is paid.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None
