from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from pipeline.evaluation import methods
from pipeline.retrieval.vectors import to_bytes
from tests.pipeline.retrieval import oracle

WORDS = ["赤い", "青い", "靴", "鞄", "the", "red", "shoe", "500ml", "1", "x"]


@pytest.fixture(params=["one block", "blocks of a few"], autouse=True)
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "one block":
        monkeypatch.setattr(methods, "_BLOCK_SCORES", 300)


def token_lists(count: int) -> list[list[str]]:
    """Seeded lists with ties, words that come again, and empty ones."""
    rng = np.random.default_rng(1)
    drawn = [list(rng.choice(WORDS, size=rng.integers(1, 7))) for _ in range(count)]
    for place in (0, 5, count - 1):
        drawn[place] = []
    drawn[8] = drawn[9] = drawn[20]
    return drawn


def listed(tokens: list[list[str]]) -> pa.ListArray:
    return pa.array(tokens, type=pa.list_(pa.string()))


def by_hand(scores: np.ndarray, there: list[bool], k: int) -> list[list[int]]:
    """The best by score, then place, one pair after the other; -1 fills up."""
    rows = []
    for row in range(len(scores)):
        others = [n for n in range(len(scores)) if there[row] and there[n] and n != row]
        best = sorted(others, key=lambda n: (-np.float32(scores[row, n]), n))[:k]
        rows.append(best + [-1] * (k - len(best)))
    return rows


def test_dense_finds_what_brute_force_does_and_nothing_for_an_item_without_a_vector() -> None:
    vectors = oracle.vectors(60, 6, 2, duplicates=9)
    ids = [f"{n:03d}" for n in range(60)]
    there = np.ones(60, dtype=bool)
    there[[3, 17, 59]] = False
    binary = zip(to_bytes(vectors), there, strict=True)
    halves = [half if has_vector else None for half, has_vector in binary]
    nearest = methods.Dense(pa.array(halves, pa.binary())).nearest(5)
    expected = oracle.neighbors(ids, vectors, 5, there[:, None] & there)
    for row, item in enumerate(ids):
        neighbors = [ids[position] for position in nearest[row] if position >= 0]
        assert neighbors == [other for other, _ in expected.get(item, [])]


def test_of_fewer_items_than_are_wanted_all_are_found() -> None:
    tokens = listed([["x"], ["y"], ["x", "y"]])
    vectors = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    expected = [[2, 1, -1, -1], [2, 0, -1, -1], [0, 1, -1, -1]]
    assert methods.Dense(to_bytes(vectors)).nearest(4).tolist() == expected
    assert methods.Tfidf(tokens).nearest(4).tolist() == expected


def test_where_nothing_has_a_vector_nothing_is_found() -> None:
    none = methods.Dense(pa.array([None, None], pa.binary()))
    assert none.nearest(2).tolist() == [[-1, -1], [-1, -1]]
    assert none.cosines(np.array([0]), np.array([1])).tolist() == [-1]
    assert methods.Tfidf(listed([[], []])).nearest(1).tolist() == [[-1], [-1]]


def test_tfidf_is_that_of_scikit_learn() -> None:
    tokens = token_lists(50)
    theirs = TfidfVectorizer(sublinear_tf=True, analyzer=lambda words: words)
    expected = theirs.fit_transform(tokens).toarray()
    tfidf = methods.Tfidf(listed(tokens))
    columns = [theirs.vocabulary_[word] for word in dict.fromkeys(chain(*tokens))]
    np.testing.assert_allclose(tfidf.matrix.toarray(), expected[:, columns], atol=1e-12)
    nearest = tfidf.nearest(6)
    there = [bool(words) for words in tokens]
    assert nearest.tolist() == by_hand(expected @ expected.T, there, 6)
    left, right = np.array([1, 1, 8, 0]), np.array([2, 30, 9, 1])
    cosines = [*(expected[left] * expected[right]).sum(axis=1)[:3], -1]
    np.testing.assert_allclose(tfidf.cosines(left, right), cosines, atol=1e-6)


def test_dense_cosines_are_those_of_numpy_and_lowest_without_a_vector() -> None:
    vectors = oracle.vectors(4, 5, 3).astype(np.float64)
    halves = [*to_bytes(vectors), None]
    dense = methods.Dense(pa.array(halves, pa.binary()))
    left, right = np.array([0, 3, 4, 1]), np.array([1, 2, 0, 1])
    norms = np.linalg.norm(vectors, axis=1)
    expected = [vectors[a] @ vectors[b] / norms[a] / norms[b] for a, b in ((0, 1), (3, 2))]
    np.testing.assert_allclose(dense.cosines(left, right), [*expected, -1, 1], atol=1e-6)
