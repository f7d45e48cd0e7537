"""Compare runs side by side: time, cost, output and quality of each, and the differences of their steps.

The other runs are compared with the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchmagic.core.text_format import counted
from orchmagic.errors import InputError
from orchmagic.trace.humanize import safe
from orchmagic.trace.record import Record
from orchmagic.views.comparison.comparison_tables import bars, left_out, results, run_row, runs_table, steps_table
from orchmagic.views.comparison.diff import lines
from orchmagic.views.comparison.render import boxed, html_differences, text_differences, text_table
from orchmagic.views.comparison.steps import LETTERS
from orchmagic.views.html_table import html_table
from orchmagic.views.palette import RUNS

_FEWEST = 2


def compare(records: Sequence[Record]) -> Comparison:
    """Compare two to six runs, preferably of one orchestration.

    Raises:
        InputError: there are fewer or more runs.
    """
    if not _FEWEST <= len(records) <= len(LETTERS):
        raise InputError(
            f"{counted(len(records), 'run')} to compare: name {_FEWEST} to {len(LETTERS)}, such as %orch compare r1 r2"
        )
    return Comparison(tuple(records))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of `compare`; a notebook shows it as tables with bars and differences, a terminal as text."""

    records: tuple[Record, ...]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict per run: letter, run, name, models, status, seconds, tokens, cost (US dollars), unpriced, calls,
        cached, quality (name -> number), output (JSON).
        """
        return [run_row(letter, record) for letter, record in zip(LETTERS, self.records, strict=False)]

    def diff(self, other: int = 1) -> list[str]:
        """Return lines with the differences between the first run and run `other` (1: the second)."""
        return [str(line) for line in lines(self.records[0], self.records[other])]

    def bundle(self) -> dict[str, str]:
        """Return a MIME bundle with HTML and text: the runs, their steps, and the differences."""
        runs, took, outputs = runs_table(self.records), steps_table(self.records), results(self.records)
        notes = left_out(self.records)
        blocks = (
            html_table(runs, marks=RUNS) + _lines(outputs),
            html_table(took, bars=bars(self.records)) + _lines(notes),
            "".join(html_differences(self.records)),
        )
        texts = (text_table(runs), *outputs, "", text_table(took), *notes, *text_differences(self.records))
        return {"text/html": "".join(map(boxed, blocks)), "text/plain": "\n".join(texts)}

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return self.bundle()

    def __repr__(self) -> str:
        return self.bundle()["text/plain"]


def _lines(texts: Sequence[str]) -> str:
    return "".join(f"<div>{safe(text)}</div>" for text in texts)
