"""What a run is measured against: estimates that are called so, unknown prices that stay unknown, usual ranges."""

import json
from dataclasses import replace

import pytest

from orchmagic.errors import SettingsError
from orchmagic.graph.resolution import CallDefaults
from orchmagic.models.pricing import prices
from orchmagic.models.types import Deployment
from orchmagic.runtime.cost_reference import cost_reference, models_of
from orchmagic.trace.baseline import baseline, pinned, remarks
from orchmagic.trace.events import Usage
from orchmagic.trace.record import Record, Span
from orchmagic.trace.run_trace import Trace
from orchmagic.views.truncate import bound

PRICED = {"input_price": 2.0, "output_price": 8.0, "cached_price": 0.5}
LARGE = {"alias": "large", "model": "gpt-4.1", **PRICED}
USUAL = {"dollars": [0.001, 0.02], "seconds": [1, 5], "since": "Q2 2026, illustrative"}


def a_record(**fields):
    found = Trace("r", "triage", "chain", strongest=LARGE, usual=USUAL).snapshot()
    return replace(found, status="done", seconds=2.0, calls=1, **fields)


def deployment(alias, fresh=None, written=None, **fields):
    return Deployment(alias, "scripted-elsewhere", f"{alias}-1", input_price=fresh, output_price=written, **fields)


def test_all_calls_are_priced_token_by_token_and_cached_input_at_its_own_rate():
    record = a_record(usage=Usage(input=1_000_000, cached=400_000, output=100_000), cost=0.5)
    found = baseline(record)
    assert found.every == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 0.1 * 8)


def asked(step, read, wrote, status="done", **fields):
    return Span(f"{step}.1", step, "ask", "ask m", status, 0.0, 1.0, usage=Usage(input=read, output=wrote), **fields)


def stepped(name, output, number=1):
    return Span(f"{name}#{number}", None, "call", name, "done", 0.0, 1.0, output=output)


# what ran, and the tokens (in, out) of one strong call for the same task
TASKS = {
    "one step": ([asked("say#1", 900, 50), stepped("say", "out")], (900, 50)),
    "a judge is no part": (
        [
            asked("write#1", 900, 50),
            stepped("write", "out"),
            asked("judge#1", 1_200, 9),
            stepped("judge", {"ok": True}),
        ],
        (900, 50),
    ),
    "rejected answers are no part": (
        [
            asked("write#1", 900, 50),
            stepped("write", "bad"),
            asked("judge#1", 990, 9),
            asked("write#2", 1_400, 60),
            stepped("write", "out", 2),
            asked("judge#2", 1_500, 9),
        ],
        (900, 60),
    ),
    "one vote of five": (
        [*(asked(f"label#1/v{n}", 700, 5) for n in range(1, 6)), stepped("label", "out")],
        (700, 5),
    ),
    "a reply that was asked again": (
        [asked("say#1", 300, 40, "retried"), asked("say#1", 380, 30), stepped("say", "out")],
        (300, 30),
    ),
    "every item": ([*(asked(f"label#1/{n}", 100, 5) for n in range(1, 201)), stepped("label", "out")], (20_000, 1_000)),
    "a router": (
        [asked("router#1", 80, 20), stepped("router", {"label": "a"}), asked("a#1", 400, 70), stepped("a", "out")],
        (400, 70),
    ),
    "the step that read the document": (
        [
            asked("extract#1", 9_000, 50),
            stepped("extract", {"a": 1}),
            asked("reply#1", 100, 80),
            stepped("reply", "out"),
        ],
        (9_000, 80),
    ),
    "an answer of the cache, by its texts": (
        [
            Span("say#1.1", "say#1", "ask", "m", "done", 0, 1, age=9.0, input="word " * 100, output="word " * 10),
            stepped("say", "out"),
        ],
        (100, 10),
    ),
    "an output that code made": (
        [asked("say#1", 300, 40), stepped("say", "in"), Span("up#1", None, "code", "up", "done", 0, 1, output="out")],
        (300, 1),
    ),
    "an inner orchestration": (
        [asked("case#1/read#1", 500, 9), asked("case#1/say#1", 90, 30), stepped("case", "out")],
        (500, 30),
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_one_strong_call_does_the_task_and_nothing_of_the_pattern(task):
    spans, (read, wrote) = TASKS[task]
    found = baseline(a_record(spans=tuple(spans), output="out", inputs={"a": "x"}))
    assert found.one == pytest.approx((read * 2 + wrote * 8) / 1e6)


@pytest.mark.parametrize(
    ("cost", "fields", "saved", "said"),
    [
        (0.5, {}, 0.5, "About 50% less than one strong call (estimate)"),
        (1.0, {}, 0.0, "About 0% less"),
        (1.4, {}, -0.4, "About 1.4 times the cost of one strong call"),
        (2.0, {}, -1.0, "About 2.0 times the cost of one strong call"),
        (0.0, {}, 1.0, "About 100% less"),
        (0.5, {"unpriced": 1}, None, "Estimate: one call to large (gpt-4.1) $1.00, all"),
        (0.5, {"status": "capped"}, None, "Estimate: one call to large (gpt-4.1) $1.00, all"),
        (0.5, {"status": "failed"}, None, "Estimate: one call to large (gpt-4.1) $1.00, all"),
    ],
)
def test_what_is_saved_is_measured_against_one_strong_call_and_a_loss_is_said(cost, fields, saved, said):
    spans = (asked("say#1", 500_000, 0), stepped("say", "out"))
    found = baseline(replace(a_record(spans=spans, output="out", cost=cost, usage=Usage(input=900_000)), **fields))
    assert found.saved == (None if saved is None else pytest.approx(saved))
    assert said in found.text()
    assert (saved is None) is (found.heading == "")


def test_without_a_call_the_inputs_are_read_and_the_result_is_written():
    record = a_record(inputs={"a": "word " * 100, "b": "word " * 100}, output="word " * 10, cost=0.0)
    assert baseline(record).one == pytest.approx((200 * 2 + 10 * 8) / 1e6)


def test_the_estimate_of_a_saved_record_is_that_of_the_whole_one():
    record = a_record(inputs={"a": ["x" * 9_000] * 99}, output="z" * 99_000, usage=Usage(input=9, output=9))
    read = Record.from_json(json.loads(json.dumps(bound(record).to_json())))
    assert baseline(read) == baseline(record)
    assert pinned(read) == pinned(record)


def test_an_unknown_price_is_unknown_and_never_nothing():
    strongest = dict.fromkeys(PRICED, None) | {"alias": "large", "model": "m"}
    found = baseline(replace(a_record(usage=Usage(input=10, output=10)), strongest=strongest))
    assert (found.one, found.every, found.saved) == (None, None, None)
    assert found.text().startswith("No price known for large (m)")
    assert "$0" not in found.text()


def test_nothing_is_claimed_to_be_saved_while_a_price_of_the_run_is_unknown():
    assert baseline(a_record(usage=Usage(input=10), cost=0.0, unpriced=1)).saved is None


def test_the_text_says_that_it_is_an_estimate_and_on_which_model():
    found = baseline(a_record(usage=Usage(input=1_000_000), inputs={"a": "word " * 1_000_000}, cost=1.0))
    assert found.text() == (
        "About 50% less than one strong call (estimate): one call to large (gpt-4.1) $2.00, all calls to it $2.00"
    )
    assert found.heading == "Cost details · about 50% less than one strong call (estimate)"


def test_a_record_of_an_older_version_has_no_estimate():
    assert baseline(replace(a_record(), strongest=None)) is None
    data = {k: v for k, v in a_record().to_json().items() if k not in {"strongest", "usual"}}
    assert Record.from_json(data).strongest is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cost": 0.01}, []),
        ({"cost": 0.05}, ["More expensive than usual for %%chain: $0.05 (usual $0.001\u2013$0.02)"]),
        ({"cost": 0.0001}, ["Cheaper than usual for %%chain: $0.0001 (usual"]),
        ({"cost": 0.01, "seconds": 9.0}, ["Slower than usual for %%chain: 9.0 s (usual 1\u20135 s)"]),
        ({"cost": 0.0}, []),  # free models are not too cheap
        ({"cost": 0.0001, "cached": 1, "seconds": 0.1}, []),  # nor is the cache too fast
        ({"cost": 0.05, "cached": 1}, ["More expensive than usual"]),
        ({"cost": 0.05, "status": "failed"}, []),
    ],
)
def test_a_run_outside_its_patterns_range_is_remarked_on(fields, said):
    found = list(remarks(replace(a_record(), **fields)))
    assert len(found) == len(said)
    for line, part in zip(found, said, strict=True):
        assert part in line


def test_only_what_is_above_the_range_is_shown_unasked():
    assert list(remarks(a_record(cost=0.0001), above=True)) == []
    assert len(list(remarks(a_record(cost=0.05), above=True))) == 1


def test_the_strongest_is_large_unless_a_model_of_the_run_is_dearer():
    large, small, huge = deployment("large", 2.0, 8.0), deployment("small", 0.4, 1.6), deployment("huge", 10.0, 30.0)
    assert prices.strongest(large, [small])["alias"] == "large"
    assert prices.strongest(large, [small, huge]) == {
        "alias": "huge", "model": "huge-1", "input_price": 10.0, "output_price": 30.0, "cached_price": 10.0,
    }  # fmt: skip
    assert prices.strongest(None, [small])["alias"] == "small"


def test_when_large_has_no_price_no_cheaper_model_stands_for_it():
    found = prices.strongest(deployment("large"), [deployment("small", 0.4, 1.6)])
    assert found == {"alias": "large", "model": "large-1", **dict.fromkeys(PRICED, None)}
    assert prices.strongest(None, [deployment("small")]) is None


def test_rates_come_from_the_price_list_where_the_settings_have_none():
    listed = Deployment("large", "openai", "gpt-4.1", base_url="https://api.openai.com/v1")
    fresh, written, cached = prices.rates(listed)
    assert 0 < cached < fresh < written
    assert prices.rates(replace(listed, model="no-such-model")) is None


def test_a_run_knows_its_range_and_its_strongest_model(notebook):
    notebook.session.add_models({"large": {"provider": "scripted", "input_price": 2.0, "output_price": 8.0}})
    notebook.script("the reply")
    record = notebook.run("%%chain --no-cache\na\n    x\n").record
    assert record.usual["seconds"] == [1, 5]
    assert record.strongest["alias"] == "large"
    assert record.strongest["output_price"] == pytest.approx(8.0)


def test_models_that_nobody_knows_are_no_reason_not_to_run():
    def resolve(name):
        raise SettingsError(f"no {name}")

    assert cost_reference("no-such-pattern", ["m"], resolve) == {"strongest": None, "usual": None}


def test_the_models_of_a_run_are_those_of_its_calls_and_of_what_is_nested_in_it(notebook):
    notebook.space["inner"] = notebook.define("%%chain inner --model tiny\na\n    x\nb(model=large)\n    y\n")
    made = notebook.define("%%chain outer --fallback spare\nfirst(run=inner)\nlast(fallback=other)\n    z\n")
    assert set(models_of(made.definition, CallDefaults())) == {"tiny", "large", "default", "other", "spare"}
