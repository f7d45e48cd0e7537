"""The saved views of a run, drawn by a real Chromium: nothing cut off, nothing on top of another, nothing runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import plotly
import pytest
from conftest import FONTS, SHOTS, WIDER, in_a_font
from shown_runs import RUNS, Shown, hostile, hostile_failure

from orchmagic import views
from orchmagic.models.providers.scripted import remove
from orchmagic.storage import statistics
from orchmagic.storage.runs import Store
from orchmagic.trace.receipt import Receipt
from orchmagic.trace.record import TIMES, Record
from orchmagic.views import answer, dashboard_figure
from orchmagic.views.comparison import compare
from orchmagic.views.palette import FIGURE_FAILED, translucent
from orchmagic.views.text_width import text_width

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.enable_socket]

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
FIGURE = "application/vnd.plotly.v1+json"
THEMES = {"light": ("#fff", "rgba(0,0,0,.87)"), "dark": ("#111", "rgba(255,255,255,.87)")}
BOXES = """() => [...document.querySelectorAll('#figure text, #answer svg text')].filter(t => t.textContent.trim() &&
    t.checkVisibility({opacityProperty: true, visibilityProperty: true})).map(t => {
    const b = t.getBoundingClientRect(); return [t.textContent, b.left, b.top, b.right, b.bottom]; })"""

BARS = """() => { const bars = [...document.querySelectorAll('td div')].map(d => [d, d.closest('td')]);
    const beyond = ([d, td]) => d.getBoundingClientRect().right > td.getBoundingClientRect().right + 1;
    return [document.documentElement.scrollWidth, bars.length, bars.filter(beyond).length]; }"""
"""How wide the page is, how many bars the cells of its tables have, and how many of these stand out of their cell."""

Draw = Callable[..., Any]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Record]]:
    """`recorded(name)` is the record of that run; each is made once."""
    made: dict[str, Record] = {}
    shown: list[Shown] = []

    def run(name: str) -> Record:
        if name not in made:
            shown.append(Shown(tmp_path_factory.mktemp(name)))
            made[name] = RUNS[name](shown[-1])
        return made[name]

    yield run
    for session in shown:
        session.session.close()
    remove()


@pytest.fixture(scope="module")
def page(chromium_in_a_font: Any) -> Iterator[Any]:
    """A page with Plotly in it, once for each font family: loading it takes longer than all that is drawn."""
    context = chromium_in_a_font.new_context()
    page = _opened(context, WIDER if chromium_in_a_font.family == "wider" else "")
    page.family = chromium_in_a_font.family
    yield page
    context.close()


@pytest.fixture
def draw(page: Any) -> Draw:
    """`draw(record, width, theme)` shows what a notebook shows below its cell."""

    def drawn(record: Record, width: int = 1100, theme: str = "light") -> Any:
        page.mouse.move(0, 0)
        page.set_viewport_size({"width": width + 20, "height": 600})
        page.evaluate(
            "([html, style]) => { document.body.innerHTML = html; document.body.style = style; }", _body(record, theme)
        )
        return _plot(page, record)

    return drawn


def _opened(context: Any, html: str) -> Any:
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda e: page.problems.append(str(e)))
    page.on("dialog", lambda d: (page.problems.append(d.message), d.dismiss()))
    page.set_content(f"<!doctype html><meta charset=utf-8>{html}")
    page.add_script_tag(path=str(PLOTLY))
    return page


def _body(record: Record, theme: str) -> list[str]:
    return [f"<div id=answer>{answer.bundle(record)['text/html']}</div><div id=figure></div>", _style(theme)]


def _style(theme: str) -> str:
    ground, text = THEMES[theme]
    return f"margin:10px;background:{ground};color:{text};font:13px system-ui,sans-serif"


def _plot(page: Any, record: Record) -> Any:
    return _draw_figure(page, views.bundle(record).get(FIGURE))


def _draw_figure(page: Any, figure: dict[str, Any] | None) -> Any:
    if figure:
        page.evaluate("f => Plotly.newPlot('figure', f.data, f.layout, f.config)", figure)
    return page


@pytest.fixture
def draw_figure(page: Any) -> Draw:
    """`draw_figure(figure, width)` shows a Plotly figure alone."""

    def drawn(figure: dict[str, Any], width: int) -> Any:
        page.set_viewport_size({"width": width + 20, "height": 600})
        page.evaluate(
            "style => { document.body.innerHTML = '<div id=figure></div>'; document.body.style = style; }",
            _style("light"),
        )
        return _draw_figure(page, figure)

    return drawn


def _assert_readable(page: Any, width: int) -> None:
    boxes = page.evaluate(BOXES)
    assert len(boxes) > 3
    assert [t for t, left, _, right, _ in boxes if left < 9 or right > width + 11] == []
    assert [(a[0], b[0]) for i, a in enumerate(boxes) for b in boxes[:i] if _meet(a, b)] == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("width", "theme"), [(370, "light"), (570, "dark"), (1200, "light")])
@pytest.mark.parametrize("name", list(RUNS))
def test_nothing_is_cut_off_and_no_text_lies_on_another(recorded, draw, name, width, theme):
    page = draw(recorded(name), width, theme)
    _shot(page, f"view-{name}-{theme}-{width}-{page.family}")
    _assert_readable(page, width)
    _point(page, 0)  # Plotly shows no label that has no room in the figure
    assert page.problems == []


@pytest.mark.parametrize("theme", list(THEMES))
@pytest.mark.parametrize("width", [370, 1200])
def test_a_comparison_fits_its_page_in_any_font(recorded, page, width, theme):
    runs = [recorded(name) for name in ("told", "nested", "refined", "parallel", "failed", "thousand")]
    page.set_viewport_size({"width": width + 20, "height": 900})
    show = "([html, style]) => { document.body.innerHTML = html; document.body.style = style; }"
    page.evaluate(show, [compare(runs).bundle()["text/html"], _style(theme)])
    _shot(page, f"compare-{theme}-{width}-{page.family}")
    wide, bars, beyond = page.evaluate(BARS)
    assert wide <= width + 20  # wide tables scroll by themselves
    assert bars > len(runs)
    assert beyond == 0
    assert page.problems == []


@pytest.mark.parametrize("width", [370, 1200])
def test_the_figure_of_the_history_reads_in_any_font(draw_figure, width):
    store = Store(None)
    for name, cost in (("chain", 0.25), ("a_pattern_with_a_long_name", 1234.5), ("parallel", None)):
        for status in ("done", "failed", "capped", "cancelled", "waiting"):
            usage = {"input": 1_234_567, "output": 0}
            spans = [
                {
                    "kind": "ask",
                    "model": f"the-{name}-model-of-2026",
                    "status": "done",
                    "cost": cost,
                    "age": None,
                    "usage": usage,
                }
            ]
            id_ = store.begin(f"the_{name}_orchestration", name)
            store.save(id_, status, {"cost": cost or 0.0, "usage": usage, "seconds": 4_000.5, "spans": spans}, [])
    figure = dashboard_figure.figure(statistics.summary(store))
    store.close()
    page = draw_figure(figure, width)
    _shot(page, f"history-{width}-{page.family}")
    _assert_readable(page, width)
    assert page.problems == []


TEXTS = [
    *map(chr, range(33, 127)), "◆ sets the total time", "✓ done", "✗ failed", "■ stopped", "◔ stopped at its limit", "9 ★ best", f"100 {TIMES} 2…",
    "Überprüfung", "проверка", "έλεγχος", "12,345,678 tokens (input + output)", "WWWWWWWWWW", "iiiiiiiiii",
]  # fmt: skip
MEASURE = """([texts, font]) => { const c = document.createElement('canvas').getContext('2d'); c.font = font;
    return texts.map(t => c.measureText(t).width); }"""


@pytest.mark.parametrize("font", ["system-ui", '"Open Sans", verdana, arial, sans-serif'])
def test_a_text_is_never_wider_than_its_bound(page, font):
    widths = page.evaluate(MEASURE, [TEXTS, f"100px {font}"])
    bounds = [text_width(text, 100) for text in TEXTS]
    assert [t for t, width, bound in zip(TEXTS, widths, bounds, strict=True) if not 0 < width * 1.1 <= bound] == []


def test_each_family_of_fonts_is_really_drawn_with(launch, tmp_path):
    """The generic families and the ones that Plotly names resolve to it: the families differ in their widths."""
    fonts = ["system-ui", "sans-serif", "monospace", '"Open Sans", verdana, arial, sans-serif']
    widths = []
    for name, (sans, monospace) in FONTS.items():
        browser = in_a_font(launch, name, tmp_path)
        page = browser.new_page()
        own = [sans, sans, monospace, sans]
        widths.append([page.evaluate(MEASURE, [["Hamburgefonts"], f"100px {font}"])[0] for font in fonts])
        assert widths[-1] == [page.evaluate(MEASURE, [["Hamburgefonts"], f"100px '{font}'"])[0] for font in own]
        browser.close()
    assert all(abs(wide - narrow) > 1 for wide, narrow in zip(widths[0], widths[1], strict=True))


def _point(page: Any, row: int) -> None:
    """Point at a row, again when the figure has just taken another size and forgot it."""
    script = "n => { Plotly.Fx.hover('figure', [{curveNumber: 0, pointNumber: n}]); return document.querySelector('#figure .hoverlayer').textContent; }"
    page.wait_for_function(script, arg=row, polling=200)


def _shot(page: Any, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)


def _meet(a: list[Any], b: list[Any]) -> bool:
    """Two boxes of text overlap by more than the empty edge that each has."""
    wide = min(a[3], b[3]) - max(a[1], b[1])
    high = min(a[4], b[4]) - max(a[2], b[2])
    return bool(wide > 2 and high > 4)


def test_the_picture_alone_tells_a_fallback_a_cache_hit_and_a_slow_step(recorded, draw):
    rows = [" ".join(text.split()) for text, *_ in draw(recorded("told"), 600).evaluate(BOXES)]
    assert sum("from cache" in text and "striped" not in text for text in rows) == 1
    fell = [text for text in rows if "switched to" in text]  # polish, too: small is known to be down
    assert len(fell) == 2
    assert sum("2.0 s" in text for text in fell) == 1


def test_pointing_at_a_step_tells_what_went_in_and_out_and_why(recorded, draw):
    page = draw(recorded("told"), 600)
    _point(page, 2)
    said = " ".join(page.locator("#figure .hoverlayer").text_content().split())
    for word in ("draft · model call · Done", "switched from small to large", "Prompt: Draft", "Reply: Sorry about"):
        assert word in said
    box = page.locator("#figure .hoverlayer").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 620


def test_a_failed_step_is_told_first_and_red_with_its_input(recorded, draw):
    page = draw(recorded("failed"), 600)
    text = page.locator("#answer").inner_text().splitlines()
    assert text[1].startswith("✗ Failed in step draft: ")
    assert "Draft an answer" in text[2]
    red = page.evaluate(
        """red => [...document.querySelectorAll('#figure tspan')]
        .filter(t => getComputedStyle(t).fill === red).map(t => t.textContent)""",
        translucent(FIGURE_FAILED, 1).replace("rgba", "rgb").replace(",1)", ")").replace(",", ", "),
    )
    assert any("✗ draft" in t for t in red)


def test_no_cell_is_cut_where_a_page_collapses_its_tables(recorded, draw):
    """As the style sheets of JupyterLab, nbconvert and GitHub do."""
    record = recorded("told")
    page = draw(record, 420)
    html = views.bundle(record)["text/html"]
    cut = page.evaluate(
        """html => {
            document.body.innerHTML = `<style>table { border-collapse: collapse; border-spacing: 0 }</style>${html}`;
            const left = box => box.getBoundingClientRect().left;
            const cells = [...document.querySelectorAll('td, th')];
            return [cells.length, cells.filter(cell => left(cell) < left(cell.closest('div')) - 0.5).length];
        }""",
        html,
    )
    assert cut[0] > 5
    assert cut[1] == 0


@pytest.mark.parametrize("make", [hostile, hostile_failure])
def test_hostile_text_is_shown_and_runs_nothing_in_any_view(chromium, tmp_path, make):
    shown = Shown(tmp_path)
    record = make(shown)
    shown.session.close()
    html = {"static": views.bundle(record)["text/html"], "receipt": Receipt(record)._repr_html_()}
    others = "".join(f"<div id={name}>{text}</div>" for name, text in html.items())
    context = chromium.new_context(viewport={"width": 620, "height": 600})
    page = _opened(context, _body(record, "light")[0] + others)  # parsed as a page, scripts and all
    page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    _plot(page, record)  # the page has its final width by now: Plotly forgets what is pointed at when it changes
    _point(page, 0)
    assert "<script>window.hacked=1" in page.locator("#figure .hoverlayer").text_content()
    for place in ("answer", "static"):
        assert "<script>window.hacked=1</script>" in page.locator(f"#{place}").inner_text(), place
    assert [page.locator(f"#{p} :is(script, img, iframe, b)").count() for p in ("answer", "figure", *html)] == [0] * 4
    assert page.locator("a[href^=javascript]").count() == 0
    assert page.evaluate("() => window.hacked") is None
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert not {"\u202e", "\x1b"} & set(page.content())
    _shot(page, f"view-{make.__name__}")
    assert page.problems == []
    context.close()


def test_reopened_without_a_kernel_and_untrusted_it_is_whole_and_prices_are_no_formulas(lab, chromium, recorded):
    record = recorded("told")
    static = {"text/html": views.bundle(record)["text/html"]}
    shown = (answer.bundle(record), views.bundle(record), static, {"text/html": Receipt(record)._repr_html_()})
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%chain")])
    book.cells[0].outputs = [nbformat.v4.new_output("display_data", data=data) for data in shown]
    nbformat.write(book, lab.root / "reopened.ipynb")
    page = chromium.new_page(viewport={"width": 1100, "height": 1500})
    page.goto(f"http://127.0.0.1:{lab.port}/lab/tree/reopened.ipynb?token={lab.token}&reset&kernel=none")
    # in the dialog; the toolbar has a button of the same name
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").dispatch_event("click", timeout=60_000)
    page.locator(".om-card .js-plotly-plot .bars").first.wait_for(timeout=30_000)
    page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_function("() => document.querySelectorAll('.jp-RenderedHTML').length >= 3")
    _shot(page, "view-reopened")
    text = page.locator(".jp-Notebook").inner_text()
    assert re.search(r"about [\d.]+ times the cost of one strong call \(estimate\)", text)
    assert page.locator(".jp-Notebook :is(mjx-container, .MathJax)").count() == 0
    assert page.locator(".jp-Notebook .js-plotly-plot").count() == 1
    page.close()
