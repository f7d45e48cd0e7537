"""A model's prices in US dollars, and the arithmetic on them: each kind of token at its own rate.

A rate is a ladder of (tokens, dollars for a million): the price of the highest rung that the whole input is above,
for all tokens. A kind without a rate of its own has that of the kind it is part of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from orchmagic.models.wire.billing import Bill

MILLION = 1_000_000
Rate: TypeAlias = tuple[tuple[float, float], ...]


def flat(price: float) -> Rate:
    """One price, however long the input is."""
    return ((-1, price),)


@dataclass(frozen=True, slots=True)
class Rates:
    """None: the list has no such rate. Of `input` and `output` that means unknown: nobody gives them away unsaid.

    `request` is what a call costs beside its tokens.
    """

    input: Rate | None = None
    output: Rate | None = None
    cached: Rate | None = None
    written: Rate | None = None
    written_long: Rate | None = None
    reasoning: Rate | None = None
    audio_in: Rate | None = None
    audio_out: Rate | None = None
    cached_audio: Rate | None = None
    image_in: Rate | None = None
    image_out: Rate | None = None
    request: float = 0.0

    def cost(self, bill: Bill) -> float | None:
        """Dollars; None when a price is unknown that is needed, or the counts do not add up."""
        usage, size = bill.usage, bill.usage.input
        text = size - usage.cached - usage.written
        if text < 0 or (size and self.input is None) or (usage.output and self.output is None):
            return None
        fresh = _at(self.input, size)
        spent = text * fresh
        if usage.cached:
            spent += usage.cached * _at(self.cached, size, fresh)
        if usage.written:
            brief = _at(self.written, size, fresh)
            spent += (usage.written - bill.written_long) * brief
            spent += bill.written_long * _at(self.written_long, size, brief)
        if bill.audio_in or bill.image_in:
            spent += self._seen(bill, text, fresh)
        if usage.output:
            spent += self._said(bill, size)
        return spent / MILLION + self.request

    def _seen(self, bill: Bill, text: int, fresh: float) -> float:
        """What sound and pictures cost more than text. Those beyond what is fresh were read from the cache."""
        size = bill.usage.input
        image = min(bill.image_in, text)
        audio = min(bill.audio_in, text - image)
        more = image * (_at(self.image_in, size, fresh) - fresh) + audio * (_at(self.audio_in, size, fresh) - fresh)
        stored, cached = min(bill.audio_in - audio, bill.usage.cached), _at(self.cached, size, fresh)
        return more + stored * (_at(self.cached_audio, size, cached) - cached)

    def _said(self, bill: Bill, size: int) -> float:
        plain = _at(self.output, size)
        more = min(bill.usage.reasoning, bill.usage.output) * (_at(self.reasoning, size, plain) - plain)
        more += bill.audio_out * (_at(self.audio_out, size, plain) - plain)
        more += bill.image_out * (_at(self.image_out, size, plain) - plain)
        return bill.usage.output * plain + more

    def worst(self, asked: int, answered: int, *, kept: bool, seen: bool, heard: bool) -> float | None:
        """The most that a call of at most so many tokens costs, however they are cached, thought or spoken.

        `kept`: it may write to the cache for an hour; `seen`, `heard`: there may be pictures or sound in it.
        """
        if self.input is None or self.output is None:
            return None
        read = [self.input, self.cached, self.written, self.written_long if kept else None]
        said = [self.output, self.reasoning]
        if seen:
            read, said = [*read, self.image_in], [*said, self.image_out]
        if heard:
            read, said = [*read, self.audio_in, self.cached_audio], [*said, self.audio_out]
        return (asked * _most(read, asked) + answered * _most(said, asked)) / MILLION + self.request


def _at(rate: Rate | None, size: int, otherwise: float = 0.0) -> float:
    """The price for an input of that many tokens."""
    if rate is None:
        return otherwise
    if len(rate) == 1:
        return rate[0][1]
    return next((price for start, price in reversed(rate) if size > start), rate[0][1])


def _most(rates: list[Rate | None], size: int) -> float:
    """The dearest rung of any of them that an input of at most that many tokens may reach."""
    return max(price for rate in rates if rate for start, price in rate if size > start or start < 0)
