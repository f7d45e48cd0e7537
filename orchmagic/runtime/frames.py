"""Tables of rows: data frames, Arrow tables, data sets, lists of dicts, and CSV, JSONL and Parquet files."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from orchmagic.core.text_format import counted
from orchmagic.errors import InputError
from orchmagic.runtime.foreign_values import is_missing

Row: TypeAlias = dict[str, Any]

KINDS = "a data frame (pandas, polars, Arrow), a list of dicts, a data set, or the path of a CSV, JSONL or Parquet file"
_FILES = (".csv", ".jsonl", ".ndjson", ".parquet")


def read_rows(source: object, name: str = "rows") -> list[Row]:
    """Returns the rows of a table as dicts, values that are missing as None. `name` is what messages call it.

    Raises:
        InputError: it is no table, cannot be read, has no rows, or its columns have no text names.
    """
    found = [*_rows(source, name)]
    if not found:
        raise InputError(f"{name} has no rows")
    columns = dict.fromkeys(key for row in found for key in row)
    if odd := next((c for c in columns if not isinstance(c, str)), None):
        raise InputError(f"{name} has a column called {odd!r}: its name must be text")
    return [{column: _value(row.get(column)) for column in columns} for row in found]


def _rows(source: object, name: str) -> Iterable[Mapping[Any, Any]]:
    if isinstance(source, str | Path):
        return stream_file(Path(source))
    if isinstance(source, Sequence):
        return _dicts(source, name)
    if hasattr(source, "column_names") and hasattr(source, "features"):  # a Hugging Face data set
        return (dict(row) for row in source)  # type: ignore[attr-defined]  # it can be iterated
    if (frame := as_frame(source)) is not None:
        return frame.iter_rows(named=True)  # type: ignore[no-any-return]  # dicts
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise InputError(f"{name} is of type {type(source).__name__}: write {KINDS}")
    return _dicts([*source], name)


def as_frame(source: object) -> Any:
    """The table as a narwhals data frame; None if it is none.

    Raises:
        InputError: it is a query that did not run yet.
    """
    import narwhals  # noqa: PLC0415 - on demand

    frame = narwhals.from_native(source, pass_through=True)
    if isinstance(frame, narwhals.LazyFrame):
        raise InputError("the table is a query that did not run yet: write .collect() first")
    return frame if isinstance(frame, narwhals.DataFrame) else None


def _dicts(source: Sequence[Any], name: str) -> list[Mapping[str, Any]]:
    for number, row in enumerate(source, 1):
        if not isinstance(row, Mapping):
            raise InputError(f"row {number} of {name} is of type {type(row).__name__}, not a dict: write {KINDS}")
    return list(source)


def stream_file(path: Path) -> Iterator[Row]:
    """Yields the rows of a CSV, JSONL or Parquet file, one at a time.

    Raises:
        InputError: it is not there, has another ending, or a line of it cannot be read.
    """
    if path.suffix.lower() not in _FILES:
        raise InputError(f"{str(path)!r} is no table that can be read: its name must end in {', '.join(_FILES)}")
    if not path.exists():
        raise InputError(f"there is no file {str(path)!r}")
    try:
        yield from _READERS[path.suffix.lower()](path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from None


def _csv(path: Path) -> Iterator[Row]:
    kinds = _csv_kinds(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            if None in row:
                raise InputError(f"row {number} of {str(path)!r} has more values than there are columns")
            yield {name: kinds[name](text) if text else None for name, text in row.items()}


def _csv_kinds(path: Path) -> dict[str, Callable[[str], Any]]:
    """How the texts of each column are read: as numbers or yes/no if all of them are such."""
    fits: dict[str, list[str]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if isinstance(name, str):
                    left = fits.setdefault(name, [*_TEXTS])
                    if text:
                        left[:] = [kind for kind in left if _TEXTS[kind].fullmatch(text)]
    return {name: _CONVERT[left[0]] if left else str for name, left in fits.items()}


_TEXTS = {
    "whole": re.compile(r"-?(0|[1-9]\d{0,17})"),
    "number": re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?"),
    "truth": re.compile(r"true|false", re.IGNORECASE),
}
_CONVERT: dict[str, Callable[[str], Any]] = {
    "whole": int,
    "number": float,
    "truth": lambda text: text.lower() == "true",
}


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise InputError(f"line {number} of {str(path)!r} cannot be read as JSON: {error}") from None
                if not isinstance(row, dict):
                    raise InputError(f"line {number} of {str(path)!r} is no JSON object")
                yield row


def _parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - optional
    except ImportError:
        raise InputError("reading a Parquet file needs pyarrow: pip install pyarrow") from None
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(1000):
            yield from batch.to_pylist()


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}


def _value(value: Any) -> Any:
    """A value with None for what is missing, and a number of numpy as one of Python."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is None or is_missing(value):
        return None
    kind = type(value)
    return value.item() if kind.__module__ == "numpy" and getattr(value, "ndim", 1) == 0 else value


def some(numbers: Sequence[int], limit: int = 5) -> str:
    """`row 4`, `rows 4 and 31`, `rows 1, 2, 3, 4, 5 and 7 more`."""
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    shown = [str(n) for n in numbers[:limit]]
    if len(numbers) > limit:
        return f"rows {', '.join(shown)} and {counted(len(numbers) - limit, 'more', 'more')}"
    return f"rows {', '.join(shown[:-1])} and {shown[-1]}"
