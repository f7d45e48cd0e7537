"""Twelve kinds of run in JupyterLab, measured: a part of what `make check-views` looks at."""

import pytest
from card_measures import CELLS, FONTS, MEASURE, ROOM, faults, shown

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.enable_socket]


def test_every_kind_of_card_is_readable_and_honest_narrow_and_wide(notebook):
    book = notebook(CELLS)
    book.page.set_viewport_size({"width": 1700, "height": ROOM})
    for index in range(len(CELLS)):
        book.run(index)
    found, seen = [], set()
    for theme, width in (("JupyterLab Light", 570), ("JupyterLab Dark", 370)):
        for kind, *_, card in shown(book, {"DejaVu": FONTS["DejaVu"]}, [theme], [width]):
            for check, faulty in faults(kind, width, card.evaluate(MEASURE)):
                seen.add(check)
                found += [(check, kind, width, theme, faulty)] if faulty else []
    assert found == []
    assert seen == {1, 2, 6, 10, 11}
    assert book.problems == []
