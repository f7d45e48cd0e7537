"""Computes costs from a model's rates: each kind of token has its own rate, in US dollars per million tokens.

A rate is a list of tiers (tokens, price). The highest tier that the length of the input exceeds sets the price of all
tokens. A kind of token without its own rate has the rate of the kind that it is part of.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

from orchmagic.models.wire.billing import Bill

MILLION = 1_000_000
Rate: TypeAlias = tuple[tuple[float, float], ...]


def flat(price: float) -> Rate:
    """A rate with one price for any length of the input."""
    return ((-1, price),)


@dataclass(frozen=True, slots=True)
class Rates:
    """The rate of each kind of token; None = no rate of its own, for `input` and `output` unknown.

    `request`: the fixed price of a call, in US dollars.
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

    def discounted(self, share: float) -> Rates:
        """The rates less a share of each price (0 to 1)."""
        rest = 1 - share
        lower = {
            name: tuple((start, price * rest) for start, price in rate)
            for name in _NAMES
            if (rate := getattr(self, name)) is not None
        }
        return Rates(**lower, request=self.request * rest)

    def cost(self, bill: Bill) -> float | None:
        """The cost of a bill in US dollars; None if a needed price is unknown or the counts are inconsistent."""
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
        """The extra price of audio and images over text. Tokens beyond the uncached `text` were read from the cache."""
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
        """The most US dollars that a call costs with at most `prompt` and `reply` tokens; None if a price is unknown.

        `cache_an_hour`: it may write to the one-hour cache; `images`, `audio`: it may have tokens of these kinds.
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


_NAMES = tuple(f.name for f in fields(Rates) if f.name != "request")


def at(rate: Rate | None, size: int, otherwise: float = 0.0) -> float:
    """The price of a rate for an input of `size` tokens; `otherwise` if there is no rate."""
    if rate is None:
        return otherwise
    if len(rate) == 1:
        return rate[0][1]
    return next((price for start, price in reversed(rate) if size > start), rate[0][1])


def _most(rates: list[Rate | None], size: int) -> float:
    """The highest price in any of the rates for an input of at most `size` tokens."""
    return max(price for rate in rates if rate for start, price in rate if size > start or start < 0)
