"""Converts values of numpy, pandas, polars and pyarrow to Python's own numbers, dates, lists and rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from orchmagic.core.portable import table_rows
from orchmagic.errors import InputError

_TIMES = {"M": "datetime64[us]", "m": "timedelta64[us]"}


def is_missing(value: Any) -> bool:
    """Whether a value is a missing date or entry of numpy, pandas or polars (NaT, NA), which JSON calls null."""
    if type(value).__name__ in {"NAType", "NaTType"}:
        return True
    try:
        is_odd = isinstance(value, datetime | timedelta) or type(value).__name__ in {"datetime64", "timedelta64"}
        return is_odd and bool(value != value)  # noqa: PLR0124 - as with NaN, true for what is missing
    except (TypeError, ValueError):
        return False


def is_table(value: Any) -> bool:
    """Whether a value is a table of pandas, polars or pyarrow."""
    return hasattr(value, "columns") and any(hasattr(value, m) for m in ("to_dict", "to_dicts", "to_pylist"))


def foreign(value: Any, name: str) -> Any:
    """A value of numpy, pandas, polars or pyarrow as Python's own numbers, dates, lists and rows; others as they are.

    Raises:
        InputError: two columns of a table have one name, or its rows were not computed yet.
    """
    kind = type(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str(value)
    if hasattr(kind, "collect_schema") and hasattr(kind, "collect"):
        raise InputError(f"{name!r} is a query that did not run yet: write {name} = {name}.collect() first")
    names: Any = getattr(value, "column_names", getattr(value, "columns", ()))
    columns = [str(c) for c in names] if hasattr(kind, "shape") else []
    if len(set(columns)) < len(columns):
        raise InputError(f"{name!r} has two columns of one name, of which a row keeps only one: rename one of them")
    rows = table_rows(value)
    return _column(value) if rows is value else rows


def _column(value: Any) -> Any:
    """A column, row or number as a list, dict or number; others as they are."""
    kind = type(value)
    if kind.__module__ == "numpy" and value.dtype.kind in _TIMES:
        return value.astype(_TIMES[value.dtype.kind]).tolist()  # of nanoseconds, tolist() makes whole numbers
    if hasattr(kind, "to_dict") and hasattr(kind, "index") and _has_labels(value.index):
        return value.to_dict()
    method = next((m for m in ("to_pylist", "as_py", "to_list", "tolist") if callable(getattr(kind, m, None))), None)
    if method is not None:
        plain = getattr(value, method)()
        return value if type(plain) is kind else plain
    return next((number(value) for number in (int, float) if isinstance(value, number)), value)


def _has_labels(index: Iterable[Any]) -> bool:
    """Whether a pandas Series is like a record: a row, or counts by name."""
    labels = [*index]
    return bool(labels) and all(isinstance(label, str) for label in labels) and len(set(labels)) == len(labels)
