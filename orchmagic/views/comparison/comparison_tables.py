"""The tables of a comparison as rows of text, headings first: the runs, and time and cost of each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchmagic.core.text_format import counted, more
from orchmagic.trace import humanize, marks, summary
from orchmagic.trace.record import Record, Span
from orchmagic.views.comparison.quality import digits, quality
from orchmagic.views.comparison.steps import LETTERS, STEPS, drawn, label, steps
from orchmagic.views.palette import RUNS
from orchmagic.views.timeline.rows import length

_OUTPUT = 160  # characters of an output


def run_row(letter: str, record: Record) -> dict[str, Any]:
    """Return a run as a dict with the keys of `Comparison.rows`."""
    asked = dict.fromkeys(s.model for s in record.spans if s.kind == "ask" and s.model)
    return {
        "letter": letter,
        "run": record.run,
        "name": record.name,
        "models": list(asked),
        "status": record.status,
        "seconds": record.seconds,
        "tokens": record.usage.total,
        "cost": record.cost,
        "unpriced": record.unpriced,
        "calls": record.calls,
        "cached": record.cached,
        "quality": quality(record),
        "output": record.output,
    }


def runs_table(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Return the table of the runs as text, headings first."""
    rows = [run_row(letter, record) for letter, record in zip(LETTERS, records, strict=False)]
    names = list(dict.fromkeys(n for row in rows for n in row["quality"]))
    ends = [n.rpartition(".")[2] for n in names]
    short = [end if ends.count(end) == 1 else n for n, end in zip(names, ends, strict=True)]
    heads = ("", "run", "status", "time", "tokens", "cost", "calls", "from cache", *short, "models")
    return [heads, *(_line(row, names, r) for row, r in zip(rows, records, strict=True))]


def _line(row: Mapping[str, Any], names: Sequence[str], record: Record) -> tuple[str, ...]:
    return (
        row["letter"],
        f"{row['run']} {row['name']}",
        f"{marks.of(record).sign} {marks.of(record).word}",
        humanize.seconds(row["seconds"]),
        f"{row['tokens']:,}",
        summary.total(record),
        f"{row['calls']:,}",
        f"{row['cached']:,}",
        *(digits(row["quality"].get(name)) for name in names),
        humanize.one_line(", ".join(row["models"]), 60),
    )


def steps_table(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Return the table of time, tokens and cost by step, with a column for each run; at most STEPS steps."""
    ids = steps(records)
    heads = ("step", *(f"{letter} {r.run}" for letter, r in zip(LETTERS, records, strict=False)))
    found = [{s.id: s for s in r.steps} for r in records]
    rows = [
        (label(ids, id_), *(_took(r, by.get(id_)) for r, by in zip(records, found, strict=True)))
        for id_ in drawn(records)[:STEPS]
    ]
    return [heads, *rows]


def bars(records: Sequence[Record]) -> dict[tuple[int, int], tuple[float, str]]:
    """Return the bars of the rows and columns of `steps_table`: the time as a share of the longest, and a color."""
    found = [{s.id: s for s in r.steps} for r in records]
    long = {
        (row, column): length(record, by[id_])
        for row, id_ in enumerate(drawn(records)[:STEPS])
        for column, (record, by) in enumerate(zip(records, found, strict=True), 1)
        if id_ in by and by[id_].status != "skipped"
    }
    most = max(long.values(), default=0.0) or 1.0
    return {place: (seconds / most, RUNS[place[1] - 1]) for place, seconds in long.items()}


def left_out(records: Sequence[Record]) -> list[str]:
    """Return lines that say which steps `steps_table` lacks."""
    shown, quick = len(drawn(records)), len(steps(records)) - len(drawn(records))
    return [
        *[more(shown - STEPS, "steps")] * (shown > STEPS),
        *[f"not shown: {counted(quick, 'step')} that took hardly any time"] * bool(quick),
    ]


def _took(record: Record, step: Span | None) -> str:
    if step is None:
        return "-"
    state = f"{marks.of(step).sign} {word} " if (word := marks.trouble(step)) else ""
    spent = (
        f" · {humanize.tokens(step.usage)} tok · {humanize.money(step.cost, step.unpriced)}" if step.usage.total else ""
    )
    cached = summary.cache(record, step)
    return f"{state}{humanize.seconds(step.seconds)}{spent}{f' · {cached}' if cached else ''}"


def results(records: Sequence[Record]) -> list[str]:
    """Return the output or error of each run, one line each: too wide for a table."""
    said = [r.error or humanize.one_line(r.output, _OUTPUT) or r.reason for r in records]
    return [
        f"{letter} → {humanize.one_line(text, _OUTPUT)}" for letter, text in zip(LETTERS, said, strict=False) if text
    ]
