"""The ranges, against scipy and statsmodels where they are installed, and against their own rules everywhere."""

import math
import random
from importlib import import_module
from itertools import product

import pytest

from orchmagic.evaluation import ranges as stats

Z = stats.quantile()


@pytest.mark.parametrize(
    ("hits", "rows", "z", "low", "high"),
    [
        (112, 120, Z, 0.8739, 0.9658),
        (0, 20, Z, 0.0, 0.1611),
        (20, 20, Z, 0.8389, 1.0),
        (60, 60, stats.quantile(sides=1), 0.9569, 1.0),
    ],
)
def test_wilson(hits, rows, z, low, high):
    assert stats.wilson(hits, rows, z) == pytest.approx((low, high), abs=5e-5)


def test_as_many_rows_all_right_as_the_specification_says():
    z = stats.quantile(sides=1)
    assert (stats.fewest_all_right(0.95, z), stats.fewest_all_right(0.99, z)) == (52, 268)
    assert stats.wilson(52, 52, z).low >= 0.95 > stats.wilson(51, 51, z).low


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.7062), (4, 2.7764), (30, 2.0423), (1000, 1.9623)])
def test_students_quantile(freedom, t):
    assert stats.t_like(Z, freedom) == pytest.approx(t, abs=5e-5)
    assert stats.t_like(-Z, freedom) == pytest.approx(-t, abs=5e-5)


def test_ranges_agree_with_scipy():
    scipy_stats = import_module("scipy.stats")
    draw = random.Random(1)
    for _ in range(3000):
        rows = draw.randint(1, 500)
        hits = draw.randint(0, rows)
        theirs = scipy_stats.binomtest(hits, rows).proportion_ci(method="wilson")
        assert stats.wilson(hits, rows, Z) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    for freedom in (1, 2, 3, 7, 19, 40, 199, 500):
        z = stats.quantile(share=draw.randint(1, 6))
        assert stats.t_like(z, freedom) == pytest.approx(scipy_stats.t.ppf(scipy_stats.norm.cdf(z), freedom), rel=1e-9)
    for better, worse in product(range(0, 12, 3), range(1, 12, 3)):
        theirs = scipy_stats.binomtest(better, better + worse).pvalue
        assert stats.mcnemar(better, worse) == pytest.approx(theirs, abs=1e-12)


def test_the_clustered_error_agrees_with_statsmodels():
    api, numpy = import_module("statsmodels.api"), import_module("numpy")
    draw = random.Random(2)
    for _ in range(200):
        groups = [draw.randrange(8) for _ in range(60)]
        values = [draw.random() for _ in groups]
        kept = dict.fromkeys(groups)
        if len(kept) < 3:
            continue
        both, ids = [*values, 0.0, 1.0], [*groups, 98, 99]
        model = api.OLS(numpy.array(both), numpy.ones(len(both)))
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": numpy.array(ids), "use_correction": False})
        count = len(set(ids))
        error = fit.bse[0] * math.sqrt(count / (count - 1))
        low, high = stats.mean(values, 0, 1, groups, Z)
        assert high - low == pytest.approx(2 * stats.t_like(Z, len(kept) - 1) * error, abs=1e-9)


@pytest.mark.parametrize("rows", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_the_difference_of_shares_covers_what_is_true_by_exact_enumeration(rows):
    for better, worse in ((0.05, 0.05), (0.2, 0.1), (0.02, 0.0)):
        covered = 0.0
        for b in range(rows + 1):
            for w in range(rows - b + 1):
                chance = (
                    math.comb(rows, b) * math.comb(rows - b, w)
                    * better**b * worse**w * (1 - better - worse) ** (rows - b - w)
                )  # fmt: skip
                one, other = [1] * b + [0] * (rows - b), [0] * b + [1] * w + [0] * (rows - b - w)
                if chance > 1e-12:
                    found = stats.difference(one, other, 1, None, Z)
                    covered += chance * (found.low <= better - worse <= found.high)
        assert covered >= 0.95, (better, worse)


SHAPES = {
    "uniform": lambda r: r.random(),
    "nearly all one": lambda r: 1.0 if r.random() < 0.95 else r.random(),
    "nearly all zero": lambda r: 0.0 if r.random() < 0.95 else r.random(),
    "two ends": lambda r: float(r.random() < 0.5),
    "middle": lambda r: r.betavariate(8, 8),
    "skewed": lambda r: r.betavariate(1, 9),
    "five steps": lambda r: r.randint(0, 4) / 4,
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [20, 40, 100])
def test_the_range_of_a_mean_covers_the_mean(shape, rows):
    draw, of = random.Random(3), SHAPES[shape]
    true = math.fsum(of(draw) for _ in range(200_000)) / 200_000
    found = [stats.mean([of(draw) for _ in range(rows)], 0, 1, None, Z) for _ in range(1500)]
    assert sum(low <= true <= high for low, high in found) / len(found) >= 0.94 - 0.012  # three standard errors


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(5,) * 20, (1, 2, 3, 10) * 6])
def test_the_range_of_a_share_with_groups_covers_it(sizes):
    draw, hit = random.Random(4), 0
    groups = [g for g, size in enumerate(sizes) for _ in range(size)]
    for _ in range(600):
        values = []
        for size in sizes:
            p = draw.betavariate(3.5, 1.5)  # rows of one document are alike
            values += [float(draw.random() < p) for _ in range(size)]
        low, high = stats.share(values, groups, Z)
        hit += low <= 0.7 <= high
    assert hit / 600 >= 0.92 - 0.03


def test_a_row_twice_adds_no_certainty():
    values = [1.0] * 30 + [0.0] * 10
    once = stats.share(values, range(40), Z)
    twice = stats.share(values * 2, [*range(40)] * 2, Z)
    assert twice.high - twice.low >= once.high - once.low - 1e-9
    assert stats.effective_rows(values * 2, [*range(40)] * 2) == pytest.approx(40, rel=0.03)
    assert stats.share(values * 2, None, Z).high - stats.share(values * 2, None, Z).low < once.high - once.low


def test_the_order_of_rows_does_not_matter_and_a_difference_is_symmetric():
    draw = random.Random(5)
    one, other = ([float(draw.random() < p) for _ in range(80)] for p in (0.8, 0.7))
    groups = [i // 3 for i in range(80)]
    mixed = draw.sample(range(80), 80)
    for by in (None, groups):
        found = stats.difference(one, other, 1, by, Z)
        turned = stats.difference(other, one, 1, by, Z)
        again = stats.difference(
            [one[i] for i in mixed], [other[i] for i in mixed], 1, by and [by[i] for i in mixed], Z
        )
        assert (found.value, found.low, found.high) == pytest.approx((-turned.value, -turned.high, -turned.low))
        assert found == pytest.approx(again)


@pytest.mark.slow
def test_a_target_is_hardly_ever_met_by_chance():
    draw, z, false = random.Random(6), stats.quantile(sides=1, share=6), 0
    for _ in range(1000):
        shares = [sum(draw.random() < 0.85 for _ in range(100)) for _ in range(6)]
        false += any(stats.wilson(hits, 100, z).low >= 0.85 for hits in shares)
    assert false / 1000 <= 0.05 + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("labels", [20, 40])
def test_a_judge_corrected_by_labels_covers_what_persons_say(labels):
    draw, hit, times = random.Random(7), 0, 150
    for _ in range(times):
        rows = [(draw.random() < (0.9 if good else 0.3), good) for good in (draw.random() < 0.7 for _ in range(200))]
        found = stats.judged(sum(j for j, _ in rows), 200, draw.sample(rows, labels), draws=800)
        hit += found.low <= 0.7 <= found.high
    assert hit / times >= 0.93 - 0.05


@pytest.mark.slow
def test_the_difference_that_rows_show_has_the_power_that_it_says():
    draw = random.Random(8)
    for rows, disagree in ((100, 0.1), (200, 0.2)):
        d = stats.detectable(rows, disagree)
        shown = 0
        for _ in range(400):
            dice = [draw.random() for _ in range(rows)]
            better = sum(x < disagree / 2 + d for x in dice)
            worse = sum(disagree / 2 + d <= x < disagree + d for x in dice)
            one, other = (
                [1] * better + [0] * (rows - better),
                [0] * better + [1] * worse + [0] * (rows - better - worse),
            )
            shown += stats.difference(one, other, 1, None, Z).shown
        assert shown / 400 == pytest.approx(0.8, abs=0.09)


def test_the_rows_that_would_decide_do():
    z = stats.quantile(sides=1, share=3)
    for p, target in ((107 / 120, 0.85), (0.95, 0.9), (0.7, 0.8), (0.5, 0.6)):
        n = stats.rows_to_decide(p, target, z)
        for rows, is_enough in ((n, True), (n - 1, False)):
            low, high = stats.wilson(p * rows, rows, z)
            assert (low >= target if p > target else high < target) == is_enough
    assert stats.rows_to_decide(0.85, 0.85, z) is None
