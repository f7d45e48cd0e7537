"""`triage.map(table)`: runs an orchestration on each row of a table and puts the answers beside the rows.

A table comes back as what it was, with its own index; a file is read and written in parts, so it may be larger than the
memory. What has an answer is not asked again, also after a restart: rows are found by their content.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from orchmagic.errors import InputError, RunError
from orchmagic.graph.model import Call
from orchmagic.models.batching import AT_ONCE
from orchmagic.runtime.frames import Row, as_frame, read_rows, some, stream_file
from orchmagic.runtime.row_outcome import Outcome
from orchmagic.runtime.row_runs import Case, Progress, RowRuns, Subject

STATUS = ("_status", "_error", "_verified", "_cost", "_seconds", "_run")
_PART = 1000  # rows of a file that are in memory at once; more if many run at once
_ROUNDS = 16  # times the rows that run at once: a part waits for its slowest row, and this must not count

OnError: TypeAlias = Literal["keep", "raise"]


class Mapped:
    """One `map`: the subject and the runs of its rows."""

    def __init__(
        self,
        subject: Subject,
        *,
        concurrency: int | None,
        budget: float | None,
        on_error: OnError,
        engine: object,
        watch: Callable[[Progress], None],
    ) -> None:
        if on_error not in {"keep", "raise"}:
            raise InputError(f'on_error is {on_error!r}: write "keep" or "raise"')
        self._subject = subject
        self._runs = RowRuns(
            subject.factory, concurrency=concurrency, budget=budget, may_write=True, engine=engine, watch=watch
        )
        self._part = max(_PART, _ROUNDS * (concurrency or 0))
        self._on_error = on_error
        self._failed: list[int] = []
        self._first = ""

    @property
    def progress(self) -> Progress:
        """How far the rows are."""
        return self._runs.progress

    def over(self, table: Any, out: str | Path | None) -> Any:
        """The table with the answers, of its own kind; with `out` the path of the file that has them.

        Raises:
            InputError: it is no table, or a row lacks an input; nothing was run.
            RunError: rows failed, and `on_error` is "raise"; or the workers of an engine were lost again and again.
        """
        try:
            return self._over(table, out)
        finally:
            self._runs.close()

    def _over(self, table: Any, out: str | Path | None) -> Any:
        from_file = isinstance(table, str | Path)
        if out is not None:
            source = stream_file(Path(table)) if from_file else iter(read_rows(table, "the table"))
            found: Any = self._write(source, Path(out))
        else:
            rows = read_rows(table, "the table")
            found = beside(None if from_file else table, rows, self._answers(rows, 0))
        if self._failed and self._on_error == "raise":
            raise RunError(f"{some(self._failed)} failed; the first: {self._first}")
        return found

    def _answers(self, rows: Sequence[Row], before: int) -> list[Row]:
        """The new columns of each row. `before`: how many rows of the table came earlier."""
        cases = [Case(self._subject, _inputs(self._subject, row, before + n)) for n, row in enumerate(rows, 1)]
        keyed = [(case.key, case) for case in cases]
        outcomes = self._runs.run(keyed)
        names = _renamed(_fields(self._subject), rows[0])
        found = []
        for number, (key, _) in enumerate(keyed, before + 1):
            outcome = outcomes[key]
            if outcome.failed:
                self._failed.append(number)
                self._first = self._first or f"row {number}: {outcome.error}"
            found.append(_output(outcome, names) | _status(outcome, key))
        return found

    def _write(self, source: Iterator[Row], path: Path) -> Path:
        """Writes the rows with their answers, part by part."""
        before = 0
        with ExitStack() as stack:
            write: Callable[[list[Row]], None] | None = None
            size = AT_ONCE if self._subject.in_batches else self._part
            while part := list(islice(source, size)):
                rows = [a | b for a, b in zip(part, self._answers(part, before), strict=True)]
                write = write or stack.enter_context(_Writer(path, [*rows[0]])).write
                write(rows)
                before += len(part)
        if not before:
            raise InputError("the table has no rows")
        return path


def _inputs(subject: Subject, row: Row, number: int) -> dict[str, Any]:
    try:
        return subject.inputs(row)
    except InputError as error:
        raise InputError(f"row {number}: {error}") from None


def _fields(subject: Subject) -> list[str]:
    """The fields of the output; "output" alone if it has none."""
    for name in reversed(subject.graph.results):
        node = subject.graph.node(name)
        if isinstance(node, Call) and node.output.kind == "fields":
            return [field.name for field in node.output.fields]
    return ["output"]


def _renamed(fields: Sequence[str], row: Row) -> dict[str, str]:
    """The column of each field: `output_team`, if the table has a column `team` already."""
    return {name: f"output_{name}" if name in row else name for name in fields}


def _output(outcome: Outcome, names: Mapping[str, str]) -> Row:
    found = outcome.output if outcome.status in {"done", "capped"} else None
    if [*names] == ["output"]:
        return {names["output"]: found}
    values = found if isinstance(found, Mapping) else {}
    return {column: values.get(field) for field, column in names.items()}


def _status(outcome: Outcome, key: str) -> Row:
    return {
        "_status": outcome.status if outcome.has_answer else "no answer",
        "_error": outcome.error or None,
        "_verified": outcome.verified,
        "_cost": None if outcome.unpriced else outcome.cost,
        "_seconds": outcome.seconds,
        "_run": key[:12],
    }


def beside(table: Any, rows: Sequence[Row], answers: Sequence[Row]) -> Any:
    """The table with the columns of `answers`: of the kind that `table` is; a list of dicts for a list or a file."""
    columns = {name: [answer[name] for answer in answers] for name in answers[0]}
    kind = type(table).__module__.partition(".")[0]
    if kind == "pandas":
        return _pandas(table, columns)
    if kind == "pyarrow":
        return _arrow(table, columns)
    if hasattr(table, "column_names") and hasattr(table, "features"):  # a Hugging Face data set
        for name, values in columns.items():
            table = table.add_column(name, _flat(values))
        return table
    frame = None if table is None or isinstance(table, list | tuple) else as_frame(table)
    if frame is None:
        return [{**row, **answer} for row, answer in zip(rows, answers, strict=True)]
    import narwhals  # noqa: PLC0415 - a frame is there, so it is

    made = [
        narwhals.new_series(name, _flat(values), _NARWHALS[_kind(values)](narwhals), backend=frame.implementation)
        for name, values in columns.items()
    ]
    return frame.with_columns(*made).to_native()


_NARWHALS: dict[str, Callable[[Any], Any]] = {
    "bool": lambda nw: nw.Boolean,
    "int": lambda nw: nw.Int64,
    "float": lambda nw: nw.Float64,
    "str": lambda nw: nw.String,
    "other": lambda nw: nw.String,
}
_DTYPES = {"bool": "boolean", "int": "Int64", "float": "Float64", "str": "string", "other": "object"}


def _pandas(table: Any, columns: Mapping[str, list[Any]]) -> Any:
    """With nullable types: in the others None would become False or NaN."""
    import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415 - the table is one of its

    found = table.copy()
    for name, values in columns.items():
        found[name] = pd.Series(values, index=table.index, dtype=_DTYPES[_kind(values)])
    return found


def _arrow(table: Any, columns: Mapping[str, list[Any]]) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - the table is one of its

    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string(), "other": pa.string()}
    for name, values in columns.items():
        table = table.append_column(name, pa.array(_flat(values), types[_kind(values)]))
    return table


def _kind(values: Iterable[Any]) -> str:
    """The kind of the values of a column; "str" for one that is empty."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return "float"
    if len(kinds) == 1:
        name = next(iter(kinds)).__name__
        return name if name in {"bool", "int", "str"} else "other"
    return "other" if kinds else "str"


def _flat(values: Sequence[Any]) -> list[Any]:
    """The values of a column of one type: of mixed ones, lists and dicts the JSON text."""
    if _kind(values) == "float":
        return [None if value is None else float(value) for value in values]
    if _kind(values) != "other":
        return [*values]
    return [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]


class _Writer:
    """Writes rows to a CSV, JSONL or Parquet file; a context manager. `columns` are those of all rows."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = [*columns]
        self._open: Any = None
        self._write = self._writers().get(path.suffix.lower())
        if self._write is None:
            raise InputError(f"{str(path)!r} cannot be written: its name must end in .csv, .jsonl or .parquet")

    def _writers(self) -> dict[str, Callable[[list[Row]], None]]:
        return {".csv": self._csv, ".jsonl": self._jsonl, ".ndjson": self._jsonl, ".parquet": self._parquet}

    def __enter__(self) -> Self:
        if self._path.suffix.lower() != ".parquet":
            self._open = self._path.open("w", encoding="utf-8", newline="")
        if self._path.suffix.lower() == ".csv":
            csv.writer(self._open).writerow(self._columns)
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()

    def write(self, rows: list[Row]) -> None:
        """Appends rows."""
        assert self._write is not None
        self._write(rows)

    def _csv(self, rows: list[Row]) -> None:
        plain = csv.writer(self._open)
        for row in rows:
            plain.writerow([_cell(row.get(column)) for column in self._columns])

    def _jsonl(self, rows: list[Row]) -> None:
        for row in rows:
            self._open.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")

    def _parquet(self, rows: list[Row]) -> None:
        import pyarrow as pa  # noqa: PLC0415 - optional
        from pyarrow import parquet  # noqa: PLC0415 - as above

        columns = {name: [row.get(name) for row in rows] for name in self._columns}
        table = pa.table({name: _flat(values) for name, values in columns.items()})
        if self._open is None:
            self._open = parquet.ParquetWriter(self._path, table.schema)
        try:
            self._open.write_table(table.cast(self._open.schema))
        except pa.ArrowException as error:
            text = f"the types of the columns change in a later part of the table: {error}"
            raise InputError(f"{str(self._path)!r} cannot be written: {text}. Write a .jsonl file") from None


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
