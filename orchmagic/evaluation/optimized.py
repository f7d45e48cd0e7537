"""Optimized: what a search for cheaper models tried, and what it says to choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from orchmagic.core.text_format import counted, table
from orchmagic.evaluation.report import bound, cost, number, range_text, said
from orchmagic.evaluation.result import Result
from orchmagic.evaluation.targets import Target, Verdict
from orchmagic.evaluation.verdicts import Held, Summary, verdict
from orchmagic.trace import humanize


@dataclass(frozen=True, slots=True)
class Try:
    """One line of the table: what was changed, on how many rows, and what came of it. `cost` is US dollars a run."""

    change: str
    rows: int
    figures: tuple[tuple[str, str, str], ...]
    cost: float | None
    verdict: str
    paid: float
    unpriced: int
    unanswered: int
    why: str = ""
    decision: str = ""

    @classmethod
    def of(cls, result: Result, change: str, held: Sequence[Held], decision: str = "") -> Self:
        """The line of an evaluation of one variant; `held` are the conditions that it was tried for."""
        [found] = result.details
        figures = tuple(
            (name, "-", "-") if f.value is None else (name, number(f), range_text(f))
            for name, f in found.metrics.items()
        )
        paid, unpriced, _ = result.paid
        why = next((row["_error"] or "" for row in result.table if row["_status"] == "no answer"), "")
        text = f"{found.unanswered} without answer" if found.unanswered else said(held)
        return cls(change, len(result.rows), figures, found.cost, text, paid, unpriced, found.unanswered, why, decision)


@dataclass(frozen=True, slots=True)
class Optimized:
    """The result of a search. Displays as text and as a table.

    `models` are the models by step; None if runs had no answer, so that nothing can be said. `start` is the summary of
    the strongest models, `found` that of `models` on the same rows, `confirmed` on the other half; None: not confirmed,
    since there are too few rows or the start is not shown to meet the target. `quality` are the metrics that the search
    asked for. `rows` are the rows of each half. `cell` is the text of the changed cell.
    """

    name: str
    target: Target
    tries: tuple[Try, ...]
    models: Mapping[str, str] | None
    start: Summary
    found: Summary | None
    confirmed: Summary | None
    quality: tuple[str, ...]
    rows: tuple[int, ...]
    strongest: str
    remark: str
    cell: str

    @property
    def verdict(self) -> Verdict | None:
        """Whether the rows on which nothing was chosen show that the target is met; None if they were not asked."""
        if self.confirmed is None or self.confirmed.unanswered:
            return None
        return verdict(self.confirmed.held)

    @property
    def choice(self) -> str:
        """What to choose and why, in a sentence or two."""
        unanswered = next((t for t in self.tries if t.unanswered), None)
        if unanswered is not None:
            n, runs = unanswered.unanswered, counted(unanswered.rows, "run")
            why = f" ({humanize.one_line(unanswered.why, 120)})" * bool(unanswered.why)
            return f"No choice: {n:,} of {runs} had no answer{why}. The same line asks these {n}."
        if not self._start_meets:
            return self._not_begun()
        return self._proposed() if self.confirmed is None else self._confirmed(self.confirmed)

    @property
    def offered(self) -> bool:
        """Whether the changed cell is worth running: it is shown to meet the target, or it is a proposal."""
        return bool(self.cell) and self._start_meets and (self.confirmed is None or self.verdict == "meets")

    @property
    def _start_meets(self) -> bool:
        return verdict(self._of_quality(self.start)) == "meets"

    def _of_quality(self, summary: Summary) -> list[Held]:
        return [h for h in summary.held if h.condition.metric in self.quality]

    @property
    def _assignment(self) -> str:
        models = self.models or {}
        if len({*models.values()}) == 1:
            return f"all on {next(iter(models.values()))}"
        return ", ".join(f"{step} on {model}" for step, model in models.items())

    def _not_begun(self) -> str:
        held = self._of_quality(self.start)
        found = f"All on {self.strongest} {_finding(held)}: no weaker model is tried."
        if verdict(held) == "misses":
            return f"{found} Change the prompts, or name a stronger model."
        return f"{found} {_needs(held, len(self.rows)).capitalize()} would decide."

    def _proposed(self) -> str:
        rows = f"{counted(sum(self.rows), 'row')}; from 100 on it is confirmed on rows of its own"
        return f"Proposal, not confirmed ({rows}): {self._assignment}.{self._saving}"

    def _confirmed(self, confirmed: Summary) -> str:
        found = f"on the other {counted(self.rows[-1], 'row')}"
        if self.verdict == "meets":
            return f"Choose {self._assignment}: {found} it {_finding(confirmed.held)}.{self._saving}"
        more = f" {_needs(confirmed.held, 2).capitalize()} would decide." * (self.verdict == "not shown")
        return f"Keep the cell as it is: {found}, {self._assignment} {_finding(confirmed.held)}.{more}"

    @property
    def _saving(self) -> str:
        before, after = self.start.cost, None if self.found is None else self.found.cost
        if not before or after is None:
            return ""
        return (
            f" A run costs {humanize.money(after)}, {after / before:.0%} of all on {self.strongest} "
            f"({humanize.money(before)})."
        )

    def _rows(self) -> list[tuple[str, ...]]:
        names = [name for name, _, _ in self.tries[0].figures]
        heads = ("try", "rows", *(part for name in names for part in (name, "95% range")), "$/task", "target", "")
        lines = [
            (
                t.change, f"{t.rows:,}", *(part for _, value, ends in t.figures for part in (value, ends)),
                "unknown" if t.cost is None else cost(t.cost), t.verdict, t.decision,
            )
            for t in self.tries
        ]  # fmt: skip
        return [heads, *lines]

    def _sentences(self) -> Iterator[str]:
        yield self.choice
        paid = humanize.money(sum(t.paid for t in self.tries), sum(t.unpriced for t in self.tries))
        yield f"{self.remark}. All tries together paid {paid}."

    def __repr__(self) -> str:
        cell = f"\n\n{self.cell}" if self.offered else ""
        return "\n".join([table(self._rows()), *self._sentences()]) + cell

    def _repr_html_(self) -> str:
        from orchmagic.trace.humanize import BLOCK, safe  # noqa: PLC0415 - only a notebook needs it
        from orchmagic.views.html_table import html_table  # noqa: PLC0415 - as above

        said_ = "".join(f"<div>{safe(text)}</div>" for text in self._sentences())
        cell = f"<pre>{safe(self.cell)}</pre>" if self.offered else ""
        return f"<div {BLOCK}>{html_table(self._rows())}{said_}{cell}</div>"


def _finding(held: Sequence[Held]) -> str:
    """`is shown to meet right >= 0.85 (at least 87%)`."""
    words = {"meets": "is shown to meet", "misses": "misses", "not shown": "is not shown to meet"}
    return f"{words[verdict(held) or 'not shown']} {' and '.join(str(h.condition) for h in held)} ({bound(held)})"


def _needs(held: Sequence[Held], parts: int) -> str:
    """How many rows would decide, of which each of `parts` gets its share."""
    more = [h.more_rows for h in held if h.verdict == "not shown"]
    known = [m for m in more if m is not None]
    return f"about {max(known) * parts:,} more rows" if known and len(known) == len(more) else "more rows"
