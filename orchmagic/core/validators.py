"""Readers: functions that turn a written setting (TOML, environment text or a Python value) into a checked value.

A reader raises a ValueError whose text says what to write; the caller adds where. Magic lines use the readers, too, so
this module does not import Pydantic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from orchmagic.core.limits import OPEN

Reader: TypeAlias = Callable[[object], Any]
MOST = 1_000_000_000  # upper bound of whole numbers: more is a mistake
YEAR = 365 * 86400.0  # seconds
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(written: str) -> float:
    """Return the seconds of "90", "90s", "2m", "12h" or "30d".

    Raises:
        ValueError: another form; the text says what to write.
    """
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d+)?)\s*([smhd]?)\s*", written)
    if match is None:
        raise ValueError('a time such as "90s", "2m", "12h" or "30d"')
    return float(match[1]) * _UNITS[match[2] or "s"]


def text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError("a name in quotes")


def words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return tuple(text(word) for word in value)
    raise ValueError("names separated by commas, or a list of them")


def finite(value: object, what: str) -> float:
    """Read a finite number >= 0; NaN, infinity and bool are rejected. `what` is the text of the error."""
    try:
        number = float(value) if isinstance(value, (str, int, float)) else None
    except (ValueError, OverflowError):
        number = None
    # a bool is an int in Python, so it is rejected explicitly; NaN fails the range check
    if isinstance(value, bool) or number is None or not 0 <= number < float("inf"):
        raise ValueError(what)
    return number


def whole_number(least: int) -> Reader:
    """Return a reader of whole numbers from `least` to MOST."""

    def read(value: object) -> int:
        number = finite(value, what := f"a whole number, {least} or more")
        if number != int(number) or number < least:
            raise ValueError(what)
        if number > MOST:
            raise ValueError(f"a whole number, {MOST:,} or less")
        return int(number)

    return read


def seconds(value: object) -> float:
    """Read a time in seconds, more than 0 and at most YEAR; strings as in `duration`."""
    what = 'seconds, or a time such as "90s"'
    number = duration(value) if isinstance(value, str) else finite(value, what)
    if number == 0:
        raise ValueError('more than no time, such as "90s", or "none" for no limit')
    if number > YEAR:
        raise ValueError('365d or less, or "none" for no limit')
    return number


def flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("true or false")


def one_of(*choices: str) -> Reader:
    def read(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise ValueError(" or ".join(f'"{choice}"' for choice in choices))

    return read


def optional(reader: Reader) -> Reader:
    """Return a reader that also accepts None and "none" (TOML has no null), which mean no limit."""
    return lambda value: None if value is None or value == OPEN else reader(value)


AGES = (10.0, YEAR)  # minimum and maximum seconds an answer may be cached


def written(parse: Callable[[str], object]) -> Reader:
    """Return a reader that keeps the text unchanged after checking it with `parse`."""

    def read(value: object) -> str:
        checked = text(value)
        parse(checked)
        return checked

    return read


def path(value: object) -> Path:
    return (value if isinstance(value, Path) else Path(text(value))).expanduser()


def table(value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    raise ValueError("a table such as { temperature = 0 }")


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How answers are cached: `how` is exact, semantic (also serves differently worded questions) or off.

    `ttl` in seconds. None: not specified.
    """

    how: Literal["exact", "semantic", "off"] | None = None
    ttl: float | None = None

    def over(self, base: CachePolicy) -> CachePolicy:
        """Fill unspecified fields from `base`; a `ttl` alone turns a cache that is off to exact."""
        how = self.how or base.how or "exact"
        how = "exact" if how == "off" and self.how is None and self.ttl is not None else how
        return CachePolicy(how, base.ttl if self.ttl is None else self.ttl)


def cache_policy(written: str) -> CachePolicy:
    """Parse a cache policy: `1d`, `semantic`, `semantic,1d`, `exact`, `off`.

    Raises:
        ValueError: another form; the text says what to write.
    """
    how: list[Any] = []
    times: list[float] = []
    for word in written.split(","):
        if word.strip() in {"exact", "semantic", "off"}:
            how.append(word.strip())
        else:
            times.append(_age(word))
    if len(how) > 1 or len(times) > 1 or (how == ["off"] and times):
        raise ValueError("a time from 10s to 365d, semantic, both (semantic,1d), exact, or off")
    return CachePolicy(how[0] if how else None, times[0] if times else None)


def _age(written: str) -> float:
    try:
        age = seconds(written)
    except ValueError:
        age = 0.0
    if not AGES[0] <= age <= AGES[1]:
        raise ValueError("a time from 10s to 365d, semantic, exact, or off")
    return age


def number(written: str) -> float:
    if re.fullmatch(r"[+-]?[0-9]{1,12}([.][0-9]{1,12})?", written) is None:
        raise ValueError("a number such as 0.7")
    return float(written)
