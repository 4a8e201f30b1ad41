"""A vector taken apart into what its words add."""

from pathlib import Path

import numpy as np
import pytest

from models import fasttext
from models.fasttext import Blend, BlendEmbedder
from models.fasttext.embedder import Embedder
from models.fasttext.word_contributions import pairwise_products
from tests.models.fasttext.test_blend import embedded, model, random_items

__all__ = ["model"]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


@pytest.mark.parametrize("blend", [Blend(), Blend(dim=0), Blend(dim=80, description_weight=2.0)])
def test_what_words_add_to_a_blend_sums_to_the_vector_and_to_the_cosine(
    model: Embedder, plain_corpus: Path, blend: Blend
) -> None:
    names = plain_corpus.read_text("utf-8").split()[:40]
    items = [item for item in random_items(names, 30) if any(item[0] + item[1])]
    blended = BlendEmbedder(model, blend)
    vectors = embedded(blended, items).astype(np.float64)
    terms = [blended.word_contributions(*item) for item in items]
    for one, vector in zip(terms, vectors, strict=True):
        assert np.abs(one.rows.sum(axis=0) - vector).max() < 1e-5
    split = terms[0].split
    assert split == (model.dim if blend.dim else blended.dim)
    for place in range(1, len(items)):
        meaning, letters = pairwise_products(terms[place - 1], terms[place])
        expected = cosine(vectors[place - 1], vectors[place])
        assert abs(meaning.sum() + letters.sum() - expected) < 1e-5
        parts = vectors[place - 1, :split] @ vectors[place, :split]
        lengths = np.linalg.norm(vectors[place - 1]) * np.linalg.norm(vectors[place])
        assert abs(meaning.sum() - parts / lengths) < 1e-5


def test_what_words_add_to_a_mean_sums_to_the_cosine(trained: Path, tmp_path: Path) -> None:
    for path in (trained, fasttext.pack(trained, tmp_path)):
        means = fasttext.load(path)
        one, other = ["水", "電機", "水", ""], ["電機", "はじめて見る語", "箱"]
        mine, theirs = means.word_contributions(one), means.word_contributions(other)
        if mine is None or theirs is None:
            assert mine is theirs
            continue
        vectors = means.embed([one, other]).astype(np.float64)
        assert np.abs(mine.rows.sum(axis=0) - vectors[0]).max() < 1e-6
        if vectors.any(axis=1).all():
            meaning, letters = pairwise_products(mine, theirs)
            assert abs(meaning.sum() - cosine(*vectors)) < 1e-5
            assert letters.sum() == 0


def test_a_word_of_the_vocabulary_is_told_from_one_that_is_not(
    model: Embedder, plain_corpus: Path
) -> None:
    word = plain_corpus.read_text("utf-8").split()[0]
    words = [word, "はじめて見る語", ""]
    assert model.in_vocabulary(words).tolist() == [True, False, False]
    assert BlendEmbedder(model, Blend()).in_vocabulary(words).tolist() == [True, False, False]
