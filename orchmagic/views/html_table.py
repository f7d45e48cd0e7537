"""Tables as static HTML: readable at 420 px, and where a page strips all styles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from orchmagic.trace.humanize import safe

_LONGEST = 11  # em of a bar


def html_table(
    rows: Sequence[Sequence[str]],
    right: Collection[int] = (),
    marks: Sequence[str] = (),
    *,
    wrap: bool = True,
    bars: Mapping[tuple[int, int], tuple[float, str]] | None = None,
) -> str:
    """Return rows of text, headings first, as a table; the columns `right` (from 0) are aligned to the right.

    `marks`: a color for the left edge of each row. Without `wrap` each row is one line, and a narrow page scrolls.
    `bars`: (row, column) -> (share of the longest bar, color) of a bar below the text of a cell.
    """
    head, *body = rows
    drawn = {place: _bar(*bar) for place, bar in (bars or {}).items()}
    lines = [_row("th", head, right, "")]
    for i, row in enumerate(body):
        mark = marks[i % len(marks)] if marks else ""
        lines.append(_row("td", row, right, mark, {column: bar for (at, column), bar in drawn.items() if at == i}))
    style = f"border-spacing:12px 1px;margin:4px 0{'' if wrap else ';white-space:nowrap'}"
    return f'<div style="overflow-x:auto"><table style="{style}">\n{"".join(lines)}</table></div>'


def _bar(share: float, color: str) -> str:
    wide = max(share * _LONGEST, 0.2)
    return f'<div style="width:{wide:.1f}em;height:6px;margin:1px 0 3px;border-radius:2px;background:{color}"></div>'


def _row(
    tag: str, cells: Sequence[str], right: Collection[int], mark: str, bars: Mapping[int, str] | None = None
) -> str:
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
        shown.append(f"<{tag}{side}>{text}{(bars or {}).get(i, '')}</{tag}>")
    return f"<tr>{''.join(shown)}</tr>\n"
