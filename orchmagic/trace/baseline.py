"""Estimate what a run would have cost on the strongest model, and compare it with its pattern's usual range.

The texts say "estimated", since another model would have written other answers. An unknown price stays unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchmagic.core import tokens
from orchmagic.trace import humanize
from orchmagic.trace.events import Usage
from orchmagic.trace.record import Record

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """Estimated US dollars on the strongest model: `one` call (inputs in, output out), and `every` call of the run.

    None: the price is unknown. `saved`: the share of `every` that the run did not cost, None if unknown.
    """

    alias: str
    model: str
    one: float | None
    every: float | None
    saved: float | None

    @property
    def name(self) -> str:
        """Alias and model: `large (gpt-4.1)`."""
        return self.alias if self.alias == self.model else f"{self.alias} ({self.model})"

    @property
    def free(self) -> bool:
        """Whether the strongest model is free, so that there is nothing to compare."""
        return self.one == self.every == 0

    def text(self) -> str:
        """The estimate as one sentence."""
        if self.one is None or self.every is None:
            return f"On {self.name} it would have cost an unknown sum: it has no price"
        saved = "" if self.saved is None else f" ({_saved(self.saved)})"
        return (
            f"On {self.name}, estimated: one call {humanize.money(self.one)}, "
            f"all calls {humanize.money(self.every)}{saved}"
        )


def baseline(record: Record) -> Baseline | None:
    """Return the estimate; None if the record names no strongest model (records of older versions do not)."""
    strong = record.strongest
    if not strong:
        return None
    one = _cost(strong, Usage(**strong.get("one") or _once(record)))
    every = _cost(strong, record.usage)
    saved = 1 - record.cost / every if every and not record.unpriced else None
    return Baseline(str(strong["alias"]), str(strong["model"]), one, every, saved)


def pinned(record: Record) -> Mapping[str, Any] | None:
    """Return `record.strongest` with the token counts of one call, to be kept when values are truncated."""
    return record.strongest and {"one": _once(record), **record.strongest}


def remarks(record: Record, *, above: bool = False) -> Iterator[str]:
    """Yield a sentence for each measure outside the usual range of the pattern; with `above` only for those above it.

    A run that is free, cached or replayed is not reported as below the range.
    """
    if not record.usual or record.status != "done":
        return
    since = record.usual["since"]
    cost, seconds = humanize.money(record.cost, record.unpriced), humanize.seconds(record.seconds)
    measures = (
        ("cost", record.cost, cost, "dollars", humanize.money),
        ("took", record.seconds, seconds, "seconds", humanize.seconds),
    )
    for verb, value, amount, side, written in measures:
        low, high = record.usual[side]
        fresh = value and record.calls and not record.cached and not record.recalled and not record.unpriced
        if value > high or (value < low and fresh and not above):
            way = "more" if value > high else "less"
            yield (
                f"It {verb} {amount}, {way} than the {written(low)} to {written(high)} "
                f"that are usual for {record.pattern} ({since})"
            )


def _cost(prices: Mapping[str, Any], usage: Usage) -> float | None:
    fresh, written, cached = (prices[f"{side}_price"] for side in ("input", "output", "cached"))
    if fresh is None or written is None:
        return None
    read = (usage.input - usage.cached) * fresh + usage.cached * (fresh if cached is None else cached)
    return float(read + usage.output * written) / _MILLION


def _once(record: Record) -> dict[str, int]:
    """Token counts of one call that reads the run's inputs and writes its output."""
    return {"input": sum(_tokens(v) for v in record.inputs.values()), "output": _tokens(record.output)}


def _tokens(value: Any) -> int:
    """Estimated tokens of a value, counted as JSON if it is no text."""
    if value is None:
        return 0
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return tokens.estimated(text)


def _saved(part: float) -> str:
    return f"saved {part:.0%}" if part >= 0 else f"this run cost {-part:.0%} more"
