"""Classes of the standard library that outputs and expressions may name though the notebook does not import them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

STANDARD_TYPES: Mapping[str, type] = {"date": date, "datetime": datetime, "Decimal": Decimal}
REPLY_TYPES: Mapping[str, str] = {"date": "IsoDate", "datetime": "IsoDatetime", "Decimal": "ExactDecimal"}
"""What reads them from a reply, by its name in `reply_types`."""


def standard_names(namespace: Mapping[str, object]) -> frozenset[str]:
    """The names that mean the standard class as a type: all that no other class of the notebook has."""
    return frozenset(
        name
        for name, standard in STANDARD_TYPES.items()
        if not isinstance(namespace.get(name), type) or namespace[name] is standard
    )


def is_constructor(name: str, attribute: str) -> bool:
    """Whether `date.today` or `date.max` makes or is a value of the class, so that `date` is the class itself."""
    standard = STANDARD_TYPES.get(name)
    member = getattr(standard, attribute, None)
    return standard is not None and (isinstance(member, standard) or getattr(member, "__self__", None) is standard)
