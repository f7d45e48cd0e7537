"""Render a comparison as HTML and as text: tables, and the differences between runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchmagic.core.text_format import more, shorten, table
from orchmagic.trace import humanize
from orchmagic.trace.humanize import safe
from orchmagic.trace.record import Record
from orchmagic.views.comparison.diff import Line, lines
from orchmagic.views.comparison.steps import LETTERS
from orchmagic.views.palette import GREEN, RED, translucent

_DIFF, _LINE = 300, 400  # lines of a difference, characters of a line, at most


def text_table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return the table as plain text, long cells shortened."""
    return table([[humanize.one_line(cell, 48) for cell in row] for row in rows]) + "\n"


def text_differences(records: Sequence[Record]) -> Iterator[str]:
    """Yield lines with the differences between each other run and the first."""
    for other in range(1, len(records)):
        yield from (str(line._replace(text=humanize.one_line(line.text, _LINE))) for line in _shown(records, other))


def _shown(records: Sequence[Record], other: int) -> Iterator[Line]:
    found = list(lines(records[0], records[other]))
    yield from found[:_DIFF]
    if len(found) > _DIFF:
        yield Line(0, more(len(found) - _DIFF, f"lines: run.compare(other).diff({other}) has them all"))


def boxed(html: str) -> str:
    """Return a block in the font of all views, in which no page takes two prices for a formula."""
    return f"<div {humanize.BLOCK}>{html}</div>"


def html_differences(records: Sequence[Record]) -> Iterator[str]:
    """Yield the differences as HTML, folded for each other run; open if there are only two runs."""
    for other in range(1, len(records)):
        yield from _difference(records, other)


def _difference(records: Sequence[Record], other: int) -> Iterator[str]:
    alone = other == len(records) - 1 == 1
    yield f"<details{' open' * alone}>"
    yield f"<summary>Changes from A to {LETTERS[other]} (- A, + {LETTERS[other]})</summary>"
    yield '<div style="font:12px ui-monospace,monospace;white-space:pre-wrap;word-break:break-word">'
    yield from (_colored(line) for line in _shown(records, other))
    yield "</div></details>"


def _colored(line: Line) -> str:
    """Return a line of a difference as HTML; the sign is kept, so that colour is not needed."""
    back = {"-": translucent(RED, 0.18), "+": translucent(GREEN, 0.18)}.get(line.sign)
    style = f' style="background:{back}"' if back else "" if line.depth else ' style="font-weight:600"'
    return f"<div{style}>{'&nbsp;' * 2 * line.depth}{safe(shorten(line.text.strip(), _LINE))}</div>"
