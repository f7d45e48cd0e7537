"""Standard library classes that outputs and expressions may use without an import in the notebook.

Expressions, output types, the export and the docs read the table `STANDARD_TYPES`. The definitions below it are
copied into exported modules unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema


@dataclass(frozen=True, slots=True)
class StandardType:
    """A class; `reply` names the definition in this module that validates it in a reply; `help` is for the docs."""

    type: type
    reply: str
    help: str


STANDARD_TYPES: Mapping[str, StandardType] = {
    "date": StandardType(date, "IsoDate", "asked for as ISO text (2026-01-31); numbers are refused"),
    "datetime": StandardType(datetime, "IsoDatetime", "asked for as ISO text (2026-01-31T10:00:00); no numbers"),
    "time": StandardType(time, "IsoTime", "a time of day, asked for as ISO text (14:30:00); no numbers"),
    "Decimal": StandardType(
        Decimal, "ExactDecimal", 'asked for as text ("12.10"); a JSON number is taken if it is short enough to be exact'
    ),
}


def iso_text(value: Any) -> Any:
    """Refuse what is no ISO text: Pydantic takes numbers for seconds."""
    if not isinstance(value, str) or not (value[4:5] == "-" or value[2:3] == ":"):
        raise ValueError("write ISO text such as 2026-01-31 or 14:30")
    return value


def exact_number(value: Any) -> Any:
    """Refuse a JSON number with more digits than a float keeps; text keeps them all."""
    digits = f"{value:.14g}" if isinstance(value, float) else ""
    if "e+" in digits or (digits and float(digits) != value):
        raise ValueError('write a long number in quotes, such as "0.1234567890123456"')
    return value


IsoDate: TypeAlias = Annotated[date, BeforeValidator(iso_text)]
IsoDatetime: TypeAlias = Annotated[datetime, BeforeValidator(iso_text)]
IsoTime: TypeAlias = Annotated[time, BeforeValidator(iso_text)]
# Asked for as text: a JSON number may lose digits.
ExactDecimal: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(exact_number),
    WithJsonSchema({"type": "string", "pattern": "^-?[0-9]+([.][0-9]+)?$"}),
]


@cache
def standard_classes() -> Mapping[str, type]:
    """The standard classes by their names."""
    return {name: row.type for name, row in STANDARD_TYPES.items()}


def standard_names(namespace: Mapping[str, object]) -> frozenset[str]:
    """Returns the names that mean the standard class as a type: those without another class in the notebook."""
    return frozenset(
        name
        for name, row in STANDARD_TYPES.items()
        if not isinstance(namespace.get(name), type) or namespace[name] is row.type
    )


def is_constructor(name: str, attribute: str) -> bool:
    """Whether the attribute makes or is a value of the class (`date.today`, `date.max`): `date` is the class then."""
    standard = standard_classes().get(name)
    member = getattr(standard, attribute, None)
    return standard is not None and (isinstance(member, standard) or getattr(member, "__self__", None) is standard)
