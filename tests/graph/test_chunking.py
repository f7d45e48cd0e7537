"""split and pack: nothing of a text is lost, no chunk is too large, and packing comes to an end."""

from __future__ import annotations

import time
from bisect import bisect_left

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.functions.chunking import estimated_tokens as tokens
from orchmagic.graph.functions.chunking import pack, split

LETTERS = st.text(st.sampled_from("abcdefgXYZ 0123456789.!?\n\t'\"(,)äß。汉字語👍\u200d\u00a0\r"), max_size=1500)
WORDS = st.lists(
    st.sampled_from(["a", "the", "rain", "1999", "mainly.", "Übermut!", "on?", "plains\n\n"]), max_size=400
)
TEXTS = LETTERS | WORDS.map(" ".join) | st.text(max_size=400)
SIZES = st.integers(50, 200).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, (size - 1) // 2)))

unhurried = settings(deadline=None)  # how long an example takes depends on what else the machine does


def places(text, chunks):
    """Where each chunk begins: the first place behind the one before at which it stands."""
    at = [text.index(chunks[0])]
    for chunk in chunks[1:]:
        at.append(text.index(chunk, at[-1] + 1))
    return at


def covers(text, chunks):
    """Whether the chunks can be laid on the text in order, each from what is covered so far (or before) onwards."""
    reached = [0]
    for chunk in chunks:
        begins = (b for b in range(len(text)) if text.startswith(chunk, b))
        fits = [b + len(chunk) for b in begins if bisect_left(reached, b) < bisect_left(reached, b + len(chunk))]
        reached = sorted(fits)
    return len(text) in reached


@unhurried
@given(TEXTS, SIZES)
@example("a" * 3000, (50, 24))
@example(" " * 3000, (50, 0))
@example("1" * 3000, (50, 24))
@example("👍" * 300, (50, 5))
@example("\n\n" * 500, (60, 10))
def test_no_chunk_is_larger_than_asked_and_nothing_is_left_out(text, sizes):
    size, overlap = sizes
    chunks = split(text, size, overlap)
    assert max(map(tokens, chunks), default=0) <= size
    assert covers(text, chunks)


@unhurried
@given(TEXTS, st.integers(50, 200))
def test_without_an_overlap_the_chunks_joined_are_the_text(text, size):
    assert "".join(split(text, size, 0)) == text


def story(sentences: int) -> str:
    """Sentences that are all different, in paragraphs of seven."""
    told = [f"In year {i} the keeper wrote {'very ' * (i % 5)}little about lamp {i * 7}." for i in range(sentences)]
    return "\n\n".join(" ".join(told[i : i + 7]) for i in range(0, sentences, 7))


def test_chunks_are_in_order_and_overlap_by_what_was_asked_at_most():
    text = story(400)
    chunks = split(text, 300, 60)
    begins = places(text, chunks)
    ends = [b + len(c) for b, c in zip(begins, chunks, strict=True)]
    shared = [text[b:e] for b, e in zip(begins[1:], ends, strict=False)]
    assert len(shared) > 20
    assert all(0 < tokens(s) <= 60 for s in shared)
    assert all(s.lstrip().startswith("In year") for s in shared)


def test_chunks_end_behind_a_paragraph_where_there_is_one():
    chunks = split(story(400).replace(". ", ".\n"), 500, 0)
    assert len(chunks) > 10
    assert all(c.endswith("\n\n") for c in chunks[:-1])


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("\n".join(f"line {i} goes on" for i in range(300)), "\n"),
        (" ".join(f"Sentence {i} ends here." for i in range(300)), ". "),
        ("".join(f"第{i}句话到此为止。" for i in range(300)), "。"),
        (" ".join(f"word{i}" for i in range(900)), " "),
    ],
)
def test_without_paragraphs_they_end_behind_a_line_a_sentence_or_a_word(text, end):
    chunks = split(text, 100, 0)
    assert len(chunks) > 5
    assert all(c.endswith(end) for c in chunks[:-1])


def test_code_keeps_the_indentation_of_its_lines():
    text = "def f():\n" + "".join(f"    x_{i} = {i}\n" for i in range(300))
    assert all(c.startswith("    x_") for c in split(text, 100, 20)[1:])


@unhurried
@given(st.integers(0, 120), st.integers(60, 160))
def test_a_fact_that_stands_on_a_border_is_whole_in_one_chunk(place, size):
    told = [f"Filler number {i} tells nothing new at all." for i in range(120)]
    fact = "The vault code is 4711 blue."
    overlap = tokens(fact) + 1
    chunks = split(" ".join([*told[:place], fact, *told[place:]]), size, overlap)
    assert any(fact in c for c in chunks)


def whole(chunk):
    return chunk.count("vault code is 4711 blue")


def test_it_is_the_overlap_that_keeps_it_whole():
    told = "and then more words came " * 9 + "so the vault code is 4711 blue "
    cut = [split(told * 9, size, 0) for size in range(60, 90)]
    assert any(sum(map(whole, chunks)) < 9 for chunks in cut)


def test_a_megabyte_is_split_in_one_pass():
    text = story(16_000)
    assert len(text) > 1_000_000
    began = time.perf_counter()
    chunks = split(text, 3500, 175)
    assert time.perf_counter() - began < 10
    assert 60 < len(chunks) < 120


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["a", " ", "\n", ". ", "1", "'", "漢", ".''"])
def test_a_monotonous_megabyte_takes_no_longer(mark):
    began = time.perf_counter()
    split(mark * (1_000_000 // len(mark)), 3500, 175)
    assert time.perf_counter() - began < 10


def test_a_short_text_is_one_chunk_and_none_is_none():
    assert split("just this", 3500, 175) == ["just this"]
    assert split("", 3500, 175) == []


def test_the_items_of_a_list_are_the_chunks():
    assert split([{"id": 1}, "two"], 3500, 175) == [{"id": 1}, "two"]
    assert split(("a", "b"), 3500) == ["a", "b"]


def test_what_is_neither_text_nor_list_is_refused():
    with pytest.raises(TypeError, match="text or a list, not dict"):
        split({"a": 1}, 100)
    with pytest.raises(ValueError, match="half of 100 or more"):
        split("a", 100, 50)


@unhurried
@given(st.lists(st.text("abc de.", min_size=1, max_size=300), max_size=60), st.integers(50, 300))
def test_groups_hold_all_parts_in_order(parts, size):
    groups = pack([*parts, None], size)
    assert [p for g in groups for p in g] == parts
    assert all(groups)


@unhurried
@given(st.lists(st.text("abc de.", min_size=1, max_size=60), max_size=60), st.integers(100, 300))
def test_small_parts_never_pass_the_size(parts, size):
    assert all(tokens(str(g)) <= size for g in pack(parts, size))


@unhurried
@given(st.lists(st.integers(1, 400), max_size=80), st.integers(50, 300))
def test_packing_again_and_again_comes_to_an_end_even_when_nothing_gets_shorter(weights, size):
    parts = ["x y z " * w for w in weights[:20]] + ["x" * w for w in weights[20:]]
    levels = 0
    while len(parts) > 1:
        before = len(parts)
        groups = pack(parts, size)
        parts = [max(g, key=len) for g in groups]
        levels += 1
        assert len(parts) <= max(1, 2 * before // 3)
    assert levels <= 24


def test_a_part_larger_than_the_size_is_a_group_of_its_own_while_others_shrink():
    big, small = "word " * 500, "word"
    assert pack([small, small, small, big, small, small], 100) == [[small] * 3, [big], [small] * 2]


def test_two_that_are_too_large_still_become_one_group():
    big = "word " * 500
    assert pack([big, big, big], 100) == [[big, big], [big]]


def test_failed_parts_are_left_out():
    assert pack([None, "a", None, "b"], 100) == [["a", "b"]]
    assert pack([None], 100) == []


def test_what_stands_beside_the_parts_takes_room():
    parts = ["a short part of it"] * 10
    assert len(pack(parts, 200)) == 1
    assert len(pack(parts, 200, "word " * 100)) > 1


def test_both_are_there_for_expressions():
    assert (FUNCTIONS["split"], FUNCTIONS["pack"]) == (split, pack)
