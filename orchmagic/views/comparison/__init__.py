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
from orchmagic.views.comparison.comparison_tables import results, run_row, runs_table, steps_table
from orchmagic.views.comparison.diff import lines
from orchmagic.views.comparison.figure import LETTERS, figure
from orchmagic.views.comparison.quality import in_short, quality
from orchmagic.views.comparison.render import boxed, html_differences, text_differences, text_table
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
    """The result of `compare`; a notebook shows it as tables, a figure and differences, a terminal as text."""

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

    def bundle(self) -> dict[str, Any]:
        """Return everything in one MIME bundle: Plotly, static HTML and text."""
        parts = self.bundles()
        html, text = ("".join(p["text/html"] for p in parts), "\n".join(p["text/plain"] for p in parts))
        return parts[1] | {"text/html": html, "text/plain": text}

    def bundles(self) -> tuple[dict[str, Any], ...]:
        """Return a bundle each for runs, figure and differences: a front end shows one MIME type per bundle."""
        notes = [in_short(quality(r)) for r in self.records]
        chart = {"application/vnd.plotly.v1+json": figure(self.records, notes)}
        runs, took, outputs = runs_table(self.records), steps_table(self.records), results(self.records)
        lines_of_outputs = "".join(f"<div>{safe(line)}</div>" for line in outputs)
        return (
            {
                "text/html": boxed(html_table(runs, marks=RUNS) + lines_of_outputs),
                "text/plain": text_table(runs) + "\n".join((*outputs, "")),
            },
            chart | {"text/html": boxed(html_table(took)), "text/plain": text_table(took)},
            {
                "text/html": boxed("".join(html_differences(self.records))),
                "text/plain": "\n".join(text_differences(self.records)),
            },
        )

    def _ipython_display_(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - in IPython only

        for data in self.bundles():
            display(data, raw=True)  # type: ignore[no-untyped-call]  # IPython's display is untyped

    def __repr__(self) -> str:
        return str(self.bundle()["text/plain"])
