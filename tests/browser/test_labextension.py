"""What the extension adds to JupyterLab and Notebook 7: colours in cells, traces without a kernel, the panel of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.enable_socket]

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "trace.json"
MIME = "application/vnd.orchmagic.trace.v1+json"
SETUP = """%load_ext orchmagic
%config OrchMagic.model = "scripted"
%config OrchMagic.history = "off"
from orchmagic import Reply, Script, install
role = "cashier"
mail = "Please send the 12.50 to Ann <b>Lee</b>"
paid = Reply({"to": "Ann <b>Lee</b>", "amount": 12.5, "kind": "refund"}, latency=0.2)
install(Script([paid, Reply("The money is on its way.", latency=0.3)]))
None"""
PAYOUT = """%%chain payout --no-cache --budget 0.50
# who gets it, and how much
draft(retry=2) -> to: str, amount: float, kind: "refund" | "salary"
    system: You are a {{ role | lower }}.
    user: {% if mail %}Who gets how much? {{ mail }}{% endif %}
    The word gate is no control here.
gate draft.amount < 20 and "else" in "or else" else stop "too much"
approve "Send this payout?"
reply(when=draft.to)
    Tell {{ draft.to }} that {{ draft.amount }} is on its way."""
ROUTE = """%%route helpdesk --min-confidence 0.7 --otherwise human --no-run
router
    Which team should answer? {{ question }}
billing(model=small): refunds, invoices, double charges
    You are a billing specialist. {{ question }}
human(ask="Please answer: {{ question }}"): anything legal, angry or unclear"""
PYTHON = """def answer(question: str) -> int:
    "Not ours: Python stays Python."
    return 42  # %%chain"""


def shown_classes(book: Any, cell: int, text: str) -> str:
    """The classes of the stretch of a cell that has this text."""
    script = """([i, text]) => { const c = document.querySelectorAll('.jp-Notebook .jp-Cell')[i];
        const e = [...c.querySelectorAll('.cm-line span')].find(s => s.textContent === text && !s.children.length);
        return e ? e.className : null; }"""
    return book.page.evaluate(script, [cell, text])


def panel(book: Any) -> Any:
    """The runs, in sight."""
    book.page.evaluate("() => window.jupyterapp.commands.execute('orchmagic:show-runs')")
    found = book.page.locator(".om-panel")
    found.wait_for(state="visible", timeout=30_000)
    return found


def command(book: Any, name: str) -> None:
    book.page.evaluate("n => { window.jupyterapp.commands.execute('orchmagic:' + n); }", name)


def saved(lab: Any, name: str, data: dict[str, Any]) -> None:
    """A notebook that was run elsewhere and holds a trace."""
    text = {"text/plain": "a run", "text/html": "<p>the static view</p>", MIME: data}
    output = nbformat.v4.new_output("display_data", data=text)
    gone = {"name": "gone", "display_name": "a kernel of another machine", "language": "gone"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": gone, "language_info": {"name": "gone"}})
    book.cells = [nbformat.v4.new_code_cell("%%chain", outputs=[output], execution_count=1)]
    nbformat.write(book, lab.root / name)


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1100, "height": 900})
    yield context.new_page()
    context.close()


def shot(page: Any, name: str) -> None:
    folder = Path(__file__).resolve().parents[2] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(300)  # the picture is taken when the page stands still
    page.screenshot(path=str(folder / f"{name}.png"))


def opened(page: Any, lab: Any, name: str) -> None:
    """A notebook without a kernel."""
    page.goto(f"http://127.0.0.1:{lab.port}/lab/tree/{name}?token={lab.token}&reset")
    page.locator(".jp-Dialog").wait_for(timeout=60_000)
    page.locator(".jp-Dialog button", has_text="No Kernel").click()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_our_cells_have_colours_and_python_keeps_its_own(notebook, theme):
    book = notebook([SETUP, PAYOUT, ROUTE, PYTHON])
    book.theme(theme)
    book.page.wait_for_timeout(500)
    assert "om-cm-magic" in shown_classes(book, 1, "%%chain")
    assert "om-cm-step" in shown_classes(book, 1, "draft")
    assert "om-cm-option" in shown_classes(book, 1, "retry")
    assert "om-cm-type" in shown_classes(book, 1, "float")
    assert "om-cm-control" in shown_classes(book, 1, "gate")
    assert "om-cm-role" in shown_classes(book, 1, "system:")
    assert "om-cm-jinja" in shown_classes(book, 1, "{{")
    assert shown_classes(book, 1, "The") is None  # the text of a prompt is plain
    assert "om-cm-description" in shown_classes(book, 2, " refunds, invoices, double charges")
    assert shown_classes(book, 3, "def") is not None
    assert "om-" not in shown_classes(book, 3, "def")
    book.shot(f"lab-colours-{theme.split()[-1].lower()}")
    assert book.problems == []


def test_a_cell_becomes_ours_while_somebody_types(notebook):
    book = notebook(["", "None"])
    book.page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
    book.page.keyboard.type("%%chai\ndraft -> int\n")
    assert shown_classes(book, 0, "draft") is None or "om-" not in shown_classes(book, 0, "draft")
    book.page.keyboard.press("Control+Home")
    book.page.keyboard.press("End")
    book.page.keyboard.type("n")
    book.page.wait_for_function("() => document.querySelector('.om-cm-step')?.textContent === 'draft'")
    assert book.problems == []


@pytest.mark.parametrize("width", [600, 1100, 1600])
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_saved_trace_is_read_without_a_kernel(lab, page, theme, width):
    saved(lab, "reopened.ipynb", json.loads(GOLDEN.read_text()))
    page.set_viewport_size({"width": width, "height": 1000})
    opened(page, lab, "reopened.ipynb")
    page.evaluate("n => window.jupyterapp.commands.execute('apputils:change-theme', {theme: n})", theme)
    page.evaluate("() => { window.jupyterapp.shell.collapseLeft(); window.jupyterapp.shell.collapseRight(); }")
    trace = page.locator(".jp-OutputArea .om-card")
    trace.wait_for(timeout=30_000)
    assert trace.locator(".om-badge").inner_text() == "? Waiting for you"
    trace.locator(".om-row.om-is-failed", has_text="mail 4").locator(".om-label").click()
    assert "urgent/4" in trace.locator(".om-pane").inner_text()
    assert "refused" in trace.locator(".om-pane").inner_text()
    trace.locator(".om-row", has_text="tone").first.locator(".om-label").click()
    trace.get_by_role("tab", name="Decision").click()
    assert "2 of 3 votes" in trace.locator(".om-pane").inner_text()
    assert page.evaluate("() => window.hacked") is None
    assert trace.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    shot(page, f"lab-trace-{theme.split()[-1].lower()}-{width}")


def test_a_click_on_a_bar_or_beside_it_chooses_its_row(lab, page):
    """With a real mouse. A drag zooms and chooses nothing; a double click shows all again."""
    saved(lab, "clicked.ipynb", json.loads(GOLDEN.read_text()))
    page.set_viewport_size({"width": 1200, "height": 900})
    opened(page, lab, "clicked.ipynb")
    trace = page.locator(".jp-OutputArea .om-trace")
    page.locator(".om-plotted .js-plotly-plot .bars").first.wait_for(timeout=30_000)
    rows, chosen = trace.locator(".om-space .om-row"), trace.locator(".om-row[aria-selected=true]")
    lane = rows.nth(0).locator(".om-lane").bounding_box()

    def place(part: float, row: int) -> tuple[float, float]:
        return lane["x"] + part * lane["width"], lane["y"] + lane["height"] / 2 + 24 * row

    for row, part in [(0, 0.01), (1, 0.02), (2, 0.97), (4, 0.5), (3, 0.97), (1, 1.02)]:
        page.mouse.click(*place(part, row))
        assert chosen.all_inner_texts() == [rows.nth(row).inner_text()], (row, part)
    axis = trace.locator(".om-axis .om-lane")
    page.mouse.move(*place(0.2, 2))
    page.mouse.down()
    page.mouse.move(*place(0.4, 2), steps=4)
    page.mouse.up()
    expect(axis).to_have_text("2 s3 s4 s")
    assert chosen.all_inner_texts() == [rows.nth(1).inner_text()]
    page.mouse.dblclick(*place(0.3, 2))
    expect(axis).to_have_text("05 s10 s")


def test_ten_thousand_spans_are_drawn_in_a_second_and_a_half(lab, page):
    map_ = {"id": "map#1", "kind": "call", "name": "map", "status": "done", "start": 0, "end": 120}
    items = [
        {"id": f"map#1/{i}", "parent": "map#1", "kind": "item", "name": str(i), "start": i / 100, "end": i / 100 + 1,
         "status": "failed" if i == 5000 else "done", "input": f"chunk {i}", "usage": {"input": 100}}
        for i in range(1, 10_000)
    ]  # fmt: skip
    saved(lab, "large.ipynb", {"version": 1, "run": "r1", "name": "digest", "seconds": 120, "spans": [map_, *items]})
    opened(page, lab, "large.ipynb")
    trace = page.locator(".jp-OutputArea .om-trace")
    trace.wait_for(timeout=30_000)
    data = json.dumps({"version": 1, "run": "r1", "name": "digest", "seconds": 120, "spans": [map_, *items]})
    took = page.evaluate(
        """async ([data, mime]) => { const w = window.jupyterapp.shell.currentWidget;
        const outputs = w.content.widgets[0].model.outputs; const parsed = JSON.parse(data); const began = performance.now();
        outputs.clear(); outputs.add({output_type: 'display_data', metadata: {}, data: {[mime]: parsed}});
        while (!document.querySelector('.jp-OutputArea .om-trace .om-space .om-row')) await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame); return performance.now() - began; }""",
        [data, MIME],
    )
    assert took < 1_500, took
    trace = page.locator(".jp-OutputArea .om-trace")
    trace.locator(".om-row", has_text="more rows").locator(".om-label").click()
    trace.locator(".om-list").press("End")
    trace.get_by_text("9999 · chunk 9999").wait_for()
    assert trace.locator(".om-row").count() < 80
    shot(page, "lab-trace-large")


HOSTILE = (
    '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script><svg onload="window.hacked=3"></svg>'
    '<iframe src="http://127.0.0.1:9/evil"></iframe><style>* { display: none }</style><a href="javascript:window.hacked=4">'
    '<div style="position: fixed; inset: 0; z-index: 9999">[x](javascript:window.hacked=5)![](http://127.0.0.1:9/evil.png)'
    "\x1b[31m\u202egnp.\u2066{{ 7*7 }}"
)
_MANY = 100_000


def _span(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "parent": None, "kind": "call", "name": name, "status": "done", "start": 0, "end": 1, **more}


def hostile_traces() -> dict[str, Any]:
    """Traces that no run writes: markup in every field, wrong types, circles, and far too much of everything."""
    said = [{"role": HOSTILE, "content": HOSTILE}]
    of_markup = dict.fromkeys(("kind", "status", "model", "provider", "error", "output"), HOSTILE)
    asked = {"question": HOSTILE, "choices": [HOSTILE], "value": HOSTILE}
    spans = {
        "markup": [
            _span(HOSTILE, **of_markup, why=[HOSTILE], input=said, asked=asked),
            _span("lost", status="failed", error=HOSTILE),
        ],
        "types": [
            {
                "id": 5,
                "parent": {},
                "kind": [],
                "name": None,
                "start": "x",
                "end": {},
                "usage": "no",
                "why": "t",
                "cost": [],
            }
        ],
        "no list": "no",
        "prototype": [{"__proto__": {"hacked": 1}, "id": "constructor", "parent": "__proto__"}, _span("__proto__")],
        "numbers": [_span("a", start=1e308, end=-1e308, cost=1e308, usage={"input": 1e308})],
        "circle": [
            _span("r"),
            _span("a", parent="b", status="failed", error="x"),
            _span("b", parent="a"),
            _span("c", parent="c"),
        ],
        "deep": [_span(f"s{i}", parent=f"s{i - 1}" if i else None, kind="sub") for i in range(5_000)],
        "wide": [_span("m")] + [_span(f"m/{i}", parent="m", kind="item") for i in range(_MANY)],
        "long list": [_span("a", output=list(range(3 * _MANY)))],
        "long text": [_span("a", output="\x1b[0… (" * _MANY, error=" " * 10 * _MANY, status="failed")],
    }
    picture = {
        "nodes": [[HOSTILE, HOSTILE, HOSTILE]],
        "arrows": [[HOSTILE, HOSTILE, HOSTILE]],
        "taken": 3,
        "notes": HOSTILE,
    }
    run = {"version": 1, "run": HOSTILE, "name": HOSTILE, "pattern": HOSTILE, "status": HOSTILE, "started": HOSTILE, "seconds": 2,
           "error": HOSTILE, "reason": HOSTILE, "inputs": {HOSTILE: HOSTILE}, "output": {HOSTILE: HOSTILE}, "picture": picture}  # fmt: skip
    graph = (
        '<svg onload="window.hacked=6" style="position: fixed; inset: 0"><script>window.hacked=7</script><image href="http://127.0.0.1:9/x"/>'
        f'<a href="javascript:window.hacked=8"><text>t</text></a><foreignObject>{HOSTILE}</foreignObject></svg>'
    )
    drawn = {**run, "spans": [_span("a")], "card": {"graph": graph}}
    return {name: {**run, "spans": found} for name, found in spans.items()} | {
        "graph": drawn,
        "nothing": None,
        "a list": [],
    }


def test_a_hostile_trace_runs_nothing_sends_nothing_and_leaves_the_page_usable(lab, page):
    """Each trace is shown in the same open notebook; what can be clicked in it is clicked."""
    foreign, problems = [], []
    page.on(
        "request",
        lambda r: foreign.append(r.url) if f"127.0.0.1:{lab.port}" not in r.url and "://" in r.url[:8] else None,
    )
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.on("dialog", lambda d: (problems.append(d.message), d.dismiss()))
    saved(lab, "hostile.ipynb", json.loads(GOLDEN.read_text()))
    opened(page, lab, "hostile.ipynb")
    page.locator(".jp-OutputArea .om-card").wait_for(timeout=30_000)
    for name, trace in hostile_traces().items():
        page.evaluate(SHOW, [json.dumps(trace), MIME])
        page.wait_for_function("() => document.querySelector('.jp-OutputArea-output')?.innerText", timeout=30_000)
        assert page.locator(".jp-OutputArea .om-card").count() == (bool(trace) and name != "no list"), name
        for place in (
            ".om-failure",
            ".om-name",
            ".om-row .om-label",
            ".om-is-failed .om-label",
            ".om-twist",
            ".om-kind-more",
            ".om-tab",
        ):
            page.evaluate("s => document.querySelector('.jp-OutputArea ' + s)?.click()", place)
        left = page.evaluate(LEFT)
        assert left == {"hacked": None, "made": 0, "covered": [], "sent": 0}, name
    assert (foreign, problems) == ([], [])


SHOW = """async ([data, mime]) => { const outputs = window.jupyterapp.shell.currentWidget.content.widgets[0].model.outputs;
    outputs.clear(); await new Promise(requestAnimationFrame);
    outputs.add({output_type: 'display_data', metadata: {}, data: {'text/plain': 'a run', [mime]: JSON.parse(data)}}); }"""
LEFT = """async () => { await new Promise(requestAnimationFrame); await new Promise(r => setTimeout(r));
    const out = document.querySelector('.jp-OutputArea');
    const covered = ['#jp-MainMenu', '.jp-NotebookPanel-toolbar', '.jp-SideBar.jp-mod-left'].filter(s => {
        const e = document.querySelector(s), b = e.getBoundingClientRect();
        return !e.contains(document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2)); });
    return {hacked: window.hacked ?? {}.hacked ?? null, covered, made: out.querySelectorAll('img, iframe, script, style, a[href^=javascript]').length,
        sent: performance.getEntriesByType('resource').filter(r => r.name.includes(':9/')).length}; }"""


def test_a_run_that_waits_is_answered_in_the_panel(notebook):
    book = notebook([SETUP, PAYOUT, "'the kernel is free'", "payout.last.status, In[-1]"])
    side = panel(book)
    side.get_by_text("Run %load_ext orchmagic in this notebook.").wait_for(timeout=30_000)
    book.run(0)
    book.run(1)
    side.get_by_text("Send this payout?").wait_for(timeout=30_000)
    assert '"amount": 12.5' in side.inner_text()
    assert side.locator("b").count() == 0
    book.shot("lab-panel-waiting")
    side.get_by_role("button", name="Edit").click()
    side.locator("textarea").wait_for()
    side.get_by_role("button", name="Cancel").click()
    side.get_by_role("button", name="Approve").click()
    side.locator(".om-run.om-is-done").wait_for(timeout=30_000)
    assert side.get_by_text("Send this payout?").count() == 0
    book.run(2)
    book.run(3)
    assert "[3]:" in book.page.locator(".jp-Notebook .jp-Cell").nth(2).inner_text()  # no count was used up
    assert "('done', 'payout.last.status, In[-1]')" in book.output(3).inner_text()  # and nothing is in the history
    side.locator(".om-open").first.click()
    tab = book.page.locator(".om-tab .om-card")
    tab.wait_for(timeout=30_000)
    tab.locator(".om-row", has_text="reply").locator(".om-label").click()
    assert "The money is on its way." in tab.locator(".om-pane").inner_text()
    book.shot("lab-panel-trace")
    assert book.problems == []


def test_two_runs_are_compared_and_a_waiting_one_is_rejected(notebook):
    book = notebook([SETUP.replace("[paid,", "[paid, paid,"), PAYOUT, PAYOUT])
    for index in range(3):
        book.run(index)
    side = panel(book)
    side.get_by_text("Send this payout?").nth(1).wait_for(timeout=30_000)
    first = side.locator(".om-run").first
    first.get_by_role("button", name="Reject").click()
    first.locator("textarea").fill("not today")
    first.get_by_role("button", name="Reject").click()
    side.locator(".om-run.om-is-rejected").first.wait_for(timeout=30_000)
    for tick in side.locator("input[type=checkbox]").all()[:2]:
        tick.check()
    side.get_by_role("button", name="Compare").click()
    both = book.page.locator(".om-compare")
    both.wait_for(timeout=30_000)
    assert "steps differ" in both.inner_text()
    assert both.locator(".om-trace").count() == 2
    both.locator("summary").first.click()
    book.shot("lab-compare")
    assert book.problems == []


def test_a_run_is_judged_below_its_card_by_the_keyboard_alone(notebook):
    cell = "%%chain triage --no-cache\nextract -> severity: str\n    Read\nreply\n    Answer {{ extract.severity }}"
    reads = 'install(Script([Reply({"severity": "low"}), Reply("Sorry.")]))'
    kept = '%config OrchMagic.history = "on"\n'
    book = notebook([SETUP + "\n" + kept + reads + "\nNone", cell, "triage.last.feedback()"])
    book.run(0)
    book.run(1)
    card = book.output(1).locator(".om-card")
    wrong = card.get_by_role("button", name="This run is wrong")
    wrong.wait_for(timeout=30_000)
    wrong.focus()
    book.page.keyboard.press("Enter")
    expect(card.locator(".om-judge-form select")).to_be_focused(timeout=30_000)
    book.page.keyboard.type("ext")
    expect(card.locator(".om-judge-form textarea")).to_be_visible(timeout=30_000)
    book.page.keyboard.press("Tab")
    book.page.keyboard.press("Control+A")
    book.page.keyboard.type('{"severity": "high"}')
    book.page.keyboard.press("Tab")
    book.page.keyboard.type("dd, read too fast")
    book.page.keyboard.press("Enter")
    said = card.locator(".om-judge-told")
    expect(said).to_have_text("Kept: wrong · extract corrected · dd, read too fast", timeout=30_000)
    expect(wrong).to_be_focused()
    shot(book.page, "lab-judged")
    book.run(2)
    assert "expect={'extract': {'severity': 'high'}}, note='dd, read too fast'" in book.output(2).inner_text()
    assert (
        book.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length") == 3
    )  # no key went there
    book.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    panel(book).locator(".om-open").first.click()
    tab = book.page.locator(".om-tab .om-card .om-judge-told")
    expect(tab).to_have_text("Kept: wrong · extract corrected · dd, read too fast", timeout=30_000)
    shot(book.page, "lab-judged-tab")
    book.page.reload()
    card.wait_for(timeout=60_000)
    expect(said).to_have_text("Kept: wrong · extract corrected · dd, read too fast", timeout=60_000)
    assert book.problems == []


def test_the_palette_has_our_commands_and_the_last_run_opens_after_a_reload(notebook):
    book = notebook([SETUP, PAYOUT])
    book.run(0)
    book.run(1)
    labels = book.page.evaluate(
        "() => window.jupyterapp.commands.listCommands().filter(c => c.startsWith('orchmagic:')).sort()"
    )
    assert labels == [
        f"orchmagic:{n}" for n in ("compare-runs", "open-last-run", "refresh-runs", "resume-run", "show-runs")
    ]
    book.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    book.page.reload()
    book.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    command(book, "open-last-run")
    book.page.locator(".om-tab .om-card", has_text="payout").wait_for(timeout=30_000)
    assert book.problems == []


def test_notebook_7_has_colours_panel_and_traces(notebook7, page):
    notebook7.write("seven.ipynb", [SETUP, PAYOUT])
    page.goto(f"http://127.0.0.1:{notebook7.port}/notebooks/seven.ipynb?token={notebook7.token}")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.context?.sessionContext.session?.kernel?.status === 'idle'"
    )
    page.wait_for_function("() => document.querySelector('.om-cm-step')?.textContent === 'payout'")
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.evaluate("() => { window.jupyterapp.commands.execute('orchmagic:show-runs'); }")
    side = page.locator(".om-panel")
    side.get_by_text("Send this payout?").wait_for(timeout=60_000)
    side.get_by_role("button", name="Approve").click()
    side.locator(".om-run.om-is-done").wait_for(timeout=30_000)
    side.locator(".om-open").first.click()
    tab = page.locator(".om-tab .om-card")
    tab.wait_for(timeout=30_000)
    assert tab.bounding_box()["height"] >= 300  # there is room to read it
    shot(page, "lab-notebook7")
