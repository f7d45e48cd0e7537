"""What a person sees in JupyterLab."""

from __future__ import annotations

import time

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.enable_socket]

SETUP = """%load_ext orchmagic
%config OrchMagic.model = "scripted"
%config OrchMagic.cache = "off"
from orchmagic import Reply, Script, install
ticket = "The export button does nothing since the update. I need the report today!"
question = "I was charged twice"
def find_order(order_id: str) -> dict:
    "Look up an order."
    return {"id": order_id, "status": "delayed"}
"""
CHAIN = """install(Script([
    Reply({"feature": "export", "severity": "high", "quote": "broken"}, latency=0.8),
    Reply({"feature": "export", "severity": "high", "quote": "The export button does nothing"}, latency=0.6),
    Reply(fault="500"),
    Reply("Sorry about the export button. We fix it today and write to you as soon as it works.", latency=1.2),
]))
None"""
CHAIN_CELL = """%%chain triage
extract -> feature: str, severity: "low" | "high", quote: str
    Read the support ticket. Copy `quote` word for word from it.
    Ticket: {{ ticket }}
gate extract.quote in ticket else retry 2
reply(when=extract.severity == "high")
    system: You are a calm support engineer.
    user: Answer this ticket about {{ extract.feature }}: {{ ticket }}"""
ROUTE = """install(Script([Reply({"label": "billing"}, latency=0.3), Reply("We return the second payment within three days.", latency=0.7)]))
None"""
ROUTE_CELL = """%%route helpdesk --otherwise human
router
    Which team should answer? {{ question }}
billing: refunds, invoices, double charges
    You are a billing specialist. {{ question }}
technical: errors, crashes, API questions
    Ask for logs if there are none. {{ question }}
human(ask="Please answer: {{ question }}"): anything legal, angry or unclear"""
REACT = """install(Script([
    Reply(tool_calls=[("find_order", {"order_id": "B42"}), ("find_order", {"order_id": "A17"})], latency=0.5),
    Reply("Both orders are delayed.", latency=0.6),
]))
None"""
REACT_CELL = """%%react orders --tools find_order
You help with orders. What is the status of B42 and A17?"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_three_cells_show_answer_graph_and_timeline(notebook, theme):
    book = notebook([SETUP, CHAIN, CHAIN_CELL, ROUTE, ROUTE_CELL, REACT, REACT_CELL])
    book.theme(theme)
    answers = {2: "Sorry about the export button", 4: "We return the second payment", 6: "Both orders are delayed"}
    for index in range(7):
        book.run(index)
        if index in answers:
            area = book.output(index)
            area.locator(".js-plotly-plot .bars").first.wait_for(timeout=30_000)
            assert answers[index] in area.inner_text()
            assert area.locator(".om-card-graph svg text").count() >= 2
            area.scroll_into_view_if_needed()
            book.shot(
                f"{CHAIN_CELL and ['', '', 'chain', '', 'route', '', 'react'][index]}-{theme.split()[-1].lower()}"
            )
    assert book.problems == []


def test_a_click_on_the_bars_chooses_a_row_also_where_no_bar_is(notebook):
    book = notebook([SETUP, CHAIN, CHAIN_CELL])
    for index in range(3):
        book.run(index)
    area = book.output(2)
    area.locator(".js-plotly-plot .bars").first.wait_for(timeout=30_000)
    area.scroll_into_view_if_needed()
    lane = area.locator(".om-plot").bounding_box()
    rows = area.locator(".om-space .om-row")
    for index, part in ((1, 0.02), (0, 0.6), (2, 0.3)):
        row = rows.nth(index).bounding_box()
        book.page.mouse.click(lane["x"] + part * lane["width"], row["y"] + row["height"] / 2)
        area.locator(f".om-space .om-row:nth-child({index + 1})[aria-selected='true']").wait_for(timeout=5_000)
    assert area.locator(".om-space .om-row[aria-selected='true']").count() == 1
    assert book.problems == []


def test_the_live_view_streams_while_the_cell_runs(notebook):
    slow = 'install(Script([Reply("one two three four five", latency=3), Reply("end", latency=3)]))\nNone'
    book = notebook([SETUP, slow, "%%chain\nfirst\n    A\nsecond\n    B {{ first }}"])
    book.run(0)
    book.run(1)
    book.start(2)
    area = book.output(2)
    area.locator(".om-space .om-row.om-is-running", has_text="first").wait_for(timeout=30_000)
    area.locator(".om-space .om-row.om-is-running", has_text="second").wait_for(timeout=30_000)
    assert "● Running" in area.inner_text()
    book.shot("live")
    book.finish(2)
    area.locator(".om-badge", has_text="Done").wait_for()
    assert "end" in area.inner_text()


def test_interrupt_stops_within_a_second_and_keeps_the_partial_trace(notebook):
    slow = 'install(Script([Reply("one"), Reply("never", latency=60)]))\nNone'
    book = notebook([SETUP, slow, "%%chain --no-cache\nfirst\n    A\nsecond\n    B {{ first }}", "1 + 1"])
    book.run(0)
    book.run(1)
    book.start(2)
    area = book.output(2)
    area.locator(".om-space .om-row.om-is-running", has_text="second").wait_for(timeout=30_000)
    began = time.monotonic()
    book.interrupt()
    book.finish(2, 10)
    took = time.monotonic() - began
    book.run(3)
    text = area.inner_text()
    assert "■ Stopped" in text
    assert "one" in text
    assert "Traceback" not in text
    assert "2" in book.output(3).inner_text()
    assert took < 5, took  # the front end's round trips included; the kernel's own second is a unit test
    book.shot("interrupted")


def test_hostile_replies_run_nothing(notebook):
    hostile = (
        "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'><a href='javascript:window.hacked=1'>x</a>"
        "</script></pre><b>bold</b>\\x1b[31mred\\u202eevil"
        + "A"
        * 2500  # long, and still under the reply limit: a reply that is cut off is never shown
    )
    script = f'install(Script([Reply("{hostile}"), Reply("{hostile}")]))\nNone'
    book = notebook([SETUP, script, "%%chain --no-cache\nfirst\n    A\nsecond\n    B {{ first }}"])
    for index in range(3):
        book.run(index)
    area = book.output(2)
    area.locator(".js-plotly-plot .bars").first.wait_for(timeout=30_000)
    assert area.locator(".om-markdown b").count() == 1  # Markdown may be bold
    area.get_by_role("button", name="Raw").click()
    area.locator(".om-answer pre").wait_for(timeout=30_000)
    shown = area.inner_text()
    assert "✓ Done" in shown
    assert "window.hacked=1" in shown  # the hostile reply really is on the page, as text
    assert "AAAAAAAA" in shown
    assert book.page.evaluate("() => window.hacked") is None
    assert area.locator("b").count() == 0
    assert area.locator("a[href^='javascript']").count() == 0
    assert area.evaluate("e => e.scrollWidth <= e.clientWidth + 2")
    book.shot("hostile")
    assert book.problems == []
