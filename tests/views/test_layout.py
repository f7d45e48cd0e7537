"""Places in a picture: nothing overlaps, nothing is outside, every arrow is drawn."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchmagic.trace.record import DOUBTS, Picture
from orchmagic.views.layout import EXITS, arrange
from orchmagic.views.svg import svg_of
from orchmagic.views.text_width import text_width

ENDS = (("__end__", "end"), ("__fail__", "fail"), ("__cap__", "cap"))
NAMES = tuple(f"step_{i}" for i in range(9))


@st.composite
def pictures(draw):
    count = draw(st.integers(1, len(NAMES)))
    kinds = st.sampled_from(["call", "code", "gate", "tools", "approve", "sub"])
    nodes = [(name, draw(kinds)) for name in NAMES[:count]] + list(ENDS)
    targets = st.sampled_from([name for name, _ in nodes])
    labels = st.sampled_from(["", "yes", "no ≤2", "else"])
    arrows = draw(st.lists(st.tuples(st.sampled_from(NAMES[:count]), targets, labels), max_size=16))
    notes = draw(st.lists(st.tuples(st.sampled_from(NAMES[:count]), st.just("2 models"))))
    repeats = draw(st.lists(st.tuples(st.sampled_from(NAMES[:count]), st.just("item"), st.integers(0, 9))))
    return Picture(tuple(nodes), tuple(arrows), notes=tuple(notes), repeats=tuple(repeats))


def chain(count, *more):
    arrows = [(NAMES[i], NAMES[i + 1], "") for i in range(count - 1)]
    return Picture(
        tuple((n, "call") for n in NAMES[:count]) + ENDS, (*arrows, (NAMES[count - 1], "__end__", ""), *more)
    )


def apart(a, b):
    return abs(a.x - b.x) >= (a.width + b.width) / 2 - 0.1 or abs(a.y - b.y) >= (a.height + b.height) / 2 - 0.1


@settings(max_examples=150, deadline=None)
@given(pictures())
def test_boxes_stand_apart_and_inside_the_frame(picture):
    plan = arrange(picture)
    for a, b in combinations(plan.boxes, 2):
        assert apart(a, b), (a, b)
    for box in plan.boxes:
        assert 0 <= box.x - box.width / 2 <= box.x + box.width / 2 <= plan.width
        assert 0 <= box.y - box.height / 2 <= box.y + box.height / 2 <= plan.height


@settings(max_examples=150, deadline=None)
@given(pictures())
def test_every_arrow_is_drawn_once(picture):
    drawn = [(line.source, line.target) for line in arrange(picture).lines]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == {(s, t) for s, t, _ in picture.arrows}


@settings(max_examples=50, deadline=None)
@given(pictures())
def test_the_same_picture_always_looks_the_same(picture):
    assert arrange(picture) == arrange(picture)


@pytest.mark.parametrize("doubt", DOUBTS)
def test_a_run_that_ends_in_doubt_keeps_the_size_it_had_when_it_began(doubt):
    begun = replace(chain(4, ("step_1", "__fail__", "")), repeats=(("step_2", "long review", 0),))
    ended = replace(
        begun,
        repeats=(("step_2", "long review", 24),),
        doubt=doubt,
        taken=(("step_3", "__end__"),),
        troubles=(("step_1", "failed"), ("step_3", doubt)),
    )
    assert arrange(ended) == arrange(begun)
    assert ">! done<" in svg_of(ended)


def test_a_chain_is_a_straight_line_even_when_an_arrow_skips_a_part():
    plan = arrange(chain(6, ("step_1", "step_4", "no")))
    assert len({box.y for box in plan.boxes if box.kind not in EXITS}) == 1


def test_a_long_arrow_passes_no_box():
    plan = arrange(chain(6, ("step_0", "step_5", "")))
    (long,) = [line for line in plan.lines if (line.source, line.target) == ("step_0", "step_5")]
    between = [box for box in plan.boxes if box.name in NAMES[1:5]]
    for box in between:
        low = min(y for x, y in long.points if abs(x - box.x) < box.width)
        assert low > box.y + box.height / 2


def test_an_arrow_back_runs_above_all_boxes():
    plan = arrange(chain(4, ("step_3", "step_1", "no ≤2")))
    (back,) = [line for line in plan.lines if line.way == "back"]
    assert min(y for _, y in back.points) < min(box.y - box.height / 2 for box in plan.boxes)


def test_each_step_has_exits_of_its_own():
    plan = arrange(chain(3, ("step_0", "__fail__", "else"), ("step_1", "__fail__", "else"), ("step_1", "__cap__", "")))
    assert sorted(box.name for box in plan.boxes if box.kind in EXITS) == ["__cap__", "__fail__", "__fail__"]


def test_wide_letters_take_more_room():
    assert text_width("漢字") > text_width("ab")


def test_an_empty_picture_has_a_frame():
    assert arrange(Picture()).boxes == ()


def test_a_pile_and_its_words_stay_inside_the_frame():
    plan = arrange(Picture((("a", "call"),), repeats=(("a", "very long name of an item", 0),)))
    (box,) = plan.boxes
    assert box.y - box.height / 2 >= 6
    assert box.x + box.width / 2 + 6 <= plan.width
    assert box.width > text_width("call · each very long name", 9)


def test_the_label_of_one_of_several_ways_stands_near_its_end():
    plan = arrange(chain(3, ("step_0", "step_2", "no"), ("step_0", "step_1", "done")))
    (line,) = [line for line in plan.lines if line.label == "done"]
    (x0, _), (x1, _) = line.points
    assert line.word[0] > (x0 + x1) / 2
