"""Size and speed of what a notebook saves of a run: bytes, and milliseconds until Chromium has drawn it.

`python benchmarks/views.py`; without Chromium only the sizes and the time to render are measured.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from orchmagic import views
from orchmagic.trace.events import Usage
from orchmagic.trace.record import Picture, Record, Span
from orchmagic.trace.run_trace import Trace
from orchmagic.views import answer

FIGURE = "application/vnd.plotly.v1+json"
TEXT = "word " * 100
PLOTLY = Path(str(importlib.util.find_spec("plotly").origin)).parent / "package_data" / "plotly.min.js"  # type: ignore[union-attr]  # it is a dependency
# two frames later what was set is on the screen
_DRAWN = (
    "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began))))"
)
_DRAW = f"""async ([html, figure]) => {{
    const began = performance.now();
    document.querySelector('#answer').innerHTML = html;
    if (figure) await Plotly.newPlot('figure', figure.data, figure.layout, figure.config);
    return {_DRAWN};
}}"""


def steps(count: int) -> Record:
    """`count` steps one after the other, each with a question and an attempt."""
    spans = [s for i in range(count) for s in _call(f"step_{i}#1", None, "call", float(i))]
    return _record(spans, count)


def items(count: int) -> Record:
    """One step of `count` items, side by side."""
    whole = Usage(input=100 * count, output=50 * count)
    outer = replace(_call("map#1", None, "call", 0.0)[0], usage=whole, cost=0.001 * count)
    inner = [s for i in range(1, count + 1) for s in _call(f"map#1/{i}", "map#1", "item", i / count)]
    return _record([outer, *inner], count)


def _call(id_: str, parent: str | None, kind: str, start: float) -> list[Span]:
    common: dict[str, Any] = {"status": "done", "start": start, "end": start + 0.9, "cost": 0.001, "model": "m"}
    common |= {"provider": "p", "usage": Usage(input=100, output=50)}
    asked = [{"role": "user", "content": TEXT}]
    name = id_.rpartition("/")[2].partition("#")[0]
    return [
        Span(id=id_, parent=parent, kind=kind, name=name, input=asked, output=TEXT, **common),
        Span(id=f"{id_}.1", parent=id_, kind="ask", name="ask m", input=asked, output=TEXT, **common),
        Span(id=f"{id_}.1/1", parent=f"{id_}.1", kind="attempt", name="attempt 1", **common),
    ]


def _record(spans: list[Span], count: int) -> Record:
    names = [s.name for s in spans if s.parent is None]
    arrows = tuple((a, b, "") for a, b in itertools.pairwise(names))
    empty = Trace("r", "bench", "chain").snapshot()
    usage = Usage(input=100 * count, output=50 * count)
    return replace(
        empty,
        status="done",
        seconds=max(s.end or 0 for s in spans),
        usage=usage,
        cost=0.001 * count,
        calls=count,
        output=TEXT,
        picture=Picture(tuple((n, "call") for n in names), arrows),
        spans=tuple(spans),
    )


def measured(record: Record, page: Any, runs: int) -> str:
    """Bytes as a notebook writes them, milliseconds to render, and to draw what JupyterLab shows of it."""
    began = time.perf_counter()
    bundles = (answer.bundle(record), views.bundle(record))
    rendered = time.perf_counter() - began
    size = sum(len(json.dumps(b, indent=1, ensure_ascii=False).encode()) for b in bundles)
    saved = len(json.dumps(bundles[1], indent=1, ensure_ascii=False).encode())
    told = f"{saved / 1e3:7.1f} kB, with the answer {size / 1e3:7.1f} kB; rendered in {rendered * 1e3:6.0f} ms"
    if page is None:
        return told
    figure = bundles[1].get(FIGURE)
    html = bundles[0]["text/html"] + ("" if figure else bundles[1]["text/html"])
    took = [page.evaluate(_DRAW, [html, figure]) for _ in range(runs)]
    return f"{told}, drawn in {took[0]:5.0f} ms at first, then {statistics.median(took[1:]):5.0f} ms"


def main(runs: int = 7) -> None:
    """Print the figures."""
    print("e) what a notebook saves of a run   (goals: 20 steps <= 60 kB; 10,000 spans <= 1 MB, drawn < 1.5 s)")
    shapes: tuple[tuple[str, Callable[[], Record]], ...] = (
        ("20 steps            ", lambda: steps(20)),
        ("333 steps, a figure ", lambda: steps(333)),
        ("10,000 spans, steps ", lambda: steps(3_333)),
        ("10,000 spans, items ", lambda: items(3_333)),
    )
    with _browser() as page:
        for name, make in shapes:
            print("  ", name, measured(make(), page, runs))


@contextlib.contextmanager
def _browser() -> Iterator[Any]:
    """A page with Plotly in it, or None without Chromium."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        yield None
        return
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": 1100, "height": 900})
        page.set_content("<!doctype html><meta charset=utf-8><div id=answer></div><div id=figure></div>")
        page.add_script_tag(path=str(PLOTLY))
        yield page
        chromium.close()


if __name__ == "__main__":
    main()
