"""The learned threshold keeps its promise: with 95 % confidence no more than the bound of the hits is wrong."""

import random

import pytest

from orchmagic.models.semantic.threshold import learned, least, most_wrong


@pytest.mark.parametrize(
    ("wrong", "of", "limit"),
    # one-sided 95 % Clopper-Pearson limits: 1 - 0.05 ** (1 / n) for none wrong, else from the usual tables
    [(0, 10, 0.2589), (0, 149, 0.0199), (1, 20, 0.2161), (5, 100, 0.1023), (2, 2, 1.0), (0, 0, 1.0)],
)
def test_the_limit_is_the_one_of_the_tables(wrong, of, limit):
    assert most_wrong(wrong, of) == pytest.approx(limit, abs=2e-4)


def test_as_many_labels_are_needed_as_the_bound_says():
    assert least(0.02) == 149
    assert learned([(0.99, True)] * 148, 0.02, 0.8) is None
    assert learned([(0.99, True)] * 149, 0.02, 0.8) == pytest.approx(0.8, abs=0.2)


def test_it_stops_above_the_scores_that_are_often_wrong():
    good = [(0.95, True)] * 400
    bad = [(0.85, n % 2 == 0) for n in range(200)]
    line = learned(good + bad, 0.02, 0.8)
    assert line is not None
    assert 0.85 < line <= 0.95


def test_errors_at_the_top_close_everything_below():
    assert learned([(0.99, False)] * 20 + [(0.9, True)] * 149, 0.02, 0.8) is None


def test_on_streams_it_was_not_tuned_on_the_bound_holds():
    broken = served = 0
    for seed in range(200):
        world = random.Random(seed)

        def pair(world=world):
            score = world.uniform(0.8, 1.0)
            return score, world.random() > max(0.0, (0.93 - score)) * 2  # the truth: right above .93, worse below

        line = learned([pair() for _ in range(600)], 0.02, 0.8)
        if line is None:
            continue
        hits = [right for score, right in (pair() for _ in range(4000)) if score >= line]
        served += bool(hits)
        broken += hits.count(False) > 0.02 * len(hits)
    assert served > 150
    assert broken <= 0.08 * served  # 5 % is promised; the rest is the luck of 200 draws
