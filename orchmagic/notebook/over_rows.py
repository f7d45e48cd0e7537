"""`--over ROWS` on a magic line: the cell runs on each row of a table, and shows the rows beside the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchmagic.core.text_format import counted, more, table
from orchmagic.errors import InputError
from orchmagic.evaluation.evaluate_cell import rows_of
from orchmagic.notebook.evaluate_magic import ProgressLine
from orchmagic.runtime.frames import read_rows
from orchmagic.runtime.mapping import STATUS, Mapped
from orchmagic.runtime.row_runs import Subject
from orchmagic.trace import humanize
from orchmagic.views.html_table import html_table

if TYPE_CHECKING:
    from orchmagic.notebook.cell_place import CellPlace
    from orchmagic.notebook.magics import Face
    from orchmagic.runtime.orchestration import Orchestration

_SHOWN = 20  # rows
_WIDE = 60  # characters of a value
_HIDDEN = {"_seconds", "_run", "_cost"}


def over_rows(made: Orchestration, place: CellPlace, face: Face) -> None:
    """Runs the orchestration of the cell on the rows that `--over` names, binds `-o`, and shows rows and answers.

    Raises:
        InputError: it is no table, a row lacks an input, or an option does not go with rows.
    """
    options, space = made.options, made.factory.services.namespace
    for flag, given in (("--background", options.background), ("--thread", options.thread)):
        if given:
            raise InputError(f"{flag} with --over: rows run one by one and in no conversation; leave {flag} out")
    source = rows_of(str(options.over), space, "--over")
    # the limits of the line are those of all rows together
    alone = replace(options, over=None, result=None, budget=None, dry_run=False)
    if options.dry_run:
        rows = read_rows(source, str(options.over))
        inputs = {name: rows[0][name] for name in made.definition.inputs if name in rows[0]}
        print(f"{made.estimate(**inputs).text()}\nThis is the first row; there are {counted(len(rows), 'row')}.")  # noqa: T201 - what the user asked to see
        return
    bar = ProgressLine(show=face.in_kernel and face.config.live)
    budget = options.budget if isinstance(options.budget, float | int) else None
    mapped = Mapped(
        Subject(made.definition, alone, made.factory), concurrency=options.concurrency, budget=budget,
        on_error="keep", engine=None, watch=bar.update,
    )  # fmt: skip
    with bar.shown(mapped, "cell"):
        found = mapped.over(source, None)
    if options.result:
        place.binds[options.result] = found
    shown = AnsweredRows(made.__name__, read_rows(found), mapped.progress.paid, options.result)
    if face.in_kernel:
        from IPython.display import display  # noqa: PLC0415 - only a notebook has displays

        display(shown)  # type: ignore[no-untyped-call]  # untyped there
    else:
        print(shown)  # noqa: T201 - a terminal shows text


@dataclass(frozen=True, slots=True)
class AnsweredRows:
    """Rows beside their answers, the failed and doubtful ones first. `paid` is in US dollars, `kept` the variable."""

    name: str
    rows: Sequence[Mapping[str, Any]]
    paid: float
    kept: str | None

    def __repr__(self) -> str:
        return "\n".join([self._head(), table(self._lines()), *self._rest()])

    def _repr_html_(self) -> str:
        head, rest = humanize.safe(self._head()), "".join(f"<div>{humanize.safe(line)}</div>" for line in self._rest())
        return f"<div {humanize.BLOCK}><div>{head}</div>{html_table(self._lines())}{rest}</div>"

    def _head(self) -> str:
        states = [str(row["_status"]) for row in self.rows]
        counts = ", ".join(f"{states.count(state):,} {state}" for state in dict.fromkeys(sorted(states, key=_first)))
        doubts = sum(row["_verified"] is False for row in self.rows)
        doubted = f", {doubts:,} not verified" * bool(doubts)
        kept = f"; all are in {self.kept}" if self.kept else "; -o NAME keeps them"
        return f"{self.name}: {counted(len(self.rows), 'row')}: {counts}{doubted}, {humanize.money(self.paid)}{kept}"

    def _rest(self) -> list[str]:
        hidden = len(self.rows) - _SHOWN
        return [more(hidden, "rows")] if hidden > 0 else []

    def _lines(self) -> list[tuple[str, ...]]:
        ordered = sorted(enumerate(self.rows, 1), key=lambda pair: _badness(pair[1]))[:_SHOWN]
        hidden = _HIDDEN | {n for n in STATUS if n != "_status" and all(row[n] is None for row in self.rows)}
        columns = [name for name in self.rows[0] if name not in hidden]
        return [
            ("row", *columns),
            *((f"{number:,}", *(humanize.one_line(row[c], _WIDE) for c in columns)) for number, row in ordered),
        ]


def _first(state: str) -> int:
    return {"failed": 0, "no answer": 1, "done": 9}.get(state, 5)


def _badness(row: Mapping[str, Any]) -> tuple[int, bool]:
    return _first(str(row["_status"])), row["_verified"] is not False
