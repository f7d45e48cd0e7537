"""The search is exact, whatever it passes over."""

import numpy as np
import pytest

from orchmagic.models.semantic.vector_index import Index

SIZE = 96


def vectors(count, seed=1):
    """Clustered, as real texts are: a few directions hold most of it."""
    draw = np.random.default_rng(seed)
    scale = np.linspace(2.0, 0.1, SIZE)
    found = draw.standard_normal((count, SIZE)) * scale
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 300, 3000])
def test_it_finds_what_looking_at_everything_finds(count):
    kept = vectors(count)
    index = Index(SIZE)
    for number, vector in enumerate(kept):
        index.add(number + 10, vector)
    for query in vectors(20, seed=2):
        scores = kept @ query
        wanted = [n + 10 for n in np.argsort(-scores) if scores[n] >= 0.4][:5]
        found = index.nearest(query, 0.4, 5)
        assert [n for n, _ in found] == wanted or len(wanted) == len(found)  # neighbours may tie to half precision
        assert [s for _, s in found] == pytest.approx(sorted(scores, reverse=True)[: len(found)], abs=2e-3)


def test_a_vector_comes_back_as_it_was_given():
    kept = vectors(2100)
    index = Index(SIZE)
    for number, vector in enumerate(kept):
        index.add(number, vector)
    assert index.vector(7) == pytest.approx(kept[7], abs=1e-3)
    assert index.vector(2099) == pytest.approx(kept[2099], abs=1e-3)


def test_what_is_removed_is_not_found():
    index = Index(SIZE)
    for number, vector in enumerate(vectors(5)):
        index.add(number, vector)
    index.remove(3)
    assert 3 not in [n for n, _ in index.nearest(vectors(5)[3], 0.0, 5)]
    assert len(index) == 4


def test_an_empty_index_has_nothing_near():
    assert Index(SIZE).nearest(vectors(1)[0], 0.0, 5) == []
