"""A run under way in JupyterLab: nothing jumps, it streams, Stop stops it, and one in the background shows its end."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.enable_socket]

SERVER = '''%load_ext orchmagic
import json, os, threading, time
os.environ["OPENAI_API_KEY"] = "none"
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
PACE = 0.04  # seconds a word
class Slow(BaseHTTPRequestHandler):
    """Streams what SAY(prompt) returns, word by word."""
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = SAY(body["messages"][-1]["content"])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        def send(data):
            self.wfile.write(f"data: {data}\\n\\n".encode())
            self.wfile.flush()
        def chunk(delta, **more):
            told = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            send(json.dumps({**told, "choices": [{"index": 0, "delta": delta, **more}]}))
        try:
            for word in said.split(" "):
                chunk({"content": word + " "})
                time.sleep(PACE)
            chunk({}, finish_reason="stop")
            told = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
            send(json.dumps({**told, "usage": {"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100}}))
            send("[DONE]")
        except OSError:  # stopped
            pass
    def log_message(self, *_):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
%config OrchMagic.models = {"slow": {"model": "m", "base_url": f"http://127.0.0.1:{server.server_port}/v1", "input_price": 2.0, "output_price": 8.0}}
%config OrchMagic.model = "slow"
WORDS = "The export broke with the update of last night, so we looked at the logs, found a wrong path, and put it right. "
def SAY(prompt):
    return (WORDS * (12 if "book" in prompt else 3 if "page" in prompt else 1)).strip()
reviews = [f"review {n}" for n in range(1, 25)]
topic = "the export button <b>"
'''
INNER = """%%chain brief --no-run
research
    What is known about {{ topic }}?
write
    One page about it: {{ research }}"""
CELL = """%%chain report --no-cache --budget 0.50 --concurrency 5
summary(over=reviews, item=review)
    Summarise {{ review }} <script>
draft = brief(topic=topic)
verdict(votes=3)
    Is it good? {{ draft }} {{ summary }}
final
    Write the page: {{ verdict }}"""
LONG = """%%chain novel --no-cache
first
    Write the book
second
    Sum it up: {{ first }}"""


PRESS = """area => new Promise(done => {
    const began = performance.now();
    const look = () => area.innerText.includes('■ Stopped') ? done(performance.now() - began) : setTimeout(look, 20);
    [...area.querySelectorAll('button')].find(b => b.textContent.includes('Stop')).click();
    look();
})"""


def opened(notebook, *cells):
    book = notebook([SERVER, INNER, *cells])
    for index in range(2):
        book.run(index)
    return book


def shot(book, area, name):
    area.evaluate("e => e.closest('.jp-Cell').scrollIntoView({block: 'start'})")
    book.shot(f"live-{name}")


WATCH = """area => {
    window.frames_ = [];
    window.watching = true;
    const look = () => {
        const card = area.querySelector('.om-card');
        if (card && card.querySelector('.om-badge')) {
            const top = card.getBoundingClientRect().top;
            const at = name => { const e = card.querySelector(name); return e ? Math.round(e.getBoundingClientRect().top - top) : null; };
            window.frames_.push({
                head: at('.om-card-head'), graph: at('.om-card-graph'), list: at('.om-list'),
                height: Math.round(area.getBoundingClientRect().height), badge: card.querySelector('.om-badge').textContent
            });
        }
        if (window.watching) requestAnimationFrame(look);
    };
    look();
}"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_nothing_jumps_while_a_run_goes_on(notebook, theme):
    """The third check of the card: head, graph and list stay, and the height never falls, from the first frame to the end."""
    book = opened(notebook, CELL, "'after'")
    book.theme(theme)
    name = theme.split()[-1].lower()
    area = book.output(2)
    area.evaluate(WATCH)
    book.start(2)
    area.locator(".om-card").wait_for(timeout=30_000)
    area.get_by_text("of 24").wait_for(timeout=30_000)
    shot(book, area, f"items-{name}")
    area.get_by_text("Now: final").wait_for(timeout=60_000)
    shot(book, area, f"last-{name}")
    book.finish(2)
    area.locator(".js-plotly-plot .bars").first.wait_for(timeout=30_000)
    frames = book.page.evaluate("() => { window.watching = false; return window.frames_; }")
    assert frames[0]["badge"] == "● Running"
    assert frames[-1]["badge"] == "! Done, with failures"
    for part in ("head", "graph", "list"):
        places = {f[part] for f in frames}
        assert max(places) - min(places) <= 4, (part, places)
    falls = [a["height"] - b["height"] for a, b in pairwise(frames)]
    assert max(falls) <= 4, max(falls)
    assert area.get_by_role("button", name="Stop").count() == 0
    shot(book, area, f"ended-{name}")
    assert book.problems == []


def test_stop_ends_a_run_in_mid_cell(notebook):
    book = opened(notebook, LONG, "'the kernel goes on'")
    book.start(2)
    area = book.output(2)
    stop = area.get_by_role("button", name="Stop")
    stop.wait_for(timeout=30_000)
    area.get_by_text("wrong path").first.wait_for(timeout=30_000)
    shot(book, area, "before-stop")
    took = area.evaluate(PRESS)
    book.finish(2, 10)
    book.run(3)
    assert "the kernel goes on" in book.output(3).inner_text()
    assert "Traceback" not in area.inner_text()
    assert stop.count() == 0
    shot(book, area, "stopped")
    assert took < 5_000, took  # milliseconds, on a busy machine; the kernel's second is a unit test
    assert book.problems == []


def test_a_run_in_the_background_is_shown_to_its_end(notebook):
    book = opened(notebook, LONG.replace("--no-cache", "--no-cache --background"), "'meanwhile'")
    book.run(2)
    area = book.output(2)
    book.run(3)
    assert "meanwhile" in book.output(3).inner_text()
    area.get_by_text("wrong path").first.wait_for(timeout=30_000)
    assert area.get_by_role("button", name="Stop").count() == 1
    shot(book, area, "background")
    area.locator(".js-plotly-plot .bars").first.wait_for(timeout=60_000)
    assert "✓ Done" in area.inner_text()
    assert area.get_by_role("button", name="Stop").count() == 0
    shot(book, area, "background-ended")
    assert book.problems == []


def test_a_run_that_fails_in_the_background_says_so(notebook):
    broken = "%%chain broken --no-cache --background\nfirst\n    A\ngate False"
    book = opened(notebook, broken)
    book.run(2)
    area = book.output(2)
    area.get_by_text("Failed").first.wait_for(timeout=30_000)
    area.locator(".js-plotly-plot .bars").first.wait_for(timeout=30_000)
    shot(book, area, "background-failed")
    assert book.problems == []
