"""Vectors as sums of what their words add."""

from pathlib import Path

import numpy as np
import pytest

from models import fasttext
from models.fasttext import Blend, BlendEmbedder
from models.fasttext.embedder import Embedder
from models.fasttext.word_contributions import pairwise_products
from tests.models.fasttext.test_blend import embedded, model, random_items

__all__ = ["model"]


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


@pytest.mark.parametrize("blend", [Blend(), Blend(dim=0), Blend(dim=80, description_weight=2.0)])
def test_what_words_add_to_a_blend_sums_to_the_vector_and_to_the_cosine(
    model: Embedder, plain_corpus: Path, blend: Blend
) -> None:
    names = plain_corpus.read_text("utf-8").split()[:40]
    items = [item for item in random_items(names, 30) if any(item[0] + item[1])]
    blended = BlendEmbedder(model, blend)
    vectors = embedded(blended, items).astype(np.float64)
    contributions = [blended.word_contributions(*item) for item in items]
    for item, vector in zip(contributions, vectors, strict=True):
        assert np.abs(item.rows.sum(axis=0) - vector).max() < 1e-5
    split = contributions[0].split
    assert split == (model.dim if blend.dim else blended.dim)
    for i in range(1, len(items)):
        semantic, lexical = pairwise_products(contributions[i - 1], contributions[i])
        expected = cosine(vectors[i - 1], vectors[i])
        assert abs(semantic.sum() + lexical.sum() - expected) < 1e-5
        product = vectors[i - 1, :split] @ vectors[i, :split]
        lengths = np.linalg.norm(vectors[i - 1]) * np.linalg.norm(vectors[i])
        assert abs(semantic.sum() - product / lengths) < 1e-5


def test_what_words_add_to_a_mean_sums_to_the_cosine(trained: Path, tmp_path: Path) -> None:
    for path in (trained, fasttext.pack(trained, tmp_path)):
        embedder = fasttext.load(path)
        lists = ["水", "電機", "水", ""], ["電機", "はじめて見る語", "箱"]
        first, second = (embedder.word_contributions(tokens) for tokens in lists)
        if first is None or second is None:
            assert first is second
            continue
        vectors = embedder.embed(lists).astype(np.float64)
        assert np.abs(first.rows.sum(axis=0) - vectors[0]).max() < 1e-6
        if vectors.any(axis=1).all():
            semantic, lexical = pairwise_products(first, second)
            assert abs(semantic.sum() - cosine(*vectors)) < 1e-5
            assert lexical.sum() == 0


def test_an_embedder_says_which_words_are_in_its_vocabulary(
    model: Embedder, plain_corpus: Path
) -> None:
    word = plain_corpus.read_text("utf-8").split()[0]
    words = [word, "はじめて見る語", ""]
    assert model.in_vocabulary(words).tolist() == [True, False, False]
    assert BlendEmbedder(model, Blend()).in_vocabulary(words).tolist() == [True, False, False]
