"""The order of a plan's steps, and what is wrong with a plan."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.functions.planning import flaws, ready


@dataclass
class Task:
    what: str
    after: list[int] = field(default_factory=list)


def done(*numbers, turn=1, result="x"):
    return [{"round": turn, "number": n, "step": "s", "result": result} for n in numbers]


def test_texts_are_done_one_by_one_in_their_order():
    assert ready(["a", "b", "c"], None, 1) == [1]
    assert ready(["a", "b", "c"], done(1), 1) == [2]
    assert ready(["a", "b", "c"], done(1, 2, 3), 1) == []


def test_texts_are_done_all_at_once_when_that_is_asked():
    assert ready(["a", "b", "c"], [], 1, parallel=True) == [1, 2, 3]
    assert ready(["a", "b", "c"], done(1, 2, 3), 1, parallel=True) == []


def test_objects_wait_for_the_steps_they_name():
    steps = [{"what": "a", "after": []}, {"what": "b", "after": None}, {"what": "c", "after": [1, 2]}]
    assert ready(steps, [], 1) == [1, 2]
    assert ready(steps, done(1), 1) == [2]
    assert ready(steps, done(1, 2), 1) == [3]


def test_records_are_read_as_dicts_are():
    steps = [Task("a"), Task("b", [1]), Task("c")]
    assert ready(steps, [], 1) == [1, 3]
    assert flaws([Task("a", [2])], [], 1) == "step 1 waits for step 2, which is not in the plan"


def test_a_step_may_wait_for_one_that_stands_behind_it():
    steps = [{"after": [2]}, {"after": []}]
    assert ready(steps, [], 1) == [2]
    assert flaws(steps, [], 1) == ""


def test_results_of_an_earlier_plan_do_not_count():
    assert ready(["a", "b"], done(1, 2, turn=1), 2) == [1]


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([{"after": [2]}, {"after": [1]}], "steps 1, 2 wait for each other"),
        ([{"after": [1]}], "steps 1 wait for each other"),
        ([{"after": []}, {"after": [7]}], "step 2 waits for step 7, which is not in the plan"),
        ([{"after": [0]}], "step 1 waits for step 0, which is not in the plan"),
        ([], "the plan has no step"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_not_begun_and_says_why(steps, told):
    assert ready(steps, [], 1) == []
    assert flaws(steps, [], 1) == told


def test_an_empty_plan_is_no_flaw_once_there_are_results():
    assert flaws([], done(1), 2) == ""


def test_failed_steps_are_told_with_their_reasons():
    results = [*done(1), *done(2, 3, result=None)]
    assert flaws(["a", "b", "c"], results, 1, {"2": "timeout", "3": "refused"}) == (
        "step 2 failed: timeout; step 3 failed: refused"
    )
    assert flaws(["a", "b", "c"], results, 1, "no network") == "step 2 failed: no network; step 3 failed: no network"
    assert flaws(["a", "b", "c"], results, 1) == "step 2 failed; step 3 failed"
    assert flaws(["a", "b", "c"], results, 2, "old") == ""


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), max_size=7))
def test_waves_do_every_step_once_and_never_before_what_it_waits_for(afters):
    steps = [{"after": after} for after in afters]
    results, waves = [], []
    while wave := ready(steps, results, 1):
        before = {r["number"] for r in results}
        assert all(set(afters[n - 1]) <= before for n in wave)
        waves.append(wave)
        results += done(*wave)
    finished = sorted(n for wave in waves for n in wave)
    if flaws(steps, [], 1):
        assert finished == []
    else:
        assert finished == list(range(1, len(steps) + 1))
    assert all(a != b for a, b in pairwise(waves))


def test_expressions_of_cells_know_them():
    assert FUNCTIONS["ready"] is ready
    assert FUNCTIONS["flaws"] is flaws
