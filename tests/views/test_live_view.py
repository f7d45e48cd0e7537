"""The live view: not more often than ten times a second, nothing in it moves, and it is gone at the end."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import replace

import pytest

from orchmagic import Reply
from orchmagic.notebook.execution import BackgroundDisplay, StopButton
from orchmagic.notebook.live_display import DELAY, EMPTY, LiveDisplay, StreamedText
from orchmagic.trace.events import (
    AttemptStarted,
    BatchSent,
    CallFinished,
    CallStarted,
    NodeStarted,
    RunFinished,
    TextStreamed,
)
from orchmagic.trace.reasons import Reason
from orchmagic.trace.record import MIME, Picture, Span
from orchmagic.trace.run_trace import Trace
from orchmagic.views.card import payload
from orchmagic.views.live import frame, note
from orchmagic.views.palette import RED

CELL = "%%chain triage --no-cache --budget 1\nextract -> name: str\n    {{ text }}\n"


class Screen:
    def __init__(self, *, broken=False):
        self.frames = []
        self.broken = broken

    def update(self, data):
        if self.broken:
            raise OSError("the front end is gone")
        self.frames.append(data)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def a_run(notebook):
    notebook.script({"name": "lamp"})
    return notebook.run(CELL, text="<b>")


def a_record(*spans, picture=None, **more):
    record = Trace("r", "t", "chain", picture=picture or Picture(tuple((s.name, s.kind) for s in spans))).snapshot()
    return replace(record, spans=spans, **more)


def a_step(name, status="running", kind="call", **more):
    return Span(id=f"{name}#1", parent=None, kind=kind, name=name, status=status, start=0.0, **more)


async def turns():
    """Of the loop: what is due now is done."""
    for _ in range(3):
        await asyncio.sleep(0)


def heights(shown):
    """Of all rooms in a frame, in order."""
    return re.findall(r"(?<!max-)height:([\d.]+(?:px|em|%))", shown["text/html"])


def test_a_frame_has_steps_text_and_bars(notebook):
    shown = frame(a_run(notebook).record, "extract#1.1", "<script>streamed")
    assert 'data-step="extract"' in shown["text/html"]
    assert "&lt;script&gt;streamed" in shown["text/html"]
    assert "of 10 min<" in shown["text/html"]
    assert "of $1.00<" in shown["text/html"]
    assert "triage" in shown["text/plain"]


def test_every_frame_of_a_run_has_the_same_lines_and_heights(notebook):
    notebook.script(lambda _: "fine")
    live, screen = None, Screen()

    def look(_):
        if run.trace.events:
            screen.update(frame(live._record, "a#1.1", "words" if len(screen.frames) > 3 else ""))

    notebook.space["many"] = ["x", "y", "z"]
    made = notebook.define(
        "%%chain --no-cache\nfirst(over=many, item=one)\n    {{ one }}\nsecond(votes=3)\n    {{ first }}\n"
    )
    run = made.prepare()
    live = LiveDisplay(run, screen)
    run.watch(look)
    run.start()
    run.wait()
    assert len(screen.frames) > 10
    assert len({tuple(heights(f)) for f in screen.frames}) == 1
    assert len({re.search("<svg[^>]*>", f["text/html"])[0] for f in screen.frames}) == 1
    assert {f["text/html"].count("data-step") for f in screen.frames} == {2}


async def test_nothing_is_shown_of_a_run_that_ends_at_once(notebook):
    screen = Screen()
    live = LiveDisplay(a_run(notebook), screen)
    for i in range(500):
        live.on_event(TextStreamed(call="extract#1.1", text=f"word{i} "))
        if i % 50 == 0:
            await asyncio.sleep(0)
    live.on_event(RunFinished(status="done"))
    assert screen.frames == []


async def test_many_events_make_few_frames_and_the_end_clears(notebook):
    screen, clock = Screen(), Clock()
    live = LiveDisplay(a_run(notebook), screen, clock)
    clock.now = DELAY
    for i in range(500):
        live.on_event(TextStreamed(call="extract#1.1", text=f"word{i} "))
        if i % 50 == 0:
            await asyncio.sleep(0)
    assert len(screen.frames) == 1
    live.on_event(RunFinished(status="done"))
    assert screen.frames[1:] == [EMPTY]


async def test_the_last_frame_is_held_until_the_result_is_shown(notebook):
    screen, clock = Screen(), Clock()
    live = LiveDisplay(a_run(notebook), screen, clock, hold=True)
    clock.now = DELAY
    live.on_event(TextStreamed(call="a", text="x"))
    await turns()
    live.on_event(RunFinished(status="done"))
    assert len(screen.frames) == 1
    live.clear()
    live.clear()
    assert screen.frames[1:] == [EMPTY]


async def test_a_front_end_that_is_gone_does_not_stop_a_run(notebook):
    clock = Clock()
    live = LiveDisplay(a_run(notebook), Screen(broken=True), clock)
    clock.now = DELAY
    live.on_event(TextStreamed(call="a", text="x"))
    await turns()
    assert live._ended
    live.on_event(RunFinished(status="done"))


async def test_text_that_comes_after_a_frame_is_drawn_a_tenth_of_a_second_later(notebook):
    live = LiveDisplay(a_run(notebook), Screen())
    live.on_event(TextStreamed(call="a", text="x"))
    live._stop()
    live._draw()
    live._cost = 0.0
    idle = live._timer.when()
    live.on_event(TextStreamed(call="a", text="y"))
    assert live._timer.when() < idle - 0.3
    first = live._timer
    live.on_event(TextStreamed(call="a", text="z"))
    assert live._timer is first
    live.on_event(RunFinished(status="done"))


def test_a_slow_front_end_is_drawn_for_less_often(notebook):
    live = LiveDisplay(a_run(notebook), Screen())
    live._cost = 0.02
    assert live._pause == pytest.approx(0.4)  # a twentieth of the time


def test_one_voice_is_shown_until_it_ends():
    voices = StreamedText()
    for call, text in (("a", "one "), ("b", "other "), ("a", "two")):
        voices.on_event(TextStreamed(call=call, text=text))
    assert voices.current == ("a", "one two")
    voices.on_event(AttemptStarted(call="a", attempt=2, model="m", provider="p"))
    assert voices.current == ("b", "other ")
    voices.on_event(CallFinished(call="b", text="other ", model="m", provider="p"))
    assert voices.current == ("b", "other ")  # the last one stays while nobody speaks


def test_a_long_answer_is_cut_seldom():
    voices = StreamedText()
    starts = set()
    for i in range(3_000):
        voices.on_event(TextStreamed(call="a", text=f"w{i} "))
        starts.add(voices.current[1].split(" ")[0])
        assert len(voices.current[1]) <= 4_000
    assert len(starts) < 12
    assert starts <= {f"w{i}" for i in range(3_000)}


def test_items_are_counted_and_what_runs_in_them_is_named_once():
    items = [
        Span(
            id=f"map#1/{n}",
            parent="map#1",
            kind="item",
            name=str(n),
            status="done" if n < 37 else "failed" if n == 37 else "running",
            start=0.0,
        )
        for n in range(1, 50)
    ]
    inner = [
        Span(id=f"map#1/{n}/draft#1", parent=f"map#1/{n}", kind="call", name="draft", status="running", start=0.0)
        for n in range(40, 50)
    ]
    step = a_step("map", kind="sub", input={"over": "texts", "items": 100})
    record = a_record(step, *items, *inner)
    assert note(record, step) == "37 of 100 rows, 1 failed · in draft"


def test_votes_are_counted_against_all_that_are_asked():
    step = a_step("toxic")
    votes = [
        Span(id=f"toxic#1/v{n}", parent="toxic#1", kind="vote", name=f"vote {n}", status=s, start=0.0)
        for n, s in ((1, "done"), (2, "running"))
    ]
    picture = Picture((("toxic", "call"),), repeats=(("toxic", "votes", 5),))
    assert note(a_record(step, *votes, picture=picture), step) == "1 of 5 votes"


def test_tools_nested_steps_retries_and_caches_are_told():
    step = a_step("tools", kind="tools")
    tool = Span(id="tools#1.1", parent="tools#1", kind="tool", name="find_order", status="running", start=0.0)
    assert note(a_record(step, tool), step) == "find_order"
    outer = a_step("draft", kind="sub")
    inner = Span(id="draft#1/write#1", parent="draft#1", kind="call", name="write", status="running", start=0.0)
    assert note(a_record(outer, inner), outer) == "in write"
    call = a_step("reply")
    ask = Span(
        id="reply#1.1",
        parent="reply#1",
        kind="ask",
        name="ask m",
        status="running",
        start=0.0,
        why=(Reason("note", text="attempt 1 failed (429)"),),
    )
    assert note(a_record(call, ask), call) == "attempt 1 failed (429)"
    old = replace(ask, status="done", age=8.0, why=())
    done = replace(call, status="done", end=1.0)
    assert note(a_record(done, old), done) == "from cache"
    failed = a_step("gate", status="failed", error="no\nquote")
    assert note(a_record(failed), failed) == "no quote"


def test_visits_are_one_line_and_add_up():
    first, second = a_step("draft", "done", end=1.0), replace(a_step("draft"), id="draft#2", start=2.0)
    html = frame(a_record(first, second, seconds=4.0, picture=Picture((("draft", "call"),))))["text/html"]
    assert html.count("data-step") == 1
    assert "\u00d72" in html
    assert ">3.0 s<" in html


def test_of_many_steps_those_that_began_last_have_a_line():
    nodes = tuple((f"step{i}", "call") for i in range(60))
    spans = tuple(a_step(f"step{i}", "done", end=1.0) for i in range(40))
    html = frame(a_record(*spans, picture=Picture(nodes)))["text/html"]
    assert html.count("data-step") == 24
    assert 'data-step="step39"' in html
    assert "36 more steps" in html
    assert html.count("data-step") == frame(a_record(picture=Picture(nodes)))["text/html"].count("data-step")


def test_a_bar_warns_near_its_limit(notebook):
    record = replace(a_run(notebook).record, limits={"budget": 1.0}, cost=0.9)
    assert RED in frame(record)["text/html"]
    assert RED not in frame(replace(record, cost=0.1))["text/html"]


def test_names_and_errors_cannot_be_markup():
    step = a_step("<img src=x>", status="failed", error="<script>1</script>")
    html = frame(a_record(step), "<i>#1.1", "</div>")["text/html"]
    assert "<script" not in html
    assert "<img" not in html
    assert "<i>" not in html
    assert html.count("<div") == html.count("</div>")


def test_stop_cancels_a_run_and_takes_its_button_away(notebook):
    pytest.importorskip("ipywidgets")
    notebook.script(lambda _: Reply("never", latency=60))
    run = notebook.define("%%chain --no-cache\na\n    b\n").prepare()
    place = Screen()
    stop = StopButton(run, place)
    run.start()
    stop.show()
    assert "application/vnd.jupyter.widget-view+json" in place.frames[0]
    stop.press()
    assert run.wait().status == "cancelled"
    stop.close()
    stop.close()
    assert place.frames[1:] == [EMPTY]
    stop.show()
    assert len(place.frames) == 2


def test_no_button_comes_after_the_end(notebook):
    place = Screen()
    stop = StopButton(a_run(notebook), place)
    stop.close()
    stop.show()
    assert place.frames == []


@pytest.mark.parametrize(("cell", "told"), [("a\n    b\n", "✓ Done"), ("a\n    b\ngate False\n", "False is false")])
def test_a_run_in_the_background_shows_how_it_ended(notebook, monkeypatch, cell, told):
    notebook.script(lambda _: "fine")
    places = []
    monkeypatch.setattr("orchmagic.notebook.execution.DisplayHandle", lambda: places.append(Screen()) or places[-1])
    run = notebook.define(f"%%chain --no-cache\n{cell}").prepare()
    behind = BackgroundDisplay(run)
    run.start()
    behind.follow()
    for thread in threading.enumerate():  # none is left if the run has ended by now
        if thread.name == "orchmagic-background":
            thread.join(10)
    result, *_ = places
    assert told in result.frames[-1]["text/plain"]
    assert {"application/vnd.plotly.v1+json", MIME} <= result.frames[-1].keys()


def test_a_step_that_waits_for_a_batch_says_so_until_the_answer_is_there():
    trace = Trace("r", "t", "chain", picture=Picture((("kinds", "call"),)))
    trace.add(NodeStarted(span="kinds#1", node="kinds", kind="call", input={"over": "papers", "items": 2}))
    for number in (1, 2):
        call, span = f"kinds#1/{number}.1", f"kinds#1/{number}"
        trace.add(CallStarted(call=call, span=span, model="night"))
        trace.add(BatchSent(call=call, batch="batch_1", requests=120, sent="14:02"))
    waiting = "waiting for a batch (120 requests, sent 14:02)"
    record = trace.snapshot()
    assert note(record, record.steps[0]) == f"0 of 2 rows · {waiting}"
    assert waiting in frame(record)["text/html"]
    assert payload(record, live=True)["card"]["waits"] == waiting
    for number in (1, 2):
        trace.add(CallFinished(call=f"kinds#1/{number}.1", text="a", model="m", provider="h"))
    record = trace.snapshot()
    assert "waits" not in payload(record, live=True)["card"]
    asks = [s for s in record.spans if s.kind == "ask"]
    assert [str(w) for s in asks for w in s.why] == ["answered by a batch (120 requests, sent 14:02)"] * 2
