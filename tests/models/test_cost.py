"""What answers cost: own prices, the shipped list, and an honest None."""

from __future__ import annotations

import pytest

from orchmagic.models.pricing.prices import cost
from orchmagic.models.types import Deployment
from orchmagic.models.wire.urls import OPENAI
from orchmagic.trace.events import Usage

USAGE = Usage(input=1_000_000, output=500_000, cached=400_000)


def test_the_settings_prices_come_first():
    mine = Deployment("a", "openai", "gpt-4.1-mini", OPENAI, input_price=1.0, output_price=4.0, cached_price=0.5)
    assert cost(mine, USAGE) == pytest.approx(0.6 + 0.2 + 2.0)


def test_cached_input_without_a_price_of_its_own_costs_as_input():
    assert cost(Deployment("a", "openai", "m", input_price=1.0, output_price=0.0), USAGE) == pytest.approx(1.0)


@pytest.mark.parametrize("provider", ["local", "scripted"])
def test_what_runs_here_is_free_unless_it_has_a_price(provider):
    assert cost(Deployment("a", provider, "m"), USAGE) == 0.0
    assert cost(Deployment("a", provider, "m", input_price=1.0, output_price=1.0), USAGE) == 1.5


def test_known_models_are_priced_from_the_shipped_list_without_the_network(socket_disabled):
    known = Deployment("a", "openai", "gpt-4.1-mini", OPENAI)
    assert cost(known, Usage(input=1000, output=100, cached=200)) == pytest.approx(0.0005)
    assert cost(Deployment("a", "openai", "gpt-4.1-mini-2025-04-14", OPENAI), Usage(input=1000)) == pytest.approx(
        0.0004
    )


@pytest.mark.parametrize(
    ("model", "url"),
    [("no-such-model", OPENAI), ("gpt-4.1-mini", "http://127.0.0.1:8080/v1"), ("gpt-4.1-mini", None)],
)
def test_an_unknown_price_is_none(model, url):
    assert cost(Deployment("a", "openai", model, url), USAGE) is None


def test_counts_that_do_not_add_up_have_no_price():
    assert cost(Deployment("a", "openai", "gpt-4.1-mini", OPENAI), Usage(input=1, cached=5, output=1)) is None
