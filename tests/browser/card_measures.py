"""What can be measured of a card in a page: overlaps, cut texts, gaps between figures, contrast, marks and height.

`CHECKS` names each measure by its number in the list of checks of the card. A measure returns the faults that it found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from card_kinds import KINDS, SETUP
from conftest import Notebook
from playwright.sync_api import Page

CELLS = [SETUP.replace("PACE = 1.0", "PACE = 0.1"), *KINDS.values()]
ROOM = 12_000
"""Height of the page in pixels: every card is in view, so that the notebook draws it."""

FONTS = {"DejaVu": ("DejaVu Sans", "DejaVu Sans Mono"), "Liberation": ("Liberation Sans", "Liberation Mono"), "Noto": ("Noto Sans", "Noto Sans Mono")}  # fmt: skip
WIDTHS = (370, 570, 800, 1200)
THEMES = ("JupyterLab Light", "JupyterLab Dark")
HIGHEST = {"chain": 560, "votes": 720, "items": 720}
"""Pixels at a width of 570."""
DOUBTED = {
    "failed": ("✗ Failed", "second"), "route": ("! Low confidence", "router"), "cascade": ("! Not verified", "answer"),
    "gate": ("✗ Failed", "gate_1"), "items": ("! Done, with failures", "rate"),
}  # fmt: skip
"""What the header of a run says that must not wear a check mark, and how the name of its row begins."""

STYLE = """([width, sans, mono]) => {
    let sheet = document.getElementById('om-measured');
    if (!sheet) {
        sheet = document.createElement('style');
        sheet.id = 'om-measured';
        document.head.append(sheet);
    }
    sheet.textContent = `.jp-OutputArea-output.om-output { width: ${width}px !important; flex: none !important; max-width: none !important; }
        body { --jp-ui-font-family: '${sans}'; --jp-content-font-family: '${sans}'; --jp-code-font-family: '${mono}'; }`;
}"""
"""Set the width of the cards and the fonts, in the page that is open."""

MEASURE = r"""card => {
    const texts = [];
    const walker = document.createTreeWalker(card, NodeFilter.SHOW_TEXT);
    const outer = card.getBoundingClientRect();
    const visible = { opacityProperty: true, visibilityProperty: true };
    // the part of a box that its scrolling or hiding ancestors let through
    const clipped = (element, r) => {
        const box = { left: r.left, top: r.top, right: r.right, bottom: r.bottom };
        for (let a = element; a && a !== card.parentElement; a = a.parentElement) {
            const style = getComputedStyle(a);
            if (style.overflowX !== 'visible' || style.overflowY !== 'visible') {
                const q = a.getBoundingClientRect();
                box.left = Math.max(box.left, q.left); box.top = Math.max(box.top, q.top);
                box.right = Math.min(box.right, q.right); box.bottom = Math.min(box.bottom, q.bottom);
            }
        }
        return box;
    };
    const rgb = s => {
        const m = s.match(/[\d.]+/g).map(Number);
        const [r, g, b] = s.startsWith('color(') ? m.map(v => 255 * v) : m; // a mix of colors is told in parts of 1
        return [r, g, b, m[3] ?? 1];
    };
    const over = (f, b) => [0, 1, 2].map(i => f[i] * f[3] + b[i] * (1 - f[3])).concat(1);
    const light = c => {
        const [r, g, b] = c.map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const ratio = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
    const ground = element => {
        const layers = [];
        for (let a = element; a; a = a.parentElement) {
            layers.unshift(rgb(getComputedStyle(a).backgroundColor));
            if (layers[0][3] === 1) break;
        }
        return layers.reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
    };
    const opacity = element => {
        let found = 1;
        for (let a = element; a && a !== card; a = a.parentElement) found *= +getComputedStyle(a).opacity;
        return found;
    };
    const pale = [];
    while (walker.nextNode()) {
        const node = walker.currentNode;
        const text = node.textContent.trim();
        const element = node.parentElement;
        if (!text || !element.checkVisibility(visible) || element.closest('style,script,defs,title,option')) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        let seen = false;
        for (const r of range.getClientRects()) {
            const box = clipped(element, r);
            if (box.right - box.left < 2 || box.bottom - box.top < 2) continue;
            seen = true;
            texts.push({ text: text.slice(0, 50), whole: box.right >= r.right - 1.5, element, ...box });
        }
        const style = getComputedStyle(element);
        const svg = element.namespaceURI.includes('svg');
        const drawn = svg ? style.fill : style.color;
        if (seen && drawn.includes('(') && !element.closest(':disabled')) {
            let below = ground(element);
            if (svg) { // the shape of the node lies under its text
                const at = element.getBoundingClientRect();
                const under = document.elementsFromPoint((at.left + at.right) / 2, (at.top + at.bottom) / 2).filter(e => /^(rect|path|polygon|ellipse)$/.test(e.tagName));
                for (const shape of under.reverse()) {
                    const { fill, fillOpacity } = getComputedStyle(shape);
                    if (fill.includes('(')) below = over([...rgb(fill).slice(0, 3), rgb(fill)[3] * +fillOpacity * opacity(shape)], below);
                }
            }
            const ink = rgb(drawn);
            const found = ratio(over([ink[0], ink[1], ink[2], ink[3] * opacity(element)], below), below);
            if (found < 4.495) pale.push(`${text.slice(0, 40)} (${found.toFixed(1)})`);
        }
    }
    const overlaps = [], close = [];
    const figure = t => /^[$≥~]?[\d.,]+( ?(ms|s|min|tokens|calls?|%))?/.test(t);
    for (let i = 0; i < texts.length; i += 1) for (let j = 0; j < i; j += 1) {
        const [a, b] = [texts[i], texts[j]];
        if (a.element === b.element || a.element.contains(b.element) || b.element.contains(a.element)) continue;
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 2 && high > 4) overlaps.push(`${a.text} | ${b.text} (${Math.round(wide)} x ${Math.round(high)} px)`);
        else if (high > 4 && wide > -3.5 && wide <= 2 && figure(a.text) && figure(b.text)) close.push(`${b.text} | ${a.text} (${(-wide).toFixed(1)} px apart)`);
    }
    const cut = texts.filter(t => /\d…$/.test(t.text) || (!t.whole && /^[$≥]?[\d.,]+ ?(ms|s|min|tokens)?$/.test(t.text))).map(t => t.text);
    const bars = [];
    for (const bar of card.querySelectorAll('.js-plotly-plot .bars .point path')) {
        const style = getComputedStyle(bar);
        if (!style.fill.startsWith('rgb')) continue;
        const below = ground(card);
        const found = ratio(over([...rgb(style.fill).slice(0, 3), +style.opacity * +(style.fillOpacity || 1)], below), below);
        if (found < 2.995) bars.push(`bar ${style.fill} (${found.toFixed(1)})`);
    }
    return {
        texts: texts.length, overlaps, close, cut, pale: [...new Set(pale)], bars: [...new Set(bars)],
        beyond: texts.filter(t => t.right > outer.right + 1 || t.left < outer.left - 1).map(t => t.text),
        wide: card.scrollWidth > card.clientWidth + 1 ? [`the card is ${card.scrollWidth} px wide in ${card.clientWidth}`] : [],
        rows: [...card.querySelectorAll('.om-row[role=treeitem]')].map(r => ['.om-mark', '.om-label'].map(c => r.querySelector(c)?.textContent ?? '')),
        badge: card.querySelector('.om-badge')?.textContent ?? '', height: Math.round(outer.height),
    };
}"""
"""Measure a card; what is found is in lists of texts, with what overlaps what."""

CHECKS = {
    1: "no overlap, no text beyond the box",
    2: "figures 4 px apart, no number cut",
    6: "contrast of texts 4.5, of bars 3.0",
    8: "first card in 700 ms, figure in 1,000 ms, Plotly when needed",
    10: "no check mark on what is in doubt",
    11: "height at 570 px",
}


def faults(kind: str, width: int, found: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """Yield each check that applies, with its faults, from what `MEASURE` returned."""
    yield 1, ["nothing is drawn"] * (found["texts"] < 4) + found["overlaps"] + found["beyond"] + found["wide"]
    yield 2, found["close"] + found["cut"]
    yield 6, found["pale"] + found["bars"]
    if kind in DOUBTED:
        badge, name = DOUBTED[kind]
        rows = [row for row in found["rows"] if f"{row[1]} ".startswith(f"{name} ")]
        yield (
            10,
            [
                *[f"the header says {found['badge']!r}, not {badge!r}"] * (found["badge"] != badge),
                *[f"the row {row[1]} wears a check mark" for row in rows if "✓" in row[0]],
                *[f"there is no row {name}"] * (not rows),
            ],
        )
    if width == 570 and kind in HIGHEST:
        yield 11, [f"{found['height']} px, not {HIGHEST[kind]}"] * (found["height"] > HIGHEST[kind])


def shown(
    book: Notebook, fonts: Mapping[str, tuple[str, str]], themes: Iterable[str], widths: Iterable[int]
) -> Iterator[tuple[str, int, str, str, Any]]:
    """Yield kind, width, font, theme and the card of each combination, drawn; the cells of `book` have run."""
    for theme in themes:
        book.theme(theme)
        book.page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")
        for font, pair in fonts.items():
            for width in widths:
                _settle(book.page, width, pair)
                for number, kind in enumerate(KINDS, 1):
                    yield kind, width, font, theme, book.output(number).locator(".om-card")


def _settle(page: Page, width: int, pair: tuple[str, str]) -> None:
    """Set width and font, and wait until each card has them and its figure is drawn in the new size."""
    page.evaluate(STYLE, [width, *pair])
    page.wait_for_function(
        """([cards, width]) => {
            const all = [...document.querySelectorAll('.om-output')];
            const now = all.map(e => [e.offsetWidth, e.offsetHeight, e.innerText.length].join()).join(' ');
            const still = now === window.omBefore_ ? (window.omStill_ ?? 0) + 1 : 0;
            [window.omBefore_, window.omStill_] = [now, still];
            return all.length === cards && all.every(e => e.offsetWidth === width) && still >= 3;
        }""",
        arg=[len(KINDS), width],
        polling=60,
    )
