"""Tables as static HTML: readable at 420 px, and where a page strips all styles."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from orchmagic.trace.humanize import safe


def html_table(
    rows: Sequence[Sequence[str]], right: Collection[int] = (), marks: Sequence[str] = (), *, wrap: bool = True
) -> str:
    """Return rows of text, headings first, as a table; the columns `right` (from 0) are aligned to the right.

    `marks`: a color for the left edge of each row. Without `wrap` each row is one line, and a narrow page scrolls.
    """
    head, *body = rows
    lines = [_row("th", head, right, "")]
    lines += [_row("td", row, right, marks[i % len(marks)] if marks else "") for i, row in enumerate(body)]
    style = f"border-spacing:12px 1px;margin:4px 0{'' if wrap else ';white-space:nowrap'}"
    return f'<div style="overflow-x:auto"><table style="{style}">\n{"".join(lines)}</table></div>'


def _row(tag: str, cells: Sequence[str], right: Collection[int], mark: str) -> str:
    """Return a row on a line of its own, so that a change of one row changes one line of the saved notebook.

    Each cell that holds text says its side: the style sheets of notebooks align all of a table to the right. A figure
    and its unit stay on one line.
    """
    shown = []
    for i, cell in enumerate(cells):
        side = f" style=text-align:{'right' if i in right else 'left'}" if cell else ""
        text = safe(cell.replace(" ", "\u00a0") if i in right else cell) if cell else ""
        if mark and i == 0:
            side = f' style="text-align:left;border-left:4px solid {mark}"'
        shown.append(f"<{tag}{side}>{text}</{tag}>")
    return f"<tr>{''.join(shown)}</tr>\n"
