"""Parse US dollars and spend limits: `0.50`, `$2`, `100k tokens`, `0.50, 100k tokens`, `off`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchmagic.core.text_format import counted, plain
from orchmagic.core.validators import finite

_TOKENS = re.compile(r"([\d,_]+(?:\.\d+)?)\s*([km]?)\s*(?:tokens?|tok)", re.IGNORECASE)
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000}
_WRITE = "US dollars (0.50), tokens (100k tokens), both (0.50, 100k tokens), or off"


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """A limit in US dollars and in tokens (input and output); None: no limit."""

    money: float | None = None
    tokens: int | None = None

    def __str__(self) -> str:
        sides = [f"${plain(self.money or 0.0)}"] * (self.money is not None)
        sides += [counted(self.tokens or 0, "token")] * (self.tokens is not None)
        return " and ".join(sides) or "no limit"


def dollars(value: object) -> float:
    """Parse US dollars, with or without the dollar sign.

    Raises:
        ValueError: `value` is no amount; the text says what to write.
    """
    return finite(value.strip().strip("$") if isinstance(value, str) else value, "US dollars such as 0.05")


def spend_limit(value: object) -> SpendLimit:
    """Parse a limit from a setting or from the words of `%orch budget`.

    Raises:
        ValueError: `value` is no limit; the text says what to write.
    """
    if value is None or isinstance(value, SpendLimit):
        return value or SpendLimit()
    if not isinstance(value, str):
        return _side(str(value)) if not isinstance(value, bool) else _side("")
    if value.strip().lower() in {"off", "none"}:
        return SpendLimit()
    sides = [_side(part.strip()) for part in re.split(r",\s+|\s+and\s+", value.strip())]
    money = [s.money for s in sides if s.money is not None]
    tokens = [s.tokens for s in sides if s.tokens is not None]
    if len(money) > 1 or len(tokens) > 1:
        raise ValueError(_WRITE)
    return SpendLimit(money[0] if money else None, tokens[0] if tokens else None)


def _side(part: str) -> SpendLimit:
    tokens = _TOKENS.fullmatch(part)
    if tokens is not None:
        return SpendLimit(tokens=round(float(tokens[1].replace(",", "").replace("_", "")) * _TIMES[tokens[2].lower()]))
    try:
        return SpendLimit(money=dollars(part.removesuffix("dollars").removesuffix("USD")))
    except ValueError:
        raise ValueError(_WRITE) from None
