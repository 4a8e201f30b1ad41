"""Packed static models against model2vec's own vectors, and sentence-transformers' formula."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import static
from tests.models.static.files import (
    DIM,
    WORDS,
    model2vec_model,
    rows,
    sentence_transformers_model,
    unigram_tokenizer,
    word_tokenizer,
)

TEXTS = [
    "赤い 靴",
    "青い 鞄 red shoe",
    "Red RED red",
    "知らない ことば",
    "知らない 靴",
    "a " * 450 + "bag " * 250,
    "red " * 40 + "鞄",
]

MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "normalized": {"normalize": True},
    "float16": {"vectors": rows(len(WORDS)).astype(np.float16)},
    "int8": {"vectors": np.round(rows(len(WORDS)) * 40).astype(np.int8)},
    "weights": {"weights": (np.arange(len(WORDS)) / 8).astype(np.float32)},
    "clusters": {
        "vectors": rows(3),
        "token_mapping": np.arange(len(WORDS)) % 3,
        "weights": 2 - np.arange(len(WORDS)) / 8,
    },
    "short": {"max_length": 5},
    "endless": {"max_length": None},
    "unigram": {"tokenizer": unigram_tokenizer()},
}


@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_those_of_model2vec(name: str, tmp_path: Path) -> None:
    library = model2vec_model(tmp_path / "model", **MODELS[name])
    model = static.load(static.pack(tmp_path / "model", tmp_path / "packed"))
    assert (model.dim, model.reads) == (DIM, "text")
    vectors = model.embed([[text] for text in TEXTS])
    expected = library.encode(TEXTS, use_multiprocessing=False)
    # The library rounds the means of a model of float16 to float16.
    assert vectors.dtype == np.float32
    difference = np.abs(vectors.astype(expected.dtype) - expected).max()
    assert difference < 1e-6 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("normalize", [False, True])
def test_vectors_are_those_of_sentence_transformers(normalize: bool, tmp_path: Path) -> None:
    table = sentence_transformers_model(tmp_path / "model", normalize=normalize)
    model = static.load(static.pack(tmp_path / "model", tmp_path / "packed"))
    vectors = model.embed([[text] for text in TEXTS])
    for text, vector in zip(TEXTS, vectors, strict=True):
        # An EmbeddingBag's mean over all tokens, the unknown one too, and none is cut off.
        mean = table[word_tokenizer().encode(text, add_special_tokens=False).ids].mean(axis=0)
        expected = mean / np.linalg.norm(mean) if normalize else mean
        assert np.abs(vector - expected).max() < 1e-6


def test_dimensions_are_cut(tmp_path: Path) -> None:
    model2vec_model(tmp_path / "model", normalize=True)
    cut = static.load(static.pack(tmp_path / "model", tmp_path / "cut", dim=8))
    unit = rows(len(WORDS))[WORDS.index("靴"), :8]
    assert np.allclose(cut.embed([["靴"]])[0], unit / np.linalg.norm(unit), atol=1e-6)


def test_half_precision_is_close(tmp_path: Path) -> None:
    model2vec_model(tmp_path / "model", vectors=rows(len(WORDS)) / 3)
    whole, half = (
        static.pack(tmp_path / "model", tmp_path / name, float16=name == "half")
        for name in ("whole", "half")
    )
    first, second = (static.load(path).embed([[text] for text in TEXTS]) for path in (whole, half))
    assert 0 < np.abs(first - second).max() < 2e-3


def test_other_texts_and_empty_ones_change_nothing(tmp_path: Path) -> None:
    model2vec_model(tmp_path / "model")
    model = static.load(static.pack(tmp_path / "model", tmp_path / "packed"))
    together = model.embed([[text] for text in TEXTS])
    assert np.array_equal(together, np.vstack([model.embed([[text]]) for text in TEXTS]))
    vectors = model.embed([["赤い", "靴"], ["赤い 靴"], [], ["", " "]])
    assert np.array_equal(vectors[0], vectors[1])
    assert vectors.any(axis=1).tolist() == [True, True, False, False]
    assert model.embed([]).shape == (0, DIM)
