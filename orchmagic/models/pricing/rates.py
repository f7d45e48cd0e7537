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
    """The rate of each kind of token; None: it has none of its own, for `input` and `output` it is unknown.

    `request` is what a call costs beside its tokens, in US dollars.
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
        """US dollars; None if a needed price is unknown, or the counts do not add up."""
        usage, size = bill.usage, bill.usage.input
        text = size - usage.cached - usage.written
        if text < 0 or (size and self.input is None) or (usage.output and self.output is None):
            return None
        plain = at(self.input, size)
        spent = text * plain
        if usage.cached:
            spent += usage.cached * at(self.cached, size, plain)
        if usage.written:
            written = at(self.written, size, plain)
            spent += (usage.written - bill.written_long) * written
            spent += bill.written_long * at(self.written_long, size, written)
        if bill.audio_in or bill.image_in:
            spent += self._media_surcharge(bill, text, plain)
        if usage.output:
            spent += self._output(bill, size)
        return spent / MILLION + self.request

    def _media_surcharge(self, bill: Bill, text: int, plain: float) -> float:
        """What audio and images cost more than text. Tokens beyond the uncached `text` were read from the cache."""
        size = bill.usage.input
        image = min(bill.image_in, text)
        audio = min(bill.audio_in, text - image)
        more = image * (at(self.image_in, size, plain) - plain) + audio * (at(self.audio_in, size, plain) - plain)
        stored, cached = min(bill.audio_in - audio, bill.usage.cached), at(self.cached, size, plain)
        return more + stored * (at(self.cached_audio, size, cached) - cached)

    def _output(self, bill: Bill, size: int) -> float:
        plain = at(self.output, size)
        more = min(bill.usage.reasoning, bill.usage.output) * (at(self.reasoning, size, plain) - plain)
        more += bill.audio_out * (at(self.audio_out, size, plain) - plain)
        more += bill.image_out * (at(self.image_out, size, plain) - plain)
        return bill.usage.output * plain + more

    def worst(self, prompt: int, reply: int, *, cache_an_hour: bool, images: bool, audio: bool) -> float | None:
        """The most that a call of at most so many tokens costs, whatever their kinds.

        `cache_an_hour`: it may write to the cache for an hour; `images`, `audio`: there may be some in it.
        """
        if self.input is None or self.output is None:
            return None
        inputs = [self.input, self.cached, self.written, self.written_long if cache_an_hour else None]
        outputs = [self.output, self.reasoning]
        if images:
            inputs, outputs = [*inputs, self.image_in], [*outputs, self.image_out]
        if audio:
            inputs, outputs = [*inputs, self.audio_in, self.cached_audio], [*outputs, self.audio_out]
        return (prompt * _most(inputs, prompt) + reply * _most(outputs, prompt)) / MILLION + self.request


def at(rate: Rate | None, size: int, otherwise: float = 0.0) -> float:
    """The price for an input of that many tokens."""
    if rate is None:
        return otherwise
    if len(rate) == 1:
        return rate[0][1]
    return next((price for start, price in reversed(rate) if size > start), rate[0][1])


def _most(rates: list[Rate | None], size: int) -> float:
    """The dearest rung of any of them that an input of at most that many tokens may reach."""
    return max(price for rate in rates if rate for start, price in rate if size > start or start < 0)
