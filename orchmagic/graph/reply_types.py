"""How replies give dates, times and exact numbers. Exported modules carry these definitions as they stand here."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema


def iso_text(value: Any) -> Any:
    """Refuse what is no ISO text: Pydantic takes numbers for seconds since 1970."""
    if not isinstance(value, str) or value[4:5] != "-":
        raise ValueError("write an ISO date such as 2026-01-31")
    return value


def exact_number(value: Any) -> Any:
    """Refuse a JSON number with more digits than a float keeps; text keeps them all."""
    digits = f"{value:.14g}" if isinstance(value, float) else ""
    if "e+" in digits or (digits and float(digits) != value):
        raise ValueError('write a long number in quotes, such as "0.1234567890123456"')
    return value


IsoDate: TypeAlias = Annotated[date, BeforeValidator(iso_text)]
IsoDatetime: TypeAlias = Annotated[datetime, BeforeValidator(iso_text)]
# Asked for as text: a JSON number may lose digits.
ExactDecimal: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(exact_number),
    WithJsonSchema({"type": "string", "pattern": "^-?[0-9]+([.][0-9]+)?$"}),
]
