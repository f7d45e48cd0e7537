"""One palette for figures, static HTML and the JupyterLab extension, which reads on white and on black."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_views_figure import PLOTLY, showing, span

from orchmagic import views
from orchmagic.trace import marks
from orchmagic.views import palette
from orchmagic.views.palette import (
    BLUE,
    DARK,
    FIGURE_FAILED,
    FIGURE_TEXT,
    LIGHT,
    NOW,
    RED,
    RUNS,
    contrast,
    span_color,
    text_on,
)

ROOT = Path(__file__).parents[2]
GROUNDS = {"light": ("#ffffff", "#212121"), "dark": ("#111111", "#e0e0e0")}  # of JupyterLab's themes, with their text
MARKS = {*RUNS, *LIGHT.values(), NOW}
COLOR = re.compile(r"#[0-9a-fA-F]{6}\b|rgba?\((?!127, ?127, ?127|0, ?0, ?0, ?0)[^)]*\)")


def mixed(one: str, other: str, share: float) -> str:
    """As CSS mixes colors in sRGB: `share` of the first."""
    pairs = ((int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def test_the_contrast_is_the_one_of_wcag():
    assert contrast("#ffffff", "#000000") == contrast("#000000", "#ffffff") == 21
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#ff0000", "#ffffff") == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("ground", [ground for ground, _ in GROUNDS.values()])
@pytest.mark.parametrize("mark", sorted(MARKS))
def test_marks_stand_out_on_light_and_on_dark_pages(mark, ground):
    assert contrast(mark, ground) >= 3


@pytest.mark.parametrize("color", sorted(MARKS))
def test_words_within_a_bar_read_on_its_color(color):
    assert contrast(color, text_on(color)) >= 4.5


@pytest.mark.parametrize("tone", LIGHT)
def test_words_read_on_light_and_on_dark_pages(tone):
    assert contrast(LIGHT[tone], "#ffffff") >= 4.5
    assert contrast(DARK[tone], "#111111") >= 7.0


@pytest.mark.parametrize("tone", sorted({mark.tone for mark in marks.MARKS.values()}))
def test_words_of_saved_html_read_on_a_page_that_nobody_knows(tone):
    color, share = re.search(r"color-mix\(in srgb,(#\w+) (\d+)%,currentColor\)", palette.toned(tone)).groups()
    for (ground, text), least in zip(GROUNDS.values(), (4.5, 7.0), strict=True):
        assert contrast(mixed(color, text, int(share) / 100), ground) >= least


@pytest.mark.parametrize("color", [FIGURE_TEXT, FIGURE_FAILED])
def test_no_color_of_a_figures_text_reads_better_on_both_grounds(color):
    """A figure does not know its page, and no color at all has 4.5 on both: the best has the same on each, 4.34."""
    best = max(min(contrast(f"#{n:02x}{n:02x}{n:02x}", ground) for ground, _ in GROUNDS.values()) for n in range(256))
    assert best == pytest.approx(4.34, abs=0.01)
    assert min(contrast(color, ground) for ground, _ in GROUNDS.values()) >= best - 0.1


def test_what_failed_is_red_whatever_kind_it_is_of():
    kinds = ("call", "code", "gate", "tools", "tool", "approve", "item", "vote", "sub", "more")
    assert {span_color(kind, "failed") for kind in kinds} == {RED}
    assert RED not in {
        span_color(kind, status) for kind in kinds for status in ("done", "waiting", "skipped", "running")
    }


@pytest.mark.parametrize("kind", ["call", "tools", "code"])
def test_a_failed_bar_is_red(kind):
    bundle = views.bundle(
        showing(span("fine", 0, 1, kind=kind), span("bad", 1, 2, kind=kind, status="failed", error="x"))
    )
    fine = span_color(kind, "done")
    assert bundle[PLOTLY]["data"][0]["marker"]["color"] == [fine, RED]


def test_an_attempt_that_failed_is_red_and_the_one_after_it_is_not(notebook):
    step = span("a", 0, 4)
    asked = replace(step, id="a#1.ask1", parent="a#1", kind="ask")
    tries = (
        replace(asked, id="a#1.ask1.try1", parent=asked.id, kind="attempt", status="failed", end=1.0, error="500"),
        replace(asked, id="a#1.ask1.try2", parent=asked.id, kind="attempt", start=2.0),
    )
    (bars,) = views.bundle(showing(step, asked, *tries))[PLOTLY]["data"]
    assert bars["marker"]["color"] == [BLUE, RED, BLUE]


@pytest.mark.parametrize(
    ("theme", "ground", "least"), [(0, "#ffffff", 4.5), (1, "#111111", 7.0)], ids=["light", "dark"]
)
def test_the_colors_of_the_extension_are_read_in_both_themes(theme, ground, least):
    css = (ROOT / "labextension/style/palette.css").read_text()
    colors = dict(re.findall(r"--om-([a-z-]+): (#\w+);", css.split("[data-jp-theme-light='false']")[theme]))
    assert colors.pop("ground") == ground
    assert len(colors) == 12
    same = {"failed": "bad"}  # the other names are alike
    assert {name: colors[same.get(name, name)] for name in LIGHT} == (LIGHT, DARK)[theme]
    assert {
        name: round(contrast(color, ground), 1) for name, color in colors.items() if contrast(color, ground) < least
    } == {}


def test_the_extension_has_no_colors_elsewhere():
    others = "".join(f.read_text() for f in (ROOT / "labextension").glob("s*/*.[ct]s*") if f.name != "palette.css")
    assert not MARKS & set(re.findall(r"#[0-9a-f]{6}\b", others))


def test_no_view_and_no_widget_has_a_color_of_its_own():
    own = {"#f7f7f7", "#111111"}  # of labels that have their own ground
    files = [f for room in ("views", "notebook") for f in (ROOT / "orchmagic" / room).rglob("*.py")]
    found = {f.name: set(COLOR.findall(f.read_text())) - own for f in files if f.name != "palette.py"}
    assert {name: colors for name, colors in found.items() if colors} == {}
