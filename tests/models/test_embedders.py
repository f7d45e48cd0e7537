"""The embedder that comes with the extra: the pinned file, the right tokens, and nothing silently cut."""

import hashlib
import importlib.metadata
from importlib.resources import files

import numpy as np
import pytest

from orchmagic.errors import SettingsError
from orchmagic.models.embedders import EMBEDDERS, TooLongError, _wordpiece, minilm


@pytest.fixture(scope="module")
def model():
    return EMBEDDERS.get("minilm").create()


def test_the_vocabulary_is_the_published_one():
    data = files("orchmagic.models.embedders").joinpath("bert_uncased.txt").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"


@pytest.mark.parametrize(
    ("text", "ids"),
    # as Hugging Face's tokenizer gives them for all-MiniLM-L6-v2
    [
        ("Hello, world!", [101, 7592, 1010, 2088, 999, 102]),
        ("unaffable", [101, 14477, 20961, 3468, 102]),
        ("Café naïve", [101, 7668, 15743, 102]),
        ("日本", [101, 1864, 1876, 102]),
        ("", [101, 102]),
        ("x" * 101, [101, 100, 102]),
    ],
)
def test_the_tokens_are_those_that_the_model_was_trained_with(text, ids):
    assert _wordpiece.ids(text) == ids


def test_texts_that_mean_the_same_are_near(model):
    one, same, other = (
        model.embed(t)
        for t in ("How do I reset my password?", "I forgot my password, how do I change it?", "Is it raining in Rome?")
    )
    assert one.shape == (384,)
    assert float(one @ one) == pytest.approx(1, abs=1e-5)
    assert float(one @ same) > 0.7
    assert float(one @ other) < 0.3


def test_a_vector_is_the_same_every_time(model):
    first = model.embed("What is the capital of France?")
    model.embed("something else entirely")
    assert np.array_equal(first, model.embed("What is the capital of France?"))


def test_a_text_that_would_be_cut_is_refused(model):
    model.embed("word " * 126)
    with pytest.raises(TooLongError, match="129 tokens, and this model reads 128"):
        model.embed("word " * 127)


def test_a_file_that_is_not_the_pinned_one_is_never_loaded(monkeypatch, tmp_path):
    planted = tmp_path / "model.onnx"
    planted.write_bytes(b"something else")
    monkeypatch.setattr(minilm, "_model_file", lambda: planted)
    with pytest.raises(SettingsError, match=r"not the one that was pinned .* it was not loaded"):
        minilm.create()


def test_a_missing_package_says_what_to_install(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(minilm, "distribution", absent)
    with pytest.raises(SettingsError, match=r'pip install "orchmagic\[semantic\]"'):
        minilm.create()
