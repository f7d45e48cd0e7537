"""What `%orch cache` says of the semantic cache is what happened."""

import numpy as np
import pytest

from orchmagic.core.semantic_policy import SemanticCacheConfig
from orchmagic.errors import InputError
from orchmagic.models.semantic import ComparedQuestion
from orchmagic.models.semantic.semantic_cache import SemanticCache
from orchmagic.models.semantic.store import SemanticStore
from orchmagic.notebook.commands.cache_admin import mark_wrong, remove, summary

VECTOR = np.ones(4, dtype=np.float32) / 2


def memory(**policy):
    made = SemanticCache(SemanticStore(None), lambda: None, SemanticCacheConfig(**policy))
    made.store.add(ComparedQuestion("s", {"q": "How old is he?"}), "key", VECTOR, 1.0)
    return made


def hit(made, asked="What is his age?"):
    [entry] = made.store.entries()
    return made.store.hit(entry, ComparedQuestion("s", {"q": asked}), VECTOR, 0.95, 2.0, 0.25)


def test_the_error_rate_of_a_fresh_cache_is_unknown():
    text = summary(memory())
    assert "1 question, 0 hits" in text
    assert "cosine of 0.95" in text
    assert "its error rate is unknown" in text


def test_hits_savings_and_the_error_rate_are_shown():
    made = memory()
    number = hit(made)
    [entry] = made.store.entries()
    for n in range(20):
        made.store.label(entry, ComparedQuestion("s", {"q": str(n)}), 0.95, n > 0, "audit", 3.0)
    assert mark_wrong(made, str(number), 4.0) == "Hit 1 is marked as wrong: questions like it call the model."
    text = summary(made)
    assert "1 hit, 1 marked as wrong, $0.25 saved" in text
    assert "Of 20 hits audited at random, 1 had another answer: 5.0% wrong" in text
    assert "at most 21.6%" in text  # the one-sided limit of 1 in 20
    [marked] = made.store.hits()
    assert (marked.asked, marked.matched, marked.right) == ("What is his age?", "How old is he?", False)


def test_what_a_person_says_stays_whatever_an_audit_finds():
    made = memory()
    mark_wrong(made, str(hit(made)), 3.0)
    [entry] = made.store.entries()
    made.store.label(entry, ComparedQuestion("s", {"q": "What is his age?"}), 0.95, True, "audit", 4.0)
    assert made.store.labels() == [(0.95, False)]


def test_a_learned_threshold_says_what_it_learned_from():
    made = memory(bound=0.02)
    assert "Learning: 0 pairs compared, at least 149 are needed" in summary(made)
    [entry] = made.store.entries()
    for n in range(200):
        made.store.label(entry, ComparedQuestion("s", {"q": str(n)}), 0.95, True, "near miss", 3.0)
    assert "learned from 200 pairs to keep at most 2.0% wrong" in summary(made)


def test_entries_are_removed_by_number():
    made = memory()
    assert remove(made, "#1") == "Entry 1 is removed."
    assert made.store.entries() == []


@pytest.mark.parametrize("number", ["7", "all"])
def test_a_number_that_is_none_says_what_to_write(number):
    with pytest.raises(InputError, match="%orch cache"):
        mark_wrong(memory(), number, 1.0)
    with pytest.raises(InputError, match="%orch cache"):
        remove(memory(), number)
