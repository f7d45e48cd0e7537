"""Runs side by side: what each took, cost and gave, how well it did, and where their steps differ.

The first run is the one that the others are compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from typing import Any

from orchmagic.core.numbers import counted
from orchmagic.core.text import more, table
from orchmagic.errors import InputError
from orchmagic.trace import humanize, summary
from orchmagic.trace.reasons import AGREEMENT
from orchmagic.trace.record import Record
from orchmagic.views.answer import safe
from orchmagic.views.comparison.bars import drawn, label, steps
from orchmagic.views.comparison.diff import lines
from orchmagic.views.comparison.figure import LETTERS, STEPS, figure
from orchmagic.views.palette import GREEN, RED, RUNS, translucent

QUALITIES = ("score", "agreement", "verified", "confidence")
"""Fields of outputs that say how good a result is; a step of that name says it, too."""

_DIFF, _LINE = 300, 400  # lines of a difference that are shown, characters of one
_OUT = 160  # characters of an output in the table
_FEWEST = 2
_PLACES = 3  # digits of a quality


def compare(records: Sequence[Record]) -> Comparison:
    """Two to six runs, best of one orchestration.

    Raises:
        InputError: there are fewer or more.
    """
    if not _FEWEST <= len(records) <= len(LETTERS):
        raise InputError(
            f"{counted(len(records), 'run')} to compare: name {_FEWEST} to {len(LETTERS)}, such as %orch compare r1 r2"
        )
    return Comparison(tuple(records))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found; a notebook shows it as tables, a figure and differences, a terminal as text."""

    records: tuple[Record, ...]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict per run: letter, run, name, models, status, seconds, tokens, cost (US dollars), unpriced, calls,
        cached, quality (name -> number), output (JSON).
        """
        return [_row(letter, record) for letter, record in zip(LETTERS, self.records, strict=False)]

    def diff(self, other: int = 1) -> list[str]:
        """Lines that tell what run `other` (1: the second) asked and answered differently from the first."""
        return list(lines(self.records[0], self.records[other]))

    def bundle(self) -> dict[str, Any]:
        """All in one MIME bundle: Plotly, static HTML and text."""
        parts = self.bundles()
        html, text = ("".join(p["text/html"] for p in parts), "\n".join(p["text/plain"] for p in parts))
        return parts[1] | {"text/html": html, "text/plain": text}

    def bundles(self) -> tuple[dict[str, Any], ...]:
        """The runs, the figure and the differences: a front end shows one MIME type of each, and a person wants all."""
        notes = [_qualities(quality(r)) for r in self.records]
        chart = {"application/vnd.plotly.v1+json": figure(self.records, notes)}
        runs, took, gave = _cells(self), _table(self), _gave(self)
        return (
            {
                "text/html": _boxed(_as_table(runs, letters=True) + "".join(f"<div>{safe(g)}</div>" for g in gave)),
                "text/plain": _columns(runs) + "\n".join((*gave, "")),
            },
            chart | {"text/html": _boxed(_as_table(took, letters=False)), "text/plain": _columns(took)},
            {"text/html": _boxed("".join(_differences(self))), "text/plain": "\n".join(_text(self))},
        )

    def _ipython_display_(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - in IPython only

        for data in self.bundles():
            display(data, raw=True)  # type: ignore[no-untyped-call]  # IPython's display is untyped

    def __repr__(self) -> str:
        return str(self.bundle()["text/plain"])


def quality(record: Record) -> dict[str, float]:
    """What the run says of its own quality, by the name of the field with its step before it; true is 1.

    Of a step that came several times, the best score of its rounds or else the last value counts.
    """
    found: dict[str, float] = {}
    for step in record.steps:
        found |= dict(_measures(step.name, step.output))
        if sure := [round(r.confidence, 2) for r in step.why if r.confidence is not None and r.basis != AGREEMENT]:
            found.setdefault(f"{step.name}.confidence", sure[-1])
    return found | {name: n for name, n in _measures("", record.output) if name not in _ends(found)}


def _ends(found: Mapping[str, float]) -> set[str]:
    return {name.rpartition(".")[2] for name in found}


def _measures(step: str, value: Any) -> Iterator[tuple[str, float]]:
    if step in QUALITIES and isinstance(value, int | float):
        yield step, float(value)
    rounds = [r for r in value if isinstance(r, Mapping)] if isinstance(value, list) else []
    scores = [r["score"] for r in rounds if isinstance(r.get("score"), int | float)]
    if scores and all("round" in r for r in rounds):
        yield f"{step}.best score" if step else "best score", float(max(scores))
    if isinstance(value, Mapping):
        for name in QUALITIES:
            if isinstance(number := value.get(name), int | float):
                yield f"{step}.{name}" if step else name, float(number)


def _qualities(found: Mapping[str, float]) -> str:
    """The last two, said in short; the best of all rounds counts for more than the last."""
    short = {name.rpartition(".")[2]: n for name, n in found.items()}
    said = [f"{name} {_figure(n)}" for name, n in short.items() if not (name == "score" and "best score" in short)]
    return ", ".join(said[-2:])


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:.{_PLACES}g}"


def _row(letter: str, record: Record) -> dict[str, Any]:
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


def _cells(comparison: Comparison) -> list[tuple[str, ...]]:
    """The table of the runs as text, its heading first."""
    rows = comparison.rows
    names = list(dict.fromkeys(n for row in rows for n in row["quality"]))
    ends = [n.rpartition(".")[2] for n in names]
    short = [end if ends.count(end) == 1 else n for n, end in zip(names, ends, strict=True)]
    heads = ("", "run", "status", "time", "tokens", "cost", "calls", "cached", *short, "models")
    return [heads, *(_line(row, names, r) for row, r in zip(rows, comparison.records, strict=True))]


def _line(row: Mapping[str, Any], names: Sequence[str], record: Record) -> tuple[str, ...]:
    return (
        row["letter"],
        f"{row['run']} {row['name']}",
        f"{humanize.MARKS.get(row['status'], '·')} {row['status']}",
        humanize.seconds(row["seconds"]),
        f"{row['tokens']:,}",
        summary.total(record),
        f"{row['calls']:,}",
        f"{row['cached']:,}",
        *(_figure(row["quality"].get(name)) for name in names),
        humanize.one_line(", ".join(row["models"]), 60),
    )


def _gave(comparison: Comparison) -> list[str]:
    """What each run gave, or what went wrong, a line each: too wide for a table."""
    said = [r.error or humanize.one_line(r.output, _OUT) or r.reason for r in comparison.records]
    return [f"{letter} → {humanize.one_line(text, _OUT)}" for letter, text in zip(LETTERS, said, strict=False) if text]


def _table(comparison: Comparison) -> list[tuple[str, ...]]:
    """What each step took, a column for each run."""
    ids = steps(comparison.records)
    heads = ("step", *(f"{letter} {r.run}" for letter, r in zip(LETTERS, comparison.records, strict=False)))
    found = [{s.id: s for s in r.steps} for r in comparison.records]
    rows = [
        (label(ids, id_), *(_took(r, by.get(id_)) for r, by in zip(comparison.records, found, strict=True)))
        for id_ in drawn(comparison.records)[:STEPS]
    ]
    return [heads, *rows]


def _took(record: Record, step: Any) -> str:
    if step is None:
        return "-"
    state = "" if step.status == "done" else f"{humanize.MARKS.get(step.status, '·')} {step.status} "
    spent = f" · {step.usage.total:,} tok · {humanize.money(step.cost, step.unpriced)}" if step.usage.total else ""
    cached = summary.cache(record, step, brief=True)
    return f"{state}{humanize.seconds(step.seconds)}{spent}{f' · {cached}' if cached else ''}"


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    return table([[humanize.one_line(cell, 48) for cell in row] for row in rows]) + "\n"


def _text(comparison: Comparison) -> Iterator[str]:
    for other in range(1, len(comparison.records)):
        yield from (_short(line) for line in _shown(comparison, other))


def _short(line: str) -> str:
    indent = len(line) - len(line.lstrip())
    return " " * indent + humanize.one_line(line, _LINE)


def _shown(comparison: Comparison, other: int) -> Iterator[str]:
    found = _folded(comparison.diff(other))
    yield from islice(found, _DIFF)
    if len(found) > _DIFF:
        yield more(len(found) - _DIFF, f"lines: run.compare(other).diff({other}) has them all")


def _folded(found: Sequence[str]) -> list[str]:
    """Steps that one run alone came to share a line."""
    for which in ("first", "second"):
        end = f": only in the {which} run"
        alone = [line for line in found if line.endswith(end) and not line.startswith(" ")]
        if len(alone) > 1:
            place = found.index(alone[0])
            names = ", ".join(line.removesuffix(end) for line in alone)
            found = [*found[:place], f"{names}{end}", *(line for line in found[place:] if line not in alone)]
    return list(found)


def _differences(comparison: Comparison) -> Iterator[str]:
    for other in range(1, len(comparison.records)):
        yield from _difference(comparison, other)


def _boxed(html: str) -> str:
    return f'<div style="font:13px system-ui,sans-serif;line-height:1.5">{html}</div>'


def _as_table(rows: Sequence[tuple[str, ...]], *, letters: bool) -> str:
    style = "border-collapse:separate;border-spacing:10px 1px;margin:4px 0;white-space:nowrap"
    head = "".join(f'<th style="text-align:left">{safe(c)}</th>' for c in rows[0])
    body = "".join(
        f"<tr>{''.join(_cell(i, j, c, letters=letters) for j, c in enumerate(row))}</tr>"
        for i, row in enumerate(rows[1:])
    )
    return f'<div style="overflow-x:auto"><table style="{style}"><tr>{head}</tr>{body}</table></div>'


def _cell(row: int, column: int, text: str, *, letters: bool) -> str:
    """The letter of a run has the colour of its bars."""
    mark = f";border-left:4px solid {RUNS[row]};padding-left:6px" if letters and column == 0 else ""
    return f'<td style="text-align:left;vertical-align:top{mark}">{safe(text)}</td>'


def _difference(comparison: Comparison, other: int) -> Iterator[str]:
    yield f"<details{' open' * (len(comparison.records) == _FEWEST)}>"
    yield f"<summary>What {LETTERS[other]} asked and gave differently from A (- A, + {LETTERS[other]})</summary>"
    yield '<div style="font:12px ui-monospace,monospace;white-space:pre-wrap;word-break:break-word">'
    yield from (_coloured(line) for line in _shown(comparison, other))
    yield "</div></details>"


def _coloured(line: str) -> str:
    """A line of the difference; its sign stays, so that it reads without colour."""
    sign = line.lstrip()[:1] if line.startswith("    ") else ""
    back = {"-": translucent(RED, 0.18), "+": translucent(GREEN, 0.18)}.get(sign)
    style = f' style="background:{back}"' if back else ' style="font-weight:600"' if line[:1].strip() else ""
    indent = "&nbsp;" * (len(line) - len(line.lstrip()))
    return f"<div{style}>{indent}{safe(line.strip()[:_LINE]) if line.strip() else escape(line)}</div>"
