"""The checks of the card over twelve kinds of run, four widths, three fonts and both themes: `make check-views`.

One JupyterLab and one page: the runs are made once, then the width, the theme and the font of the page change. It prints
a table, writes pictures to `build/screenshots` and ends with 1 when a check fails.
"""

# ruff: noqa: T201 - it prints a table

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from card_kinds import KINDS
from card_measures import CELLS, CHECKS, FONTS, MEASURE, ROOM, THEMES, WIDTHS, faults, shown
from conftest import FLAGS, SHOTS, Lab, Notebook
from playwright.sync_api import sync_playwright

TESTS = {
    3: ["tests/browser/test_live_in_lab.py::test_nothing_jumps_while_a_run_goes_on"],
    4: ["tests/views/test_saved_size.py::test_an_output_is_small", "tests/views/test_saved_size.py::test_no_kind_needs_more_than_60_kb"],
    5: ["tests/views/test_saved_size.py::test_a_cached_run_again_changes_nothing_but_its_number"],
    7: ["tests/browser/test_views_in_chromium.py::test_reopened_without_a_kernel_and_untrusted_it_is_whole_and_prices_are_no_formulas"],
    9: ["tests/browser/test_card_in_lab.py::test_a_card_is_used_by_the_keyboard_alone"],
    12: ["tests/browser/test_card_in_lab.py::test_lists_and_comparisons_reopen_without_a_kernel_with_the_same_texts"],
    13: ["tests/views/test_static_html.py::test_of_a_thousand_rows_twenty_failed_and_every_saved_form_says_so"],
    14: ["tests/browser/test_labextension.py::test_a_hostile_trace_runs_nothing_sends_nothing_and_leaves_the_page_usable"],
}  # fmt: skip
"""Checks that a test of the suite makes: they run with the rest."""
UNMEASURED = {
    8: "times of the first card, cold",
}  # fmt: skip


def main() -> int:
    tried: Counter[int] = Counter()
    failed: dict[int, dict[str, list[str]]] = defaultdict(dict)
    fonts = {name: pair for name, pair in FONTS.items() if _installed(pair)}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        try:
            lab.wait()
            lab.write("kinds.ipynb", CELLS)
            page = browser.new_page(viewport={"width": 1700, "height": ROOM})
            book = Notebook(page, lab, "kinds.ipynb")
            for index in range(len(KINDS) + 1):
                book.run(index)
            for kind, width, font, theme, card in shown(book, fonts, THEMES, WIDTHS):
                where = f"{kind} at {width} px, {font}, {theme.split()[-1].lower()}"
                for check, found in faults(kind, width, card.evaluate(MEASURE)):
                    tried[check] += 1
                    if found:
                        failed[check][where] = found
                if font == "DejaVu" and width in (370, 1200):
                    _shot(card, f"card-{kind}-{width}-{theme.split()[-1].lower()}")
        finally:
            browser.close()
            lab.close()
    for check, tests in TESTS.items():
        tried[check] += 1
        ran = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *tests], capture_output=True, text=True, check=False)  # fmt: skip
        if ran.returncode:
            failed[check][" ".join(tests)] = [line for line in ran.stdout.splitlines() if line.startswith(("E  ", "FAILED", "ERROR"))][:4]  # fmt: skip
    return _tell(tried, failed, [name for name in FONTS if name not in fonts])


def _shot(card: Any, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    card.screenshot(path=str(SHOTS / f"{name}.png"))


def _installed(pair: tuple[str, str]) -> bool:
    return all(subprocess.run(["fc-list", name], capture_output=True, text=True, check=True).stdout for name in pair)


def _tell(tried: Counter[int], failed: dict[int, dict[str, list[str]]], missing: list[str]) -> int:
    print(f"{'check':<6}{'tried':>6}{'failed':>7}  what")
    for check in range(1, 15):
        what = CHECKS.get(check) or UNMEASURED.get(check) or TESTS[check][0].rpartition("::")[2]
        if check in UNMEASURED:
            print(f"{check:<6}{'-':>6}{'-':>7}  {what}: not measured here")
            continue
        print(f"{check:<6}{tried[check]:>6}{len(failed[check]):>7}  {what}")
        for where, found in list(failed[check].items())[:12]:
            print(f"{'':21}{where}: {'; '.join(found[:3])}" + f" and {len(found) - 3} more" * (len(found) > 3))
    for name in missing:
        print(f"The font {name} is not installed: {', '.join(FONTS[name])}. Install it and run this again.")
    return int(bool(missing) or any(failed.values()))


if __name__ == "__main__":
    sys.exit(main())
