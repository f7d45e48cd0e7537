"""Twelve kinds of run in JupyterLab, measured: a part of what `make check-views` looks at."""

import json

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


WHERE = """() => { const e = document.activeElement; return e.closest('.om-card') ? e.getAttribute('aria-label') || e.placeholder || e.textContent.slice(0, 20) || e.className : ''; }"""


def test_a_card_is_used_by_the_keyboard_alone(notebook):
    book = notebook([CELLS[0], next(cell for cell in CELLS if cell.startswith("%%chain triage")), "'after'"])
    book.run(0)
    book.run(1)
    card = book.output(1).locator(".om-card")
    card.locator(".js-plotly-plot .bars").first.wait_for(timeout=30_000)
    active = book.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")
    card.get_by_role("button", name="Copy").first.focus()
    reached = []
    while (where := book.page.evaluate(WHERE)) and len(reached) < 20:
        reached.append(where)
        book.page.keyboard.press("Tab")
    assert reached[:4] == ["Copy", "Open", "Find in this trace", "Steps of the run"]
    assert reached[-2:] == ["This run is right", "This run is wrong"]
    card.get_by_role("tree").focus()
    for key, name in {"Home": "extract", "ArrowDown": "docs", "End": "polish", "ArrowUp": "draft"}.items():
        book.page.keyboard.press(key)
        assert name in card.locator("[role=treeitem][aria-selected=true]").inner_text(), key
    book.page.keyboard.press("Enter")
    book.shot("keys")
    assert "The parcel we order near the old bridge" in card.locator(".om-pane").inner_text()
    assert book.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex") == active
    assert book.problems == []


SAID = """i => [...document.querySelectorAll('.jp-Notebook .jp-Cell')[i]?.querySelectorAll('.jp-RenderedHTML') ?? []].map(e => e.innerText).join()"""


def test_lists_and_comparisons_reopen_without_a_kernel_with_the_same_texts(notebook, lab):
    chain = "%%chain two --no-cache\nfirst\n    Draft about {{ question }}"
    commands = ("%orch runs", "%orch compare", "%orch dash")
    book = notebook([CELLS[0], chain, chain, *commands])
    book.page.set_viewport_size({"width": 1100, "height": ROOM})  # a cell out of sight is not in the page
    for index in range(3 + len(commands)):
        book.run(index)
    said = [book.page.evaluate(SAID, index) for index in range(3, 3 + len(commands))]
    assert all(len(text) > 40 for text in said), said
    book.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save').then(() => null)")
    name = book.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path")
    saved = (lab.root / name).read_text("utf-8")
    assert "FigureWidget(" not in saved
    bare = json.dumps({**json.loads(saved), "metadata": {}})  # of no kernel: JupyterLab asks for one
    (lab.root / "reopened-lists.ipynb").write_text(bare, "utf-8")
    page = book.page.context.new_page()
    page.set_viewport_size({"width": 1100, "height": ROOM})
    page.goto(f"http://127.0.0.1:{lab.port}/lab/tree/reopened-lists.ipynb?token={lab.token}&reset&kernel=none")
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").dispatch_event("click", timeout=60_000)
    for index, text in enumerate(said, 3):
        page.wait_for_function(f"([i, text]) => ({SAID})(i) === text", arg=[index, text], timeout=30_000)
    assert book.problems == []
