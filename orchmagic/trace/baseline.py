"""Estimate what a run would have cost on the strongest model, and compare it with its pattern's usual range.

What a run saves is measured against one strong call for the same task. Calls that exist only because of the pattern
(judges, rejected answers, votes, retries, routers) are no part of it. The texts say "estimated", since another model
would have written other answers. An unknown price stays unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchmagic.core import tokens
from orchmagic.trace import humanize
from orchmagic.trace.events import Usage
from orchmagic.trace.record import Record, Span

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """Estimated US dollars on the strongest model: `one` call for the whole task, and `every` call of the run.

    None: the price is unknown. `saved`: the share of `one` that the run did not cost, negative if it cost more; None if
    a price is unknown or the run is not done.
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
            return f"No price known for {self.name}, so no estimate of what was saved"
        compared = f"{self._compared.capitalize()} (estimate)" if self.saved is not None else "Estimate"
        one, every = humanize.money(self.one), humanize.money(self.every)
        return f"{compared}: one call to {self.name} {one}, all calls to it {every}"

    @property
    def heading(self) -> str:
        """`Cost details · about 39% less than one strong call (estimate)`; empty if that is not known."""
        return "" if self.saved is None else f"Cost details \u00b7 {self._compared} (estimate)"

    @property
    def _compared(self) -> str:
        part = self.saved or 0.0
        less = f"{part:.0%} less than" if part >= 0 else f"{1 - part:.1f} times the cost of"
        return f"about {less} one strong call"


def baseline(record: Record) -> Baseline | None:
    """Return the estimate; None if the record names no strongest model (records of older versions do not)."""
    strong = record.strongest
    if not strong:
        return None
    one = _cost(strong, Usage(**strong.get("one") or _once(record)))
    every = _cost(strong, record.usage)
    saved = 1 - record.cost / one if one and record.status == "done" and not record.unpriced else None
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
    measures = (
        (record.cost, "dollars", humanize.money, ("More expensive", "Cheaper")),
        (record.seconds, "seconds", lambda s: f"{s:g} s", ("Slower", "Faster")),
    )
    for value, side, written, (above_it, below_it) in measures:
        low, high = record.usual[side]
        fresh = value and record.calls and not record.cached and not record.recalled and not record.unpriced
        if value > high or (value < low and fresh and not above):
            amount = humanize.money(value) if side == "dollars" else humanize.seconds(value)
            usual = f"usual {written(low).removesuffix(' s')}\u2013{written(high)}"
            yield f"{above_it if value > high else below_it} than usual for %%{record.pattern}: {amount} ({usual})"


def _cost(prices: Mapping[str, Any], usage: Usage) -> float | None:
    fresh, written, cached = (prices[f"{side}_price"] for side in ("input", "output", "cached"))
    if fresh is None or written is None:
        return None
    read = (usage.input - usage.cached) * fresh + usage.cached * (fresh if cached is None else cached)
    return float(read + usage.output * written) / _MILLION


def _once(record: Record) -> dict[str, int]:
    """Token counts of one call for the task: it reads the prompt that got the inputs, and writes the run's output.

    The prompt is that of the first step, or that of the step which gave the output if that is longer. For each item, a
    step's first prompt and its last answer count, so no vote, no retry and no rejected answer does.
    """
    steps: dict[str, dict[str, list[Span]]] = {}  # answers by step and by item
    for ask in record.spans:
        if ask.kind == "ask" and ask.status in {"done", "retried"}:
            step, item = _step_and_item(ask.parent or ask.id)
            steps.setdefault(step, {}).setdefault(item, []).append(ask)
    if not steps:
        return {"input": sum(_tokens(v) for v in record.inputs.values()), "output": _tokens(record.output)}
    giving = next((s.name for s in reversed(record.steps) if s.status == "done" and s.output == record.output), "")
    last = next((step for step in reversed(steps) if step.partition("/")[0] == giving), "")
    read = [sum(_read(asks[0]) for asks in steps[step].values()) for step in {next(iter(steps)), last} - {""}]
    wrote = sum(_wrote(asks[-1]) for asks in steps[last].values()) if last else _tokens(record.output)
    return {"input": max(read), "output": wrote}


def _step_and_item(span: str) -> tuple[str, str]:
    """The path of a step, and the numbers of the items in it: (`digest/map`, `2/3`) of `digest#1/2/map#1/3/v1`."""
    parts = span.split("/")
    return "/".join(p.partition("#")[0] for p in parts if "#" in p), "/".join(p for p in parts if p.isdigit())


def _read(ask: Span) -> int:
    return ask.usage.input or _tokens(ask.input)


def _wrote(ask: Span) -> int:
    return ask.usage.output or _tokens(ask.output)


def _tokens(value: Any) -> int:
    """Estimated tokens of a value, counted as JSON if it is no text."""
    if value is None:
        return 0
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return tokens.estimated(text)
