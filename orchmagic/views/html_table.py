"""Tables as static HTML: readable at 420 px, and where a page strips all styles."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from orchmagic.trace.humanize import safe

_CELL = "padding:1px 8px"


def html_table(
    rows: Sequence[Sequence[str]], right: Collection[int] = (), marks: Sequence[str] = (), *, wrap: bool = True
) -> str:
    """Return rows of text, headings first, as a table; the columns `right` (from 0) are aligned to the right.

    `marks`: a color for the left edge of each row. Without `wrap` each row is one line, and a narrow page scrolls.
    """
    head, *body = rows
    lines = [_row("th", head, right, "")]
    lines += [_row("td", row, right, marks[i % len(marks)] if marks else "") for i, row in enumerate(body)]
    lines_, table = "".join(lines), f"border-collapse:collapse;margin:4px 0{'' if wrap else ';white-space:nowrap'}"
    return f'<div style="overflow-x:auto"><table style="{table}">\n{lines_}</table></div>'


def _row(tag: str, cells: Sequence[str], right: Collection[int], mark: str) -> str:
    """Return a row on a line of its own, so that a change of one row changes one line of the saved notebook."""
    edge = f";border-left:4px solid {mark};padding-left:6px" if mark else ""
    sides = ("right" if i in right else "left" for i in range(len(cells)))
    shown = (
        f'<{tag} style="{_CELL};text-align:{side}{edge if i == 0 else ""}">{cell and safe(cell)}</{tag}>'
        for i, (cell, side) in enumerate(zip(cells, sides, strict=True))
    )
    return f"<tr>{''.join(shown)}</tr>\n"
