import numpy as np
import pytest

from pipeline.retrieval import quantiser
from tests.pipeline.retrieval import oracle


def test_the_same_sample_gives_the_same_unit_centroids() -> None:
    sample = oracle.vectors(2000, 24, seed=5)
    first = quantiser.train(sample, 16, seed=0)
    assert np.array_equal(first, quantiser.train(sample, 16, seed=0))
    assert not np.array_equal(first, quantiser.train(sample, 16, seed=1))
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)


def test_more_lists_than_vectors_are_lowered() -> None:
    assert len(quantiser.train(oracle.vectors(5, 4, seed=6), 50, seed=0)) == 5


def test_probes_are_the_nearest_lists_nearest_first() -> None:
    sample = oracle.vectors(1500, 24, seed=7)
    centroids = quantiser.train(sample, 30, seed=0)
    probes = quantiser.probe(sample, centroids, 4)
    unit = sample / np.linalg.norm(sample.astype(np.float64), axis=1, keepdims=True)
    scores = unit @ centroids.T.astype(np.float64)
    expected = np.sort(scores, axis=1)[:, ::-1][:, :4]
    assert np.allclose(np.take_along_axis(scores, probes, axis=1), expected, atol=1e-6)
    assert np.array_equal(quantiser.probe(sample[40:41], centroids, 4), probes[40:41])
    assert quantiser.probe(sample, centroids, 99).shape == (1500, 30)


def test_a_tie_between_lists_goes_to_the_lower_number_whatever_the_batch() -> None:
    centroids = quantiser.train(oracle.vectors(600, 24, seed=8), 20, seed=0)
    centroids[[3, 11]] = centroids[7]
    vectors = oracle.vectors(3000, 24, seed=9)
    probes = quantiser.probe(vectors, centroids, 5)
    ties = probes[(probes == 7).any(axis=1) & (probes[:, 4] != 7) & (probes[:, 4] != 3)]
    assert len(ties)
    for row in ties:
        three = np.flatnonzero(np.isin(row, [3, 7, 11]))
        assert row[three].tolist() == [3, 7, 11][: len(three)]
    one_by_one = [quantiser.probe(vectors[n : n + 1], centroids, 5)[0] for n in range(200)]
    assert np.array_equal(one_by_one, probes[:200])


def test_places_are_those_of_the_probes() -> None:
    vectors = oracle.vectors(100, 24, seed=10)
    centroids = quantiser.train(vectors, 12, seed=0)
    places = quantiser.centroid_ranks(vectors, centroids)
    probes = quantiser.probe(vectors, centroids, 12)
    assert np.array_equal(np.take_along_axis(places, probes, axis=1), [range(12)] * 100)


def test_equal_vectors_and_fewer_vectors_than_lists_still_give_unit_centroids() -> None:
    centroids = quantiser.train(np.ones((40, 6), np.float32), 8, seed=0)
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-6)


def test_the_number_of_lists_follows_the_number_of_items() -> None:
    counts = [quantiser.list_count(n, 6_400_000) for n in (0, 1, 1000, 1001, 300_000_000)]
    assert counts == [1, 1, 1, 2, 75_000]
    assert quantiser.list_count(300_000_000, 200_000) == 12_500


def test_probing_holds_a_bounded_number_of_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = oracle.vectors(300, 8, seed=9)
    centroids = quantiser.train(sample, 20, seed=0)
    whole = quantiser.probe(sample, centroids, 3)
    monkeypatch.setattr(quantiser, "_BLOCK_SCORES", 100)
    assert np.array_equal(quantiser.probe(sample, centroids, 3), whole)
