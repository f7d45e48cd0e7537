"""The run history in figures: spend, times, cache, failures, who waits; and the widget that follows what runs."""

import json
import re
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from html import unescape

import plotly.graph_objects as go
import pytest
from IPython.core.formatters import DisplayFormatter

from orchmagic import Reply
from orchmagic.errors import InputError
from orchmagic.notebook import commands, dashboard
from orchmagic.notebook.dashboard import text
from orchmagic.storage import statistics
from orchmagic.storage.runs import Store
from orchmagic.storage.statistics import summary
from orchmagic.trace.events import Usage
from orchmagic.trace.record import Record, Span
from orchmagic.views.dashboard_figure import figure

HOSTILE = "<script>alert(1)</script><b>x</b>\x1b[31m\u202e$a$"
CHAIN = "%%chain greet\nhello\n    Say {{ word }}\n"


class Clock:
    def __init__(self):
        self.now = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(clock):
    made = Store(None, clock)
    yield made
    made.close()


def ask(model="small", *, cost=0.5, age=None, tokens=10, **more):
    usage = {"input": tokens, "output": 0}
    return {"kind": "ask", "model": model, "status": "done", "cost": cost, "age": age, "usage": usage, **more}


def enter(store, pattern="chain", *asks, status="done", seconds=1.0, name="n"):
    """A run in the history; its id."""
    id_ = store.begin(name, pattern)
    cost = sum(a["cost"] or 0 for a in asks)
    usage = {"input": sum(a["usage"]["input"] for a in asks), "output": 0}
    spans = [{"kind": "call", "cost": cost, "usage": usage, "model": ""}, *asks]
    store.save(id_, status, {"cost": cost, "usage": usage, "seconds": seconds, "spans": spans}, [])
    return id_


def words(history):
    """The tick labels of the figure, without markup."""
    found = figure(history)["layout"]["yaxis"]["ticktext"]
    return [unescape(re.sub("<[^>]*>", "", text.replace("<br>", " "))) for text in found]


def test_spend_is_summed_by_pattern_model_and_day(store, clock):
    enter(store, "chain", ask("small", cost=0.25), ask("large", cost=1.0))
    clock.now += timedelta(days=1)
    enter(store, "route", ask("small", cost=0.5, tokens=7))
    found = summary(store, zone=UTC)
    assert (found.all.runs, found.all.cost, found.all.tokens) == (2, 1.75, 27)
    assert [(s.name, s.cost) for s in found.patterns] == [("chain", 1.25), ("route", 0.5)]
    assert [(s.name, s.cost, s.tokens, s.runs) for s in found.models] == [("large", 1.0, 10, 1), ("small", 0.75, 17, 2)]
    assert [(d.name, d.cost) for d, _ in found.days if d.runs] == [("2026-11-01", 1.25), ("2026-11-02", 0.5)]


@pytest.mark.parametrize(
    ("given", "calls", "cached", "tokens", "cost", "unpriced"),
    [
        ({"usage": Usage(input=3)}, 1, 0, 3, 0.0, 0),
        ({"usage": Usage(output=4), "cost": 0.5}, 1, 0, 4, 0.5, 0),
        ({"usage": Usage(input=3), "cost": None, "unpriced": 2}, 1, 0, 3, 0.0, 2),
        ({"age": 0.0, "saved": 0.5}, 0, 1, 0, 0.0, 0),
        ({"recalled": True, "saved": 0.5}, 0, 0, 0, 0.0, 0),
        ({"status": "failed", "error": "500"}, 0, 0, 0, 0.0, 0),
    ],
    ids=["free", "priced", "unknown price", "cached", "replayed", "failed"],
)
def test_a_stored_record_is_summed_without_the_fields_it_leaves_out(
    store, given, calls, cached, tokens, cost, unpriced
):
    asked = Span(**{"status": "done", **given}, id="a#1.1", parent="a#1", kind="ask", name="ask m", start=0, model="m")
    record = Record("", "n", "chain", status="done", spans=(asked,))
    store.save(store.begin("n", "chain"), "done", record.to_json(), [])
    [model] = summary(store).models
    assert model == replace(model, calls=calls, cached=cached, tokens=tokens, cost=cost, unpriced=unpriced)


def test_models_add_up_to_the_runs_of_real_ones(notebook):
    notebook.script(Reply(fault="500"), "one", {"name": "x"})
    notebook.run("%%chain two --no-cache\na\n    A\nb -> name: str\n    B {{ a }}\n")
    found = summary(notebook.session.services.history.store)
    run = notebook.session.runs[0]
    assert [(m.name, m.calls, m.tokens) for m in found.models] == [("scripted", 2, run.tokens)]
    assert found.all.tokens == run.tokens > 0


def test_the_cache_hit_rate_counts_answers(notebook):
    notebook.script("hi")
    for _ in range(3):
        notebook.run(CHAIN, word="hi")
    found = summary(notebook.session.services.history.store)
    assert (found.all.calls, found.all.cached, found.all.hits) == (1, 2, 2 / 3)
    assert "67% of answers from the cache" in text(found)


def test_what_a_replay_recalls_is_no_call(notebook):
    notebook.script("hi")
    notebook.run(CHAIN, word="hi").replay()
    found = summary(notebook.session.services.history.store)
    assert (found.all.runs, found.all.calls, found.all.cached) == (2, 1, 0)


def test_percentiles_are_those_of_runs_that_are_done(store):
    for seconds in range(1, 101):
        enter(store, seconds=float(seconds))
    enter(store, seconds=9_000.0, status="failed")
    whole = summary(store).all
    assert (whole.percentile(0.5), whole.percentile(0.95), whole.percentile(1)) == (50.0, 95.0, 100.0)


def test_without_a_run_that_is_done_there_is_no_percentile(store):
    enter(store, status="failed")
    found = summary(store)
    assert found.all.percentile(0.5) is None
    assert "median " not in text(found).splitlines()[0]


def test_failures_and_lost_runs_count_as_failed(store):
    for status in ("done", "failed", "capped", "lost", "cancelled"):
        enter(store, status=status)
    found = summary(store)
    assert found.all.failed == 2
    assert found.days[-1][1] == {"done": 1, "failed": 1, "capped": 1, "lost": 1, "cancelled": 1}


def test_who_waits_is_named(store):
    waits = enter(store, status="waiting", name="payout")
    found = summary(store)
    assert found.waiting == ((waits, "payout", "2026-11-01T12:00:00+00:00"),)
    assert f"? {waits} payout waits for you since 2026-11-01T12:00" in text(found)
    assert "1 waiting for you: r1 payout" in words(found)[0]


def test_days_are_those_of_the_zone_and_have_no_gaps(store, clock):
    clock.now = datetime(2026, 11, 1, 23, 30, tzinfo=UTC)
    enter(store)
    clock.now += timedelta(days=3)
    enter(store)
    days = [d for d, _ in summary(store, zone=UTC).days]
    assert [d.name[5:] for d in days] == ["10-29", "10-30", "10-31", "11-01", "11-02", "11-03", "11-04"]
    assert [d.runs for d in days] == [0, 0, 0, 1, 0, 0, 1]
    east = [d.name for d, _ in summary(store, zone=timezone(timedelta(hours=2))).days if d.runs]
    assert east == ["2026-11-02", "2026-11-05"]


def test_of_many_days_the_last_fourteen_are_shown(store, clock):
    for _ in range(40):
        enter(store)
        clock.now += timedelta(days=1)
    found = summary(store, zone=UTC)
    assert len(found.days) == 14
    assert found.days[-1][0].name == "2026-12-10"
    assert found.all.runs == 40


def test_of_many_patterns_the_dearest_are_shown_and_the_rest_is_summed_up(store):
    for n in range(10):
        enter(store, f"p{n}", ask(cost=float(n)))
    found = summary(store)
    assert [s.name for s in found.patterns] == ["p9", "p8", "p7", "p6", "p5", "5 others"]
    assert found.patterns[-1].cost == 0 + 1 + 2 + 3 + 4
    assert sum(s.runs for s in found.patterns) == 10


def test_unknown_prices_are_said(store):
    enter(store, "chain", ask(cost=None), ask(cost=0.5))
    found = summary(store)
    assert found.unknown == 1
    assert "$0.50, plus 1 call without a price" in text(found)


def test_only_so_many_bytes_of_records_are_read_and_it_is_said(store, monkeypatch):
    monkeypatch.setattr(statistics, "_BYTES", 1_000)
    for _ in range(20):
        enter(store, "chain", ask())
    found = summary(store)
    assert 0 < found.read < 10
    assert found.models[0].calls == found.read
    assert found.all.runs == 20
    assert f"models and cache: the latest {found.read} runs" in text(found)


def test_a_record_that_is_no_json_is_passed_over(store):
    enter(store, "chain", ask())
    broken = enter(store, "chain", ask())
    store.database.write("UPDATE runs SET record = '{half' WHERE number = ?", int(broken[1:]))
    found = summary(store)
    assert (found.all.runs, found.read) == (2, 1)


def test_an_empty_history_has_a_line_and_a_figure(store):
    found = summary(store)
    assert text(found) == "No run yet: run a cell such as %%chain"
    shown = figure(found)
    go.Figure(shown["data"], shown["layout"])


def test_the_figure_is_valid_plotly_and_says_the_figures(store):
    enter(store, "chain", ask("small", cost=0.25), ask("small", age=5.0, cost=0.0))
    shown = figure(summary(store))
    go.Figure(shown["data"], shown["layout"])
    said = [text for text in words(summary(store)) if not text.startswith(("1 run", "Oct", "Nov")) or "Nov 1" in text]
    assert said == [
        "Spend by day", "Nov 1 $0.25 · 1 done", "Spend by pattern", "chain $0.25 · 1 run", "Spend by model",
        "small $0.25 · 1 call", "Run time: median, 95th percentile", "chain 1.0 s, 1.0 s", "Answers from the cache",
        "chain 50% of 2 answers",
    ]  # fmt: skip


def test_the_median_lies_on_the_95th_percentile_not_beside_it(store):
    for seconds in (1.0, 2.0, 4.0):
        enter(store, seconds=seconds)
    (bars,) = figure(summary(store))["data"]
    both = [
        (b, x, y) for b, x, y, wide in zip(bars["base"], bars["x"], bars["y"], bars["width"], strict=True) if wide == 10
    ]
    assert [(b, x) for b, x, _ in both] == [(0.0, 0.5)]
    assert bars["y"].count(both[0][2]) == 2


def test_when_all_was_free_tokens_are_shown(store):
    enter(store, "chain", ask(cost=0.0, tokens=1_200))
    shown = json.dumps(figure(summary(store)))
    assert "Tokens by pattern" in shown
    assert "1,200 tokens \\u00b7 1 run" in shown
    assert "Spend" not in shown


def test_the_figure_always_has_one_trace(store):
    assert len(figure(summary(store))["data"]) == 1
    enter(store, "chain", ask())
    enter(store, "route", ask(), status="failed")
    assert len(figure(summary(store))["data"]) == 1


def test_statuses_are_told_in_words(store):
    for status in ("done", "failed", "failed", "lost"):
        enter(store, status=status)
    (day,) = [text for text in words(summary(store)) if text.startswith("Nov 1")]
    assert {"1 done", "2 failed", "1 interrupted (kernel gone)"} <= set(day.split(" · "))


def test_the_tables_stand_in_a_saved_notebook_without_a_kernel(notebook):
    notebook.script("hi")
    notebook.run(CHAIN, word="a")
    for line, heading in (("dash", "pattern"), ("runs", "run")):
        shown, _ = DisplayFormatter().format(commands.run(notebook.session, line))
        assert set(shown) == {"text/plain", "text/html"}
        assert f">{heading}</th>" in shown["text/html"]
        assert "mathjax_ignore" in shown["text/html"]
        assert "FigureWidget(" not in str(shown)
        plain = [
            re.sub(r"\s", "", text)
            for text in (shown["text/plain"], unescape(re.sub("<[^>]*>", "", shown["text/html"])))
        ]
        assert plain[0] == plain[1]
    with pytest.raises(InputError, match="write %orch dash or %orch dash --live"):
        commands.run(notebook.session, "dash --alive")


def test_hostile_names_stay_texts(store):
    enter(store, HOSTILE, ask(HOSTILE), name=HOSTILE, status="waiting")
    totals = summary(store)
    told = json.dumps(figure(totals), ensure_ascii=False)
    assert "<script" not in told
    assert "<b>x" not in told
    assert not {"\x1b", "\u202e"} & {*told, *text(totals)}


def test_a_thousand_runs_are_read_fast_and_drawn_small(store):
    for n in range(1_000):
        enter(store, f"p{n % 9}", *(ask(f"m{i}") for i in range(5)))
    began = time.perf_counter()
    shown = figure(summary(store))
    assert time.perf_counter() - began < 10  # a figure for each would take minutes
    assert len(json.dumps(shown)) < 20_000


# --- the widget ---


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(dashboard, "_PERIOD", 0.02)
    monkeypatch.setattr(dashboard, "_SHARE", 0)


def until(holds):
    """Wait for the watch, which looks every 20 ms."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        threading.Event().wait(0.02)


def heading(widget):
    return widget.layout.yaxis.ticktext[0]


def test_the_widget_follows_what_runs(notebook, quick):
    notebook.script("hi", "hi")
    notebook.run(CHAIN, word="a")
    widget = dashboard.live(notebook.session)
    assert heading(widget).startswith("1 run<")
    notebook.run(CHAIN, word="b")
    until(lambda: heading(widget).startswith("2 runs"))
    widget.close()


def test_the_widget_shows_a_run_under_way_with_what_it_spent(notebook, quick):
    free = threading.Event()

    def hold(word):
        free.wait(20)
        return word

    notebook.script("hi")
    notebook.space.update(hold=hold, word="a")
    made = notebook.define("%%chain slow --no-cache\nhello\n    Say {{ word }}\nend = hold(hello)\n")
    widget = dashboard.live(notebook.session)
    run = made.prepare()
    run.start()
    until(lambda: "1 running" in heading(widget) and "scripted" in str(widget.layout))
    free.set()
    run.wait()
    until(lambda: "running" not in heading(widget))
    widget.close()


def test_there_is_one_widget_until_it_is_closed(notebook, quick):
    first = dashboard.live(notebook.session)
    assert dashboard.live(notebook.session) is first
    first.close()
    second = dashboard.live(notebook.session)
    assert second is not first
    second.close()


def test_a_widget_is_drawn_anew_only_when_something_happened(notebook, quick, monkeypatch):
    read = []
    monkeypatch.setattr(dashboard, "summary", lambda *args: read.append(args) or summary(*args))
    widget = dashboard.live(notebook.session)
    threading.Event().wait(0.2)  # ten looks
    assert len(read) == 1
    widget.close()


def test_a_closed_widget_costs_nothing(notebook, quick):
    widget = dashboard.live(notebook.session)
    watch = dashboard._WATCHES[notebook.session]
    widget.close()
    until(watch.task.done)
    assert watch.task.exception() is None


def test_a_missing_package_says_what_to_write(notebook, monkeypatch):
    monkeypatch.setattr(dashboard.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install anywidget"):
        dashboard.live(notebook.session)
