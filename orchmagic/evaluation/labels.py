"""What persons say of answers: right, wrong with what would be right, or skipped; kept in a JSONL file as it is said.

Rows are drawn in a random order that depends on their content and a seed only. Persons who choose the rows label the
odd ones first, and then the figures of a judge are wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchmagic.core.text_format import counted
from orchmagic.errors import InputError, nearest
from orchmagic.evaluation.judges import HUMAN, by_output
from orchmagic.evaluation.result import Result
from orchmagic.runtime.fingerprint import digest
from orchmagic.runtime.frames import Row, read_rows
from orchmagic.trace import humanize

RIGHT, WRONG, SKIP = VERDICTS = ("right", "wrong", "skip")
OUTPUT, EXPECT = "output", "expect"


@dataclass(frozen=True, slots=True)
class RowLabel:
    """What was said of one row. `correction` (JSON) is what would have been right, None: not said."""

    id: str
    verdict: str
    correction: Any = None


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A row to label: `shown` are its columns, `output` its answer (`answered`: there is one), `run` the run of it."""

    id: str
    place: int
    shown: Mapping[str, Any]
    output: Any
    answered: bool
    run: str | None = None


class LabelFile:
    """Labels in a JSONL file, one line each; of one row the last line counts. Each is on disk when `add` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, RowLabel]:
        """The labels by the id of their row. A line that was cut off by a crash is left out.

        Raises:
            InputError: the file cannot be read, or is no file of labels.
        """
        try:
            lines = self.path.read_text("utf-8").split("\n") if self.path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the labels in {self.path} cannot be read: {error}") from None
        found = {}
        for number, line in enumerate(lines, 1):
            try:
                data = json.loads(line)
            except ValueError:  # cut off by a crash
                continue
            match data:
                case {"id": str(id_), "verdict": verdict} if verdict in VERDICTS:
                    found[id_] = RowLabel(id_, verdict, data.get("correction"))
                case _:
                    raise InputError(f"{self.path}, line {number}, is no label: name another file, label(…, file=…)")
        return found

    def add(self, label: RowLabel) -> None:
        """Appends a label.

        Raises:
            InputError: it cannot be written.
        """
        line = json.dumps(
            {"id": label.id, "verdict": label.verdict, "correction": label.correction},
            ensure_ascii=False,
            sort_keys=True,
        )
        try:
            with self.path.open("a+b") as file:
                file.seek(0, os.SEEK_END)
                begins = file.tell() == 0 or _last(file) == b"\n"
                file.write(f"{'' if begins else chr(10)}{line}\n".encode("utf-8", "surrogatepass"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"the label cannot be written to {self.path}: {error}") from None


def _last(file: Any) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)  # type: ignore[no-any-return]  # bytes


class Labels(Sequence[dict[str, Any]]):
    """Rows and what persons say of them. As a sequence it is the rows with the labels, so `--on labels` takes it.

    Attributes:
        column: the column with the labels: for `human=` of a judge.
        words: what right and wrong are called.
        path: the file in which the labels are kept.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        items: Sequence[LabelRow],
        file: LabelFile,
        *,
        column: str = HUMAN,
        words: tuple[str, str] = (RIGHT, WRONG),
        per_output: bool = False,
        seed: int = 0,
        also: Callable[[LabelRow, RowLabel], None] = lambda _row, _label: None,
    ) -> None:
        self.column, self.words, self.path = column, words, file.path
        self._rows = rows
        self._file = file
        self._per_output = per_output
        self._also = also
        there = {item.place for item in items if rows[item.place].get(column) is not None}
        drawn = {item.id: item for item in sorted(items, key=lambda i: digest([seed, i.id])) if item.place not in there}
        self.items: dict[str, LabelRow] = drawn
        self._there = len(there)
        self._said = {id_: label for id_, label in file.read().items() if id_ in drawn}

    @property
    def next(self) -> LabelRow | None:
        """The row that is drawn next; None if all were shown."""
        return next((item for id_, item in self.items.items() if id_ not in self._said), None)

    def said(self, id_: str) -> RowLabel | None:
        """What was said of a row; None if nothing was."""
        return self._said.get(id_)

    def set(self, id_: str, verdict: str | bool, correction: Any = None) -> None:
        """Labels a row: "right", "wrong" or "skip"; `correction` is what would have been right. It replaces a label.

        Raises:
            InputError: there is no such row or verdict, or the label cannot be kept.
        """
        if id_ not in self.items:
            raise InputError(f"no row {id_!r}: labels.df() has the column _id{nearest(id_, self.items)}")
        item, named = self.items[id_], self._verdict(verdict)
        if named != WRONG and correction is not None:
            raise InputError(f'a correction of a row that is {named}: write labels.set("{id_}", "wrong", …)')
        if named == RIGHT and not item.answered:
            raise InputError(f"row {id_} has no output that could be right: write what would be right, and wrong")
        label = RowLabel(id_, named, correction)
        self._also(item, label)
        self._file.add(label)
        self._said[id_] = label

    def _verdict(self, verdict: str | bool) -> str:
        if isinstance(verdict, bool):
            return RIGHT if verdict else WRONG
        known = {self.words[0]: RIGHT, self.words[1]: WRONG, **{v: v for v in VERDICTS}}
        if verdict not in known:
            raise InputError(
                f"{verdict!r} is no label: write {', '.join(dict.fromkeys(known))}{nearest(verdict, known)}"
            )
        return known[verdict]

    @property
    def rows(self) -> list[Row]:
        """The rows in their order, with the column of the labels: True, False, or None. What would have been right is
        in `expect`.
        """
        found = [{**row, self.column: row.get(self.column)} for row in self._rows]
        for item in self.items.values():
            label = self._said.get(item.id)
            if label is None or label.verdict == SKIP:
                continue
            right, row = label.verdict == RIGHT, found[item.place]
            row[self.column] = by_output(item.output, right) if self._per_output else right
            if not self._per_output and (right or label.correction is not None):
                row[EXPECT] = item.output if right else label.correction
        if any(EXPECT in row for row in found):
            found = [{EXPECT: None, **row} for row in found]
        return found

    def df(self) -> Any:
        """The rows that were drawn as a pandas DataFrame, with `_id`, `_label` and `_correction`.

        Raises:
            ImportError: pandas is not installed; `.rows` works without.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415 - optional, and without stubs
        except ImportError:
            raise ImportError("labels.df() needs pandas: pip install pandas; labels.rows works without") from None
        table = []
        for item in self.items.values():
            said = self._said.get(item.id)
            answer = {OUTPUT: item.output} if item.answered else {}
            table.append(
                {
                    **item.shown,
                    **answer,
                    "_id": item.id,
                    "_label": said and said.verdict,
                    "_correction": said and said.correction,
                }
            )
        return pd.DataFrame(table)

    def counts(self) -> str:
        """`12 of 120 rows labelled, 3 skipped`."""
        skipped = sum(label.verdict == SKIP for label in self._said.values())
        labelled = len(self._said) - skipped + self._there
        return (
            f"{labelled:,} of {counted(len(self.items) + self._there, 'row')} labelled"
            + f", {skipped:,} skipped" * bool(skipped)
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        lines = [f"{self.counts()}; the labels are in {self.path}"]
        item = self.next
        if item is None:
            return f"{lines[0]}\nAll rows were shown."
        lines += [f"  {name}: {humanize.one_line(value, 200)}" for name, value in self.fields(item)]
        right = f'"{self.words[0]}", ' * item.answered
        return "\n".join(
            [*lines, f'Write labels.set("{item.id}", {right}"{self.words[1]}" or "skip"), with what would be right']
        )

    @staticmethod
    def fields(item: LabelRow) -> list[tuple[str, Any]]:
        """What is shown of a row: its columns, and the output."""
        return [*item.shown.items(), *([(OUTPUT, item.output)] if item.answered else [])]


def of_rows(source: object, column: str, name: str = "rows") -> tuple[list[Row], list[LabelRow]]:
    """Rows to label, and their items: rows of the history have an `output`, others none.

    Raises:
        InputError: it is no table.
    """
    rows = read_rows(source, name)
    items = []
    for place, row in enumerate(rows):
        shown = {k: v for k, v in row.items() if not k.startswith("_") and k not in {OUTPUT, EXPECT, column}}
        answered = row.get(OUTPUT) is not None
        run = row.get("_run")
        items.append(_item(place, shown, row.get(OUTPUT), run if isinstance(run, str) else None, answered=answered))
    return rows, items


def of_result(result: Result, column: str, variant: str | None) -> tuple[list[Row], list[LabelRow]]:
    """The rows of an evaluation, and its answers by one variant (default: the chosen one, else the first).

    Raises:
        InputError: there is no such variant.
    """
    name = variant or result.chosen or result.variants[0]
    if name not in result.variants:
        known = ", ".join(result.variants)
        raise InputError(f"no variant {name!r} (known: {known}){nearest(name, result.variants)}")
    rows = [dict(row) for row in result.rows]
    items = [
        _item(line["_row"] - 1, {k: v for k, v in rows[line["_row"] - 1].items() if k != column}, line[OUTPUT], None)
        for line in result.table
        if line["variant"] == name and line["_status"] == "done" and line.get("repeat", 1) == 1
    ]
    return rows, items


def _item(place: int, shown: Mapping[str, Any], output: Any, run: str | None, *, answered: bool = True) -> LabelRow:
    return LabelRow(digest([dict(shown), output])[:12], place, shown, output, answered, run)
