"""The collector's threshold while runs go on."""

from __future__ import annotations

import asyncio
import gc

import pytest

from orchmagic.runtime.garbage import rarely_collected


@pytest.fixture(autouse=True)
def threshold():
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


@pytest.mark.parametrize(("own", "during"), [(700, 20_000), (2_000, 20_000), (0, 0), (50_000, 50_000)])
def test_it_is_raised_while_a_run_goes_on_and_set_back(own, during):
    gc.set_threshold(own, 7, 3)
    with rarely_collected():
        assert gc.get_threshold() == (during, 7, 3)
    assert gc.get_threshold() == (own, 7, 3)


def test_of_several_runs_the_last_one_that_ends_sets_it_back():
    gc.set_threshold(700, 10, 10)
    first, second = rarely_collected(), rarely_collected()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] == 20_000
    second.__exit__(None, None, None)
    assert gc.get_threshold()[0] == 700


def test_what_is_set_meanwhile_stays():
    gc.set_threshold(700, 10, 10)
    with rarely_collected():
        gc.set_threshold(900, 10, 10)
    assert gc.get_threshold()[0] == 900


def test_a_run_that_fails_sets_it_back():
    gc.set_threshold(700, 10, 10)
    with pytest.raises(ZeroDivisionError), rarely_collected():
        raise ZeroDivisionError
    assert gc.get_threshold()[0] == 700


def test_between_runs_of_one_loop_it_stays_raised_and_is_set_back_when_the_loop_rests(monkeypatch):
    monkeypatch.setattr("orchmagic.runtime.garbage._REST", 0.0)
    gc.set_threshold(700, 10, 10)

    async def runs():
        with rarely_collected():
            pass
        assert gc.get_threshold()[0] == 20_000  # for the next run
        await asyncio.sleep(0.01)

    asyncio.run(runs())
    assert gc.get_threshold()[0] == 700
