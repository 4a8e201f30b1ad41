"""Vectors as sums of what their words add."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models import fasttext
from models.fasttext import Blend, BlendEmbedder
from models.fasttext.embedder import Embedder
from models.fasttext.word_contributions import (
    TitleWords,
    WordContributions,
    pairwise_products,
)
from tests.models.fasttext.plain_blend import Fields, embedded, random_items
from tests.models.fasttext.test_blend import model, skipgram

__all__ = ["model", "skipgram"]


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


@pytest.mark.parametrize(
    "blend",
    [
        Blend(),
        Blend(dim=0),
        Blend(dim=80, description_weight=2.0),
        Blend(field_weights=(0.3, 1.5)),
    ],
)
def test_what_words_add_to_a_blend_sums_to_the_vector_and_to_the_cosine(
    model: Embedder, plain_corpus: Path, blend: Blend
) -> None:
    names = plain_corpus.read_text("utf-8").split()[:40]
    drawn = random_items(names, 30, fields=len(blend.field_weights))
    items = [item for item in drawn if any(item[0] + item[1])]
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


def shared_shares(one: WordContributions, other: WordContributions) -> dict[str, float]:
    """What each shared word adds to the dot product of two vectors, paired with itself."""
    column = {word: n for n, word in enumerate(other.words)}
    return {
        word: float(one.rows[n] @ other.rows[column[word]])
        for n, word in enumerate(one.words)
        if word in column
    }


def check_title_words(
    words: TitleWords, items: list[Fields], parts: list[WordContributions]
) -> None:
    """Compare products of lengths with the contributions of the words themselves."""
    by_item = [
        dict(zip(words.words[a:b].to_pylist(), words.lengths[a:b].astype(np.float64), strict=True))
        for a, b in itertools.pairwise(words.offsets.tolist())
    ]
    assert [set(found) for found in by_item] == [set(title) - {""} for title, *_ in items]
    for i in range(1, len(items)):
        expected = shared_shares(parts[i - 1], parts[i])
        for word in by_item[i - 1].keys() & by_item[i].keys():
            product = float(by_item[i - 1][word] @ by_item[i][word])
            assert product == pytest.approx(expected[word], abs=2e-6)


@pytest.mark.parametrize(
    "blend", [Blend(), Blend(dim=0), Blend(title_weight=1.5), Blend(field_weights=(0.3,))]
)
def test_lengths_of_title_words_give_what_shared_words_contribute(
    model: Embedder, plain_corpus: Path, blend: Blend
) -> None:
    names = plain_corpus.read_text("utf-8").split()[:25]
    fields = len(blend.field_weights)
    items: list[Fields] = [
        ([*item[0], "水"], *item[1:]) for item in random_items(names, 40, fields)
    ]
    items.append(([], ["水"], *([["水"]] * fields)))
    blended = BlendEmbedder(model, blend)
    columns = [pa.array(field, pa.list_(pa.string())) for field in zip(*items, strict=True)]
    words = blended.title_words(*columns)
    check_title_words(words, items, [blended.word_contributions(*item) for item in items])
    assert (np.diff(words.offsets) > 1).any()
    # Other items of the batch change nothing.
    alone = [blended.title_words(*(column[n : n + 1] for column in columns)) for n in range(41)]
    joined = TitleWords.concat(alone)
    assert joined.words == words.words
    for name in ("hashes", "offsets", "lengths"):
        assert np.array_equal(getattr(joined, name), getattr(words, name)), name


def test_lengths_of_title_words_of_means(trained: Path, tmp_path: Path) -> None:
    for path in (trained, fasttext.pack(trained, tmp_path)):
        embedder = fasttext.load(path)
        items: list[Fields] = [
            (["水", "電機", "水", ""], ["箱"]),
            (["電機", "はじめて見る語", "箱", "水"], []),
        ]
        columns = [pa.array(field, pa.list_(pa.string())) for field in zip(*items, strict=True)]
        words = embedder.title_words(*columns)
        parts = [embedder.word_contributions(item[0] + item[1]) for item in items]
        if words is None:
            assert parts == [None, None]
            continue
        check_title_words(words, items, [part for part in parts if part is not None])


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
