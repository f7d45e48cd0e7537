"""The shipped price list, read in microseconds: the same dollars as its own package computes, tier by tier."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from genai_prices import Usage as Theirs
from genai_prices.data_snapshot import get_snapshot

from orchmagic.models.middleware.budgeting import worst_cases
from orchmagic.models.pricing import price_list, prices
from orchmagic.models.pricing.rates import Rates, flat
from orchmagic.models.types import Deployment, ModelRequest
from orchmagic.models.wire.billing import Bill
from orchmagic.models.wire.urls import OPENAI
from orchmagic.trace.events import Usage

DEEPSEEK = "https://api.deepseek.com/v1"
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LONG = Rates(  # as of a model that is dearer beyond 200,000 tokens, and writes its cache unasked
    ((-1, 1.0), (200_000, 2.0)), ((-1, 5.0), (200_000, 7.0)), cached=flat(0.1), written=flat(1.25),
    written_long=flat(2.0), reasoning=flat(9.0), audio_in=flat(30.0), audio_out=flat(60.0), image_out=flat(40.0),
)  # fmt: skip


def bill(input_=0, output=0, **parts):
    usage = {name: parts.pop(name) for name in ("cached", "written", "reasoning") if name in parts}
    return Bill(Usage(input=input_, output=output, **usage), **parts)


@pytest.mark.parametrize(
    ("what", "millions"),
    [
        (bill(200_000, 10), 200_000 * 1 + 10 * 5),
        (bill(200_001, 10), 200_001 * 2 + 10 * 7),  # all of it, not what is above
        (bill(1_000, 10, cached=400), 600 * 1 + 400 * 0.1 + 10 * 5),
        (bill(1_000, 0, written=400), 600 * 1 + 400 * 1.25),
        (bill(1_000, 0, written=400, written_long=100), 600 * 1 + 300 * 1.25 + 100 * 2),
        (bill(1_000, 50, reasoning=40), 1_000 + 10 * 5 + 40 * 9),
        (bill(1_000, 50, audio_in=100, audio_out=20), 900 + 100 * 30 + 30 * 5 + 20 * 60),
        (bill(1_000, 50, image_in=100, image_out=20), 1_000 + 30 * 5 + 20 * 40),
        (bill(1_000, 0, cached=950, audio_in=100), 50 * 30 + 950 * 0.1),  # half of the sound came from the cache
    ],
)
def test_each_kind_of_token_has_its_own_rate(what, millions):
    assert LONG.cost(what) == pytest.approx(millions / 1e6)


def test_a_rate_that_is_missing_is_unknown_and_not_free():
    assert Rates(flat(1.0)).cost(bill(10)) == pytest.approx(1e-5)  # an embedding model has no output
    assert Rates(flat(1.0)).cost(bill(10, 1)) is None
    assert Rates(output=flat(1.0)).cost(bill(10, 1)) is None
    assert LONG.cost(bill(10, cached=6, written=6)) is None


def worst_case(request, deployment):
    return worst_cases(request, deployment, [request.max_tokens])[0]


@pytest.mark.parametrize("size", [1_000, 199_999, 400_000])
def test_no_call_of_at_most_so_many_tokens_costs_more_than_the_worst_case(size):
    chance = random.Random(7)
    most = LONG.worst(size, 500, cache_an_hour=True, images=True, audio=True)
    for _ in range(300):
        read, said = chance.randrange(1, size + 1), chance.randrange(0, 501)
        cached = chance.randrange(0, read + 1)
        written = chance.randrange(0, read - cached + 1)
        kept, sound = chance.randrange(0, written + 1), chance.randrange(0, read - cached - written + 1)
        loud = chance.randrange(0, said + 1)
        what = bill(read, said, cached=cached, written=written, written_long=kept, audio_in=sound, audio_out=loud)
        assert LONG.cost(what) <= most + 1e-12
    assert LONG.worst(size, 500, cache_an_hour=False, images=False, audio=False) < most


@pytest.mark.parametrize(
    ("size", "kept", "millions"),
    [
        (1_000, False, 1_000 * 1.25 + 500 * 9),  # all of it written to the cache, all of the answer thought
        (1_000, True, 1_000 * 2 + 500 * 9),
        (200_001, False, 200_001 * 2 + 500 * 9),
    ],
)
def test_the_worst_case_is_the_dearest_kind_at_the_highest_rung_in_reach(size, kept, millions):
    assert LONG.worst(size, 500, cache_an_hour=kept, images=False, audio=False) == pytest.approx(millions / 1e6)


def test_a_question_that_may_be_kept_for_an_hour_is_set_aside_at_that_price():
    name = next(m.id for p, m in models() if p.id == "anthropic" and price_list._read(m.get_prices(NOON)).written_long)
    found = []
    for ttl in ("5m", "1h"):
        control = {"cache_control": {"type": "ephemeral", "ttl": ttl}}
        here = Deployment("a", "openai", name, "https://api.anthropic.com/v1", parameters=control)
        question = ModelRequest("a#1.1", "a", ({"role": "user", "content": "hello"},))
        found.append(worst_case(question, here).cost)
    assert found[0] < found[1]


def models():
    return [(p, m) for p in get_snapshot().providers for m in p.models]


def test_every_model_of_the_list_costs_what_its_package_says():
    chance, compared = random.Random(3), 0
    for _, model in models():
        at = datetime.fromtimestamp(NOON.timestamp() + chance.randrange(0, 86_400), UTC)
        listing = model.get_prices(at)
        mine = price_list._read(listing)
        read = chance.choice((1_000, 150_000, 300_000))
        cached, written = chance.randrange(0, read // 2), chance.randrange(0, read // 4)
        kept, said = chance.randrange(0, written + 1), chance.randrange(1, 5_000)
        thought = chance.randrange(0, said + 1)
        got = mine.cost(bill(read, said, cached=cached, written=written, written_long=kept, reasoning=thought))
        if mine.input is None or mine.output is None:
            assert got is None
            continue
        theirs = listing.calc_price(
            Theirs(
                input_tokens=read,
                cache_read_tokens=cached,
                cache_write_tokens=written,
                cache_write_1h_tokens=kept,
                output_tokens=said,
                output_reasoning_tokens=thought,
            )
        )
        assert got == pytest.approx(float(theirs["total_price"]), rel=1e-9), model.id
        compared += 1
    assert compared > 1_000


def test_a_model_that_is_listed_without_a_price_is_unknown():
    groq = next(m.id for p, m in models() if p.id == "groq" and price_list._read(m.get_prices(NOON)) == Rates())
    assert price_list.rates("https://api.groq.com/openai/v1", groq) is None


def test_what_openrouter_calls_free_is_free():
    assert price_list.rates("https://openrouter.ai/api/v1", "no-such-vendor/model:free") is None  # not even listed
    free = next(m.id for p, m in models() if p.id == "openrouter" and m.id.endswith(":free"))
    assert price_list.rates("https://openrouter.ai/api/v1", free).cost(bill(10, 10)) == 0


def test_an_hour_that_begins_while_a_call_is_under_way_counts_for_its_worst_case():
    model, change = changing()
    before = datetime.combine(NOON.date(), change.constraint.start_time).timestamp() - 60
    now, then = price_list.rates(DEEPSEEK, model, at=before), price_list.rates(DEEPSEEK, model, at=before + 120)
    assert now != then
    assert {*price_list.possible(DEEPSEEK, model, at=before)} == {now, then}
    assert price_list.possible(DEEPSEEK, model, at=before - 7_200) == (now,)


def changing():
    """A model of DeepSeek's whose price changes with the hour."""
    for provider, model in models():
        for change in model.prices if provider.id == "deepseek" and isinstance(model.prices, list) else ():
            if hasattr(change.constraint, "start_time"):
                return model.id, change
    raise AssertionError("the list has no such price any more")


def test_a_tier_of_service_has_its_own_price_and_the_answer_says_which_it_was():
    name, variant = next(
        (m.id, v)
        for p, m in models()
        for v in m.price_variants or ()
        if p.id == "openai" and v.when == {"service_tier": "priority"} and v.prices.input_mtok is not None
    )
    asked, told = {"service_tier": "auto"}, {"service_tier": "priority"}
    assert price_list.context(asked, told) == (("service_tier", "priority"),)
    found = price_list.rates(OPENAI, name, price_list.context(asked, told))
    usual = price_list.rates(OPENAI, name)
    assert found == price_list._read(variant.prices) or found.input != usual.input
    may = {"cache_an_hour": False, "images": False, "audio": False}
    here = Deployment("a", "openai", name, OPENAI)
    dear, cheap = (prices.worst(here, 1_000, 10, sent, **may) for sent in (told, {}))
    assert dear > cheap


def test_the_worst_case_of_an_unknown_price_is_unknown():
    may = {"cache_an_hour": False, "images": False, "audio": False}
    for nobody in (Deployment("a", "openai", "m"), Deployment("a", "openai", "no-such-model", OPENAI)):
        assert prices.worst(nobody, 10, 10, {}, **may) is None


def test_the_list_says_of_which_day_it_is():
    assert price_list.edition().startswith("genai-prices ")
    assert price_list.edition()[-10:] <= datetime.now(UTC).date().isoformat()
