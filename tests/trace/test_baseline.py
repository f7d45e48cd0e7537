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
from orchmagic.trace.record import Record
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
    assert found.saved == pytest.approx(1 - 0.5 / 2.2)


def test_one_call_reads_the_inputs_and_writes_the_result():
    record = a_record(inputs={"a": "x" * 400, "b": "y" * 400}, output="z" * 40, cost=0.0)
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
    assert "unknown" in found.text()
    assert "$0" not in found.text()


def test_nothing_is_claimed_to_be_saved_while_a_price_of_the_run_is_unknown():
    assert baseline(a_record(usage=Usage(input=10), cost=0.0, unpriced=1)).saved is None


def test_the_text_says_that_it_is_an_estimate_and_on_which_model():
    found = baseline(a_record(usage=Usage(input=1_000_000), inputs={"a": "x" * 4_000_000}, cost=1.0))
    assert found.text() == "On large (gpt-4.1), estimated: one call $2.00, all calls $2.00 (saved 50%)"


def test_a_run_that_cost_more_than_the_strongest_says_so():
    assert "cost 50% more" in baseline(a_record(usage=Usage(input=1_000_000), cost=3.0)).text()


def test_a_record_of_an_older_version_has_no_estimate():
    assert baseline(replace(a_record(), strongest=None)) is None
    data = {k: v for k, v in a_record().to_json().items() if k not in {"strongest", "usual"}}
    assert Record.from_json(data).strongest is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cost": 0.01}, []),
        ({"cost": 0.05}, ["cost $0.05, more than the $0.001 to $0.02"]),
        ({"cost": 0.0001}, ["cost $0.0001, less than the"]),
        ({"cost": 0.01, "seconds": 9.0}, ["took 9.0 s, more than the 1.0 s to 5.0 s"]),
        ({"cost": 0.0}, []),  # free models are not too cheap
        ({"cost": 0.0001, "cached": 1, "seconds": 0.1}, []),  # nor is the cache too fast
        ({"cost": 0.05, "cached": 1}, ["cost $0.05, more"]),
        ({"cost": 0.05, "status": "failed"}, []),
    ],
)
def test_a_run_outside_its_patterns_range_is_remarked_on_with_the_date_of_the_range(fields, said):
    found = list(remarks(replace(a_record(), **fields)))
    assert len(found) == len(said)
    for line, part in zip(found, said, strict=True):
        assert part in line
        assert line.endswith("usual for chain (Q2 2026, illustrative)")


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
