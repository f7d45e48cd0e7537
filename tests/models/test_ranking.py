"""The order in which deployments are asked: scores by hand, chance by its seed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from orchmagic.models.routing.ranking import EXPLORE, PRICE, SCORED, UPTIME, Stats, candidates, penalty, scores
from orchmagic.models.types import Deployment, Pool

# price: (in + out) / 2, US dollars per million tokens
TABLE = [
    Stats(uptime=1.00, throughput=100, latency=2.0, price=2.0, cache=True),
    Stats(uptime=0.98, throughput=50, latency=0.5, price=1.0),
    Stats(uptime=0.90, throughput=200, latency=1.0, price=4.0),
]


def members(n, **fields):
    return tuple(Deployment(f"p@{i}", "scripted", "m", **fields) for i in range(n))


def pool(policy, n=3):
    return Pool("p", members(n), policy)


def never():
    return 0.999


def test_the_published_weights_are_these():
    assert dict(UPTIME) == {"uptime": 0.5, "throughput": 0.2, "price": 0.2, "latency": 0.1}
    assert dict(PRICE) == {"price": 0.6, "uptime": 0.5, "throughput": 0.05, "latency": 0.025, "cache": 0.2}
    assert EXPLORE == 0.01


def test_the_scores_of_the_article_are_reproduced_by_hand():
    # shares of the range; uptime 1 .98 .9 -> 0 .2 1; throughput 100 50 200 -> 2/3 1 0; price 2 1 4 -> 1/3 0 1;
    # latency 2 .5 1 -> 1 0 1/3; the last one's uptime adds (5 x .05 / .95) squared
    by_hand = [
        0.5 * 0 + 0.2 * 2 / 3 + 0.2 * 1 / 3 + 0.1 * 1,
        0.5 * 0.2 + 0.2 * 1 + 0.2 * 0 + 0.1 * 0,
        0.5 * 1 + 0.2 * 0 + 0.2 * 1 + 0.1 * 1 / 3 + 0.0692521,
    ]
    assert scores(TABLE, "uptime") == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("streaming", "tokens", "by_hand"),
    [
        # price ratios less one: 1 0 3; uptime: 0 1/49 1/9; throughput: 1 3 0
        (False, 100, [(0.6 * 1 + 0.05 * 1) / 1.15, (0.5 / 49 + 0.05 * 3) / 1.15, (0.6 * 3 + 0.5 / 9) / 1.15]),
        # and latency: 3 0 1, counted while streaming
        (True, 100, [(0.65 + 0.075) / 1.175, (0.5 / 49 + 0.15) / 1.175, (1.8 + 0.5 / 9 + 0.025) / 1.175]),
        # and the prompt cache, which only the first sells, from 5,000 tokens on
        (False, 5000, [0.65 / 1.35, (0.5 / 49 + 0.15 + 0.2) / 1.35, (1.8 + 0.5 / 9 + 0.2) / 1.35]),
    ],
)
def test_the_scores_of_the_gateway_as_it_is_now_are_reproduced_by_hand(streaming, tokens, by_hand):
    by_hand[2] += 0.0692521
    assert scores(TABLE, "price", streaming=streaming, tokens=tokens) == pytest.approx(by_hand)


@pytest.mark.parametrize(("uptime", "added"), [(1.0, 0), (0.95, 0), (0.9, 0.0693), (0.7, 1.7313), (0.5, 5.6094)])
def test_an_unsteady_deployment_is_punished_by_the_square(uptime, added):
    assert penalty(uptime) == pytest.approx(added, abs=1e-4)


def test_an_unknown_price_counts_as_the_highest_and_never_as_nothing():
    unknown, dear = Stats(price=None), Stats(price=3.0)
    assert scores([unknown, dear, Stats(price=1.0)], "price")[0] == scores([dear, dear, Stats(price=1.0)], "price")[0]
    assert scores([unknown, unknown], "price") == [0, 0]


@pytest.mark.parametrize("policy", sorted(SCORED))
def test_figures_of_nothing_break_no_score(policy):
    nothing = Stats(uptime=0.0, throughput=0.0, latency=0.0, price=0.0, first=0.0)
    assert all(s >= 0 for s in scores([nothing, Stats(first=1.0)], policy, streaming=True))
    assert len(scores([nothing, Stats(measured=False)], policy)) == 2


def test_the_scores_by_latency_are_reproduced_by_hand():
    # waits 2 .5 1 -> 3 0 1 times the shortest more; the last one's uptime adds (5 x .05 / .95) squared
    assert scores(TABLE, "latency") == pytest.approx([3.0, 0.0, 1.0 + 0.0692521])
    # while streaming, what counts is the first token: .2 .4 .1 -> 1 3 0
    first = [replace(s, first=f) for s, f in zip(TABLE, (0.2, 0.4, 0.1), strict=True)]
    assert scores(first, "latency", streaming=True) == pytest.approx([1.0, 3.0, 0.0692521])
    assert scores(first, "latency") == scores(TABLE, "latency")


def test_by_latency_what_was_never_measured_is_tried_first_by_one_question_at_a_time():
    known, new = TABLE[0], Stats(measured=False)
    idle = {"p@0": known, "p@1": TABLE[1], "p@2": new}
    first, second, third = candidates(pool("latency"), idle, never)
    assert [c.deployment.alias for c in (first, second, third)] == ["p@2", "p@1", "p@0"]
    assert str(first.reason).startswith("not measured yet, tried now, number 1 of 3 (uptime 100%")
    tried = {**idle, "p@2": replace(new, under_way=1)}
    assert [c.deployment.alias for c in candidates(pool("latency"), tried, never)] == ["p@1", "p@0", "p@2"]
    # measured as a whole, but never while streaming: there it is new
    streamed = {**idle, "p@0": replace(known, first=1.0)}
    assert next(candidates(pool("latency"), streamed, never, streaming=True)).deployment.alias in {"p@1", "p@2"}


def test_a_first_wave_by_latency_spreads_over_all():
    asked = Counter()
    for _ in range(30):
        stats = {f"p@{i}": Stats(measured=False, under_way=asked[f"p@{i}"]) for i in range(3)}
        asked[next(candidates(pool("latency"), stats, never)).deployment.alias] += 1
    assert set(asked.values()) == {10}


def test_the_best_score_is_asked_first_and_says_why():
    stats = dict(zip(("p@0", "p@1", "p@2"), TABLE, strict=True))
    found = list(candidates(pool("price"), stats, never))
    assert [c.deployment.alias for c in found] == ["p@1", "p@0", "p@2"]
    assert str(found[0].reason) == "score 0.139, number 1 of 3 (uptime 98%, 50 tokens/s, 0.50 s, $1.00/M)"


@pytest.mark.parametrize(("policy", "best"), [("uptime", "p@0"), ("price", "p@1"), ("latency", "p@1")])
def test_one_question_in_a_hundred_explores_whatever_the_scores_say(policy, best):
    chance = random.Random(7).random
    stats = dict(zip(("p@0", "p@1", "p@2"), TABLE, strict=True))
    firsts = [next(candidates(pool(policy), stats, chance)) for _ in range(10_000)]
    firsts = [(str(c.reason).startswith("explored"), c.deployment.alias) for c in firsts]
    explored = [alias for was, alias in firsts if was]
    assert 70 <= len(explored) <= 130  # 100 expected, three deviations of 10
    assert set(explored) == {"p@0", "p@1", "p@2"}
    assert {alias for was, alias in firsts if not was} == {best}


def test_the_same_seed_explores_the_same_questions():
    def run():
        chance = random.Random(3).random
        return [str(next(candidates(pool("price"), {}, chance)).reason) for _ in range(500)]

    assert run() == run()


def test_weights_share_the_questions():
    weighted = Pool("p", (*members(1, weight=3.0), Deployment("p@1", "scripted", "m", weight=1.0)), "weighted")
    chance = random.Random(1).random
    first = Counter(next(candidates(weighted, {}, chance)).deployment.alias for _ in range(10_000))
    assert first["p@0"] / 10_000 == pytest.approx(0.75, abs=0.02)
    drawn = list(candidates(weighted, {}, chance))
    assert {c.deployment.alias for c in drawn} == {"p@0", "p@1"}
    assert "of 4" in str(drawn[0].reason)


def test_an_ordered_list_stays_in_order():
    assert [str(c.reason) for c in candidates(pool("order"), {}, never)] == [
        "first choice",
        "number 2 of 3",
        "number 3 of 3",
    ]


# very fast but sends us away, fast, slow and cheap: the first makes the second look as bad as the third
STORM = {
    "p@0": Stats(throughput=2000, latency=0.05, price=0.8),
    "p@1": Stats(throughput=330, latency=0.3, price=1.0),
    "p@2": Stats(throughput=100, latency=1.0, price=0.5),
}


def test_who_cannot_be_asked_is_no_yardstick_for_the_others():
    all_three = scores(list(STORM.values()), "uptime")
    assert all_three[0] < all_three[2] < all_three[1]
    first, second, third = candidates(pool("uptime"), STORM, never)
    assert [c.deployment.alias for c in (first, second, third)] == ["p@0", "p@1", "p@2"]
    # of the two: the dearer one has 0.2 x price against 0.2 x throughput + 0.1 x latency
    assert str(second.reason) == "score 0.200, number 1 of 2 (uptime 100%, 330 tokens/s, 0.30 s, $1.00/M)"
    assert str(third.reason) == "the only one left"
    assert [c.deployment.alias for c in candidates(pool("uptime"), STORM, never, {"p@0"})] == ["p@1", "p@2"]


def test_a_question_that_passes_closed_deployments_explores_no_more_often():
    chance = random.Random(7).random
    explored = sum(
        any(str(c.reason).startswith("explored") for c in candidates(pool("uptime"), STORM, chance))
        for _ in range(10_000)
    )
    assert 70 <= explored <= 130


def test_in_an_ordered_list_who_is_passed_keeps_its_number():
    assert [str(c.reason) for c in candidates(pool("order"), {}, never, {"p@0"})] == ["number 2 of 3", "number 3 of 3"]


def test_who_is_skipped_or_was_never_measured_is_no_yardstick_either():
    fast = STORM["p@0"]
    skipped = {**STORM, "p@0": replace(fast, circuit_open=True)}
    assert [c.deployment.alias for c in candidates(pool("uptime"), skipped, never)] == ["p@1", "p@2", "p@0"]
    # nobody knows how fast it is: as good as the best of those that can be asked, not as one that cannot
    unknown = {**skipped, "p@3": Stats(uptime=0.5, throughput=2000, latency=0.05, price=1.0, measured=False)}
    found = candidates(pool("uptime", 4), unknown, never)
    assert [c.deployment.alias for c in found] == ["p@1", "p@2", "p@3", "p@0"]
