"""A person labels rows with keys and buttons, in JupyterLab; the cell ends at once, and a new kernel goes on."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.enable_socket]

SETUP = """%load_ext orchmagic
import orchmagic
rows = [{"ticket": f"ticket {i} <b>bold</b>", "output": f"answer {i}"} for i in range(6)]"""
LABEL = """labels = orchmagic.label(rows, "good", file="labels_of_test.jsonl")
labels"""
SAID = """[(label.verdict, label.correction) for label in map(labels.said, labels.items) if label]"""


def test_keys_and_buttons_label_and_each_label_is_kept(notebook):
    book = notebook([SETUP, LABEL, SAID, "print('the next cell ran')"])
    for index in range(2):
        book.run(index)
    area = book.output(1)
    area.get_by_text("0 of 6 rows labelled").wait_for()
    assert area.locator("b", has_text="bold").count() == 0  # texts of rows are no markup
    book.run(3)  # the cell does not wait
    book.output(3).get_by_text("the next cell ran").wait_for()
    keys, correction = area.get_by_placeholder("keys: y n s"), area.get_by_placeholder("what would be right")
    keys.click()
    for number, key in enumerate("yy", 1):
        book.page.keyboard.press(key)
        area.get_by_text(f"{number} of 6 rows labelled").wait_for()
    correction.fill("better")
    keys.click()
    book.page.keyboard.press("n")
    area.get_by_text("3 of 6 rows labelled").wait_for()
    book.page.keyboard.press("s")
    area.get_by_text("3 of 6 rows labelled, 1 skipped").wait_for()
    area.get_by_role("button", name="wrong (n)").click()
    area.get_by_text("4 of 6 rows labelled, 1 skipped").wait_for()
    book.shot("label")
    book.run(2)
    said = "[('right', None), ('right', None), ('wrong', 'better'), ('skip', None), ('wrong', None)]"
    book.output(2).get_by_text(said).wait_for()
    book.run(1)  # again: what is on disk is not asked again
    book.output(1).get_by_text("4 of 6 rows labelled, 1 skipped").wait_for()
