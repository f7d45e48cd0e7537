"""What an endpoint says an answer took: tokens of each kind, and of some endpoints the dollars themselves.

They agree on the names of the sums, and on little else: what is part of which sum is read from the figures.
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
    """`usage`, and what only its price needs: `written_long` is the part of `usage.written` that is kept for an hour;
    of input and output the tokens of sound and pictures. `charged`: US dollars, None = the endpoint does not say.
    """

    usage: Usage = field(default_factory=Usage)
    written_long: int = 0
    audio_in: int = 0
    audio_out: int = 0
    image_in: int = 0
    image_out: int = 0
    charged: float | None = None


def read(found: Any) -> Bill | None:
    """The `usage` object of an answer; None where it counts nothing, so that the tokens must be estimated."""
    if not isinstance(found, Mapping):
        return None
    asked = _part(found, "prompt_tokens_details", "input_tokens_details")
    answered = _part(found, "completion_tokens_details", "output_tokens_details")
    usage = _sums(found, _cached(found, asked), _written(found, asked), _first(answered, "reasoning_tokens"))
    if not usage.total:
        return None
    kept = _part(asked, "cache_creation_token_details") or _part(found, "cache_creation")
    return Bill(
        usage=usage,
        written_long=min(usage.written, _first(kept, "ephemeral_1h_input_tokens")),
        audio_in=min(usage.input, _first(asked, "audio_tokens")),
        audio_out=min(usage.output, _first(answered, "audio_tokens")),
        image_in=min(usage.input, _first(asked, "image_tokens")),
        image_out=min(usage.output, _first(answered, "image_tokens")),
        charged=charged(found),
    )


def charged(found: Mapping[str, Any]) -> float | None:
    """US dollars that the endpoint reports; None where it says nothing, or 0, which may mean that it does not know."""
    cost = found.get("cost")
    if isinstance(cost, Mapping):  # Perplexity
        return _money(cost.get("total_cost"))
    if cost is not None:  # OpenRouter, and gateways that do as it does
        return _money((_money(cost) or 0.0) + _upstream(found, _money(cost) or 0.0))
    ticks = _money(found.get("cost_in_usd_ticks"))
    return _money(found.get("cost_usd_total")) if ticks is None else ticks / _TICKS


def _upstream(found: Mapping[str, Any], fee: float) -> float:
    """With a key of one's own OpenRouter's `cost` is its fee; the vendor's bill, which comes on top, is beside it."""
    vendors = _money(_part(found, "cost_details").get("upstream_inference_cost")) or 0.0
    own_key = found.get("is_byok")
    return vendors if own_key or (own_key is None and vendors > fee) else 0.0


def _sums(found: Mapping[str, Any], cached: int, written: int, reasoning: int) -> Usage:
    """Input with all that was cached, output with all that was thought: elsewhere they are counted beside the sums."""
    asked, answered = (
        _first(found, "prompt_tokens", "input_tokens"),
        _first(found, "completion_tokens", "output_tokens"),
    )
    beside = max(0, _first(found, "total_tokens") - asked - answered)  # Gemini and xAI: what was thought
    if cached + written > asked or (beside and beside == cached + written != reasoning):
        asked, beside = asked + cached + written, max(0, beside - cached - written)
    elif not beside and reasoning > answered:
        beside = reasoning
    output = answered + beside
    thought = min(output, reasoning or beside)
    return Usage(input=asked, output=output, cached=cached, written=written, reasoning=thought)


def _cached(found: Mapping[str, Any], asked: Mapping[str, Any]) -> int:
    own = _first(asked, "cached_tokens", "cache_read_tokens")
    # Anthropic's name; DeepSeek's; Moonshot and Together; Mistral
    others = ("cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
    return own or _first(found, *others)


def _written(found: Mapping[str, Any], asked: Mapping[str, Any]) -> int:
    own = _first(asked, "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
    return own or _first(found, "cache_creation_input_tokens")


def _part(found: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        part = found.get(name)
        if isinstance(part, dict):
            return part
    return {}


def _first(found: Mapping[str, Any], *names: str) -> int:
    """The first of those counts that is there and not 0."""
    for name in names:
        value = found.get(name)
        if value and (number := _money(value)) is not None:
            return int(number)
    return 0


def _money(value: Any) -> float | None:
    """A number above 0, else None: endpoints send null for nothing.

    Raises:
        ValueError: a text that is none.
    """
    if isinstance(value, str):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    return float(value)
