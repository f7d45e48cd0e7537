"""The live view: not more often than ten times a second, and gone at the end."""

import asyncio
from dataclasses import replace

from orchmagic.events import RunFinished, TextStreamed
from orchmagic.live import Live, frame
from orchmagic.trace import Span, Trace

CELL = "%%chain triage --no-cache --budget 1\nextract -> name: str\n    {{ text }}\n"


class Screen:
    def __init__(self, *, broken=False):
        self.frames = []
        self.broken = broken

    def update(self, data):
        if self.broken:
            raise OSError("the front end is gone")
        self.frames.append(data)


def a_run(notebook):
    notebook.script({"name": "lamp"})
    return notebook.run(CELL, text="<b>")


def test_a_frame_has_steps_text_and_bars(notebook):
    shown = frame(a_run(notebook).record, "<script>streamed")
    assert "extract" in shown["text/html"]
    assert "&lt;script&gt;streamed" in shown["text/html"]
    assert "of 10 min" in shown["text/html"]
    assert "cost" in shown["text/html"]
    assert "triage" in shown["text/plain"]


async def test_many_events_make_few_frames_and_the_end_clears(notebook):
    screen = Screen()
    live = Live(a_run(notebook), screen)
    for i in range(500):
        live.hear(TextStreamed(call="extract#1.1", text=f"word{i} "))
        if i % 50 == 0:
            await asyncio.sleep(0)
    assert len(screen.frames) <= 2
    live.hear(RunFinished(status="done"))
    assert screen.frames[-1] == {"text/plain": "", "text/html": ""}


async def test_a_front_end_that_is_gone_does_not_stop_a_run(notebook):
    live = Live(a_run(notebook), Screen(broken=True))
    live.hear(TextStreamed(call="a", text="x"))
    await asyncio.sleep(0)
    live.hear(RunFinished(status="done"))


async def test_text_that_comes_after_a_frame_is_drawn_a_tenth_of_a_second_later(notebook):
    live = Live(a_run(notebook), Screen())
    live.hear(TextStreamed(call="a", text="x"))
    live._stop()
    live._draw()
    live._cost = 0.0
    idle = live._timer.when()
    live.hear(TextStreamed(call="a", text="y"))
    assert live._timer.when() < idle - 0.3
    first = live._timer
    live.hear(TextStreamed(call="a", text="z"))
    assert live._timer is first
    live.hear(RunFinished(status="done"))


def test_items_are_counted_and_inner_steps_under_way_are_listed():
    at = {"status": "running", "start": 0.0}
    spans = [Span(id="map#1", parent=None, kind="sub", name="map", **at)]
    spans += [Span(id=f"map#1/{n}", parent="map#1", kind="item", name=str(n), **at) for n in range(1, 400)]
    spans += [Span(id="map#1/7/draft#1", parent="map#1/7", kind="call", name="draft", **at)]
    shown = frame(replace(Trace("r", "t", "chain").snapshot(), spans=tuple(spans)), "")["text/html"]
    assert "399 items, 399 running" in shown
    assert "map/7/draft" in shown
    assert shown.count("<tr>") == 2
