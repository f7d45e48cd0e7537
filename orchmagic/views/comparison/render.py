"""A comparison as HTML and as text: tables, and the differences of the outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import islice

from orchmagic.core.text_format import more, shorten, table
from orchmagic.trace import humanize
from orchmagic.trace.record import Record
from orchmagic.views.answer import safe
from orchmagic.views.comparison.diff import lines
from orchmagic.views.comparison.figure import LETTERS
from orchmagic.views.palette import GREEN, RED, RUNS, translucent

_DIFF, _LINE = 300, 400  # lines of a difference that are shown, characters of one


def text_table(rows: Sequence[tuple[str, ...]]) -> str:
    """The table in plain text, long cells shortened."""
    return table([[humanize.one_line(cell, 48) for cell in row] for row in rows]) + "\n"


def text_differences(records: Sequence[Record]) -> Iterator[str]:
    """Lines that tell where each other run differs from the first."""
    for other in range(1, len(records)):
        yield from (_short(line) for line in _shown(records, other))


def _short(line: str) -> str:
    indent = len(line) - len(line.lstrip())
    return " " * indent + humanize.one_line(line, _LINE)


def _shown(records: Sequence[Record], other: int) -> Iterator[str]:
    found = _folded(list(lines(records[0], records[other])))
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


def boxed(html: str) -> str:
    """A block in the font of all views."""
    return f'<div style="font:13px system-ui,sans-serif;line-height:1.5">{html}</div>'


def html_table(rows: Sequence[tuple[str, ...]], *, letters: bool) -> str:
    """The table; with `letters` the first column is marked with the colors of the runs."""
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


def html_differences(records: Sequence[Record]) -> Iterator[str]:
    """The same as HTML, folded for each other run; open if there are two runs."""
    for other in range(1, len(records)):
        yield from _difference(records, other)


def _difference(records: Sequence[Record], other: int) -> Iterator[str]:
    alone = other == len(records) - 1 == 1
    yield f"<details{' open' * alone}>"
    yield f"<summary>What {LETTERS[other]} asked and gave differently from A (- A, + {LETTERS[other]})</summary>"
    yield '<div style="font:12px ui-monospace,monospace;white-space:pre-wrap;word-break:break-word">'
    yield from (_colored(line) for line in _shown(records, other))
    yield "</div></details>"


def _colored(line: str) -> str:
    """A line of the difference; its sign stays, so that it reads without colour."""
    sign = line.lstrip()[:1] if line.startswith("    ") else ""
    back = {"-": translucent(RED, 0.18), "+": translucent(GREEN, 0.18)}.get(sign)
    style = f' style="background:{back}"' if back else ' style="font-weight:600"' if line[:1].strip() else ""
    indent = "&nbsp;" * (len(line) - len(line.lstrip()))
    return f"<div{style}>{indent}{safe(shorten(line.strip(), _LINE)) if line.strip() else escape(line)}</div>"
