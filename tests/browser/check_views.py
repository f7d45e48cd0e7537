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
from card_measures import CELLS, CHECKS, FONTS, MEASURE, ROOM, STYLE, THEMES, WIDTHS, faults, shown
from conftest import BUNDLE, FLAGS, SHOTS, Lab, Notebook
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

LIVE = f"""i => {{
    const card = document.querySelectorAll('.jp-Notebook .jp-Cell')[i].querySelector('.om-card.om-live');
    return card && ({MEASURE})(card);
}}"""
ENDED = """i => {
    const { model } = window.jupyterapp.shell.currentWidget.content.widgets[i];
    return model.executionState === 'idle' && model.executionCount !== null;
}"""
CLOCK = """i => {
    const area = document.querySelectorAll('.jp-Notebook .jp-Cell')[i].querySelector('.jp-Cell-outputArea');
    const [began, times] = [performance.now(), {}];
    window.omTimes = times;
    const look = () => {
        const now = performance.now() - began;
        if (area.querySelector('.om-badge')) times.card ??= now;
        if (area.querySelector('.om-badge') && !area.querySelector('.om-live')) times.ended ??= now;
        if (area.querySelector('.js-plotly-plot .bars')) times.figure ??= now;
        if (!times.figure) requestAnimationFrame(look);
    };
    look();
}"""
"""Milliseconds from the start of a cell to its card, to its end and to the figure."""


class Result:
    """What was tried and what failed, by the number of the check."""

    def __init__(self) -> None:
        self.tried: Counter[int] = Counter()
        self.failed: dict[int, dict[str, list[str]]] = defaultdict(dict)

    def add(self, check: int, where: str, found: list[str]) -> None:
        self.tried[check] += 1
        if found:
            self.failed[check][where] = found


def main() -> int:
    result = Result()
    fonts = {name: pair for name, pair in FONTS.items() if _installed(pair)}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        try:
            lab.wait()
            _run_and_measure(lab, browser.new_page(viewport={"width": 1700, "height": ROOM}), fonts, result)
        finally:
            browser.close()
            lab.close()
    for check, tests in TESTS.items():
        ran = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *tests], capture_output=True, text=True, check=False)  # fmt: skip
        said = [line for line in ran.stdout.splitlines() if line.startswith(("E  ", "FAILED", "ERROR"))][:4]
        result.add(check, " ".join(tests), (said or ["it failed"]) if ran.returncode else [])
    return _tell(result, [name for name in FONTS if name not in fonts])


def _run_and_measure(lab: Lab, page: Any, fonts: dict[str, tuple[str, str]], result: Result) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("?")[0]))
    lab.write("kinds.ipynb", [cell.replace("PACE = 0.1", "PACE = 0.5") for cell in CELLS])
    book = Notebook(page, lab, "kinds.ipynb")
    book.run(0)
    page.evaluate(STYLE, [570, *FONTS["DejaVu"]])
    plotly = max((BUNDLE / "static").glob("*.js"), key=lambda file: file.stat().st_size)
    early = any(url.endswith(plotly.name) for url in asked)
    page.evaluate(CLOCK, 1)
    book.run(1)  # alone: to measure takes time
    page.wait_for_function("() => window.omTimes.figure")
    for number, kind in enumerate(KINDS, 1):
        _live(book, number, kind, result)
    times = page.evaluate("() => window.omTimes")
    late = times.get("figure", 1e9) - times.get("ended", 0)
    result.add(8, "the first cell, cold", [
        *[f"the card came after {times.get('card')} ms"] * (times.get("card", 1e9) > 700),
        *[f"the figure came {late} ms after the end"] * (late > 1_000),
        *["Plotly was fetched before there was a run"] * early,
        *[f"Plotly has {plotly.stat().st_size:,} bytes"] * (plotly.stat().st_size > 1_200_000),
    ])  # fmt: skip
    for kind, width, font, theme, card in shown(book, fonts, THEMES, WIDTHS):
        where = f"{kind} at {width} px, {font}, {theme.split()[-1].lower()}"
        for check, found in faults(kind, width, card.evaluate(MEASURE)):
            result.add(check, where, found)
        if font == "DejaVu" and width in (370, 1200):
            _shot(card, f"card-{kind}-{width}-{theme.split()[-1].lower()}")


def _live(book: Notebook, number: int, kind: str, result: Result) -> None:
    """Run a cell, and measure its card as often as there is time until it has ended."""
    book.start(number)
    while not book.page.evaluate(ENDED, number):
        found = book.page.evaluate(LIVE, number)
        for check, faulty in faults(kind, 570, found) if found else ():
            if check in (1, 2, 6):
                result.add(check, f"{kind} at 570 px, live", faulty)
    book.finish(number)


def _shot(card: Any, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    card.screenshot(path=str(SHOTS / f"{name}.png"))


def _installed(pair: tuple[str, str]) -> bool:
    return all(subprocess.run(["fc-list", name], capture_output=True, text=True, check=True).stdout for name in pair)


def _tell(result: Result, missing: list[str]) -> int:
    tried, failed = result.tried, result.failed
    print(f"{'check':<6}{'tried':>6}{'failed':>7}  what")
    for check in range(1, 15):
        what = CHECKS.get(check) or TESTS[check][0].rpartition("::")[2]
        print(f"{check:<6}{tried[check]:>6}{len(failed[check]):>7}  {what}")
        for where, found in list(failed[check].items())[:12]:
            print(f"{'':21}{where}: {'; '.join(found[:3])}" + f" and {len(found) - 3} more" * (len(found) > 3))
    for name in missing:
        print(f"The font {name} is not installed: {', '.join(FONTS[name])}. Install it and run this again.")
    return int(bool(missing) or any(failed.values()))


if __name__ == "__main__":
    sys.exit(main())
