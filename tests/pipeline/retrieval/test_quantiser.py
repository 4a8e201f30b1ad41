from dataclasses import replace

import numpy as np
import pytest

from pipeline.retrieval import (
    list_training,
    nearest_centroids,
    parents,
    quantiser,
    spherical_kmeans,
)
from pipeline.retrieval.quantiser import Quantiser
from pipeline.retrieval.vectors import unit_vectors
from tests.pipeline.retrieval import oracle


@pytest.fixture
def with_parents(monkeypatch: pytest.MonkeyPatch) -> Quantiser:
    """60 lists under 24 parents, of which 6 are probed."""
    monkeypatch.setattr(list_training, "PARENTS_FROM", 50)
    monkeypatch.setattr(list_training, "_MAX_COST", np.inf)
    trained = list_training.train(oracle.vectors(2000, 24, seed=5), 60, seed=0)
    assert trained.parents is not None
    return replace(trained, parents=replace(trained.parents, probed=6))


def test_the_same_sample_gives_the_same_unit_centroids() -> None:
    sample = oracle.vectors(2000, 24, seed=5)
    first = list_training.train(sample, 16, seed=0).centroids
    assert np.array_equal(first, list_training.train(sample, 16, seed=0).centroids)
    assert not np.array_equal(first, list_training.train(sample, 16, seed=1).centroids)
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)


def test_enough_lists_are_stored_for_the_recall_that_is_aimed_at() -> None:
    catalogue = oracle.vectors(12_000, 24, seed=7)
    sample, queries = catalogue[:3_000], catalogue[-500:]
    lists = list_training.train(sample, 60, seed=0)
    probes = list_training.probes_needed(lists, sample)
    assert probes < 60
    directions = unit_vectors(catalogue)
    scores = directions[-500:] @ directions[:-500].T
    nearest = np.argsort(-scores, axis=1)[:, :10]
    home = lists.probe(catalogue, 1)[:, 0]
    probed = lists.probe(queries, probes)
    recall = np.mean([np.isin(home[near], own) for near, own in zip(nearest, probed, strict=True)])
    assert recall >= 0.97
    # One vector has no neighbours to measure it with.
    assert list_training.probes_needed(list_training.train(sample[:1], 1, 0), sample[:1]) == 1


def test_more_lists_than_vectors_are_lowered() -> None:
    assert len(list_training.train(oracle.vectors(5, 4, seed=6), 50, seed=0)) == 5


def test_probes_are_the_nearest_lists_nearest_first() -> None:
    sample = oracle.vectors(1500, 24, seed=7)
    lists = list_training.train(sample, 30, seed=0)
    probes = lists.probe(sample, 4)
    unit = sample / np.linalg.norm(sample.astype(np.float64), axis=1, keepdims=True)
    scores = unit @ lists.centroids.T.astype(np.float64)
    expected = np.sort(scores, axis=1)[:, ::-1][:, :4]
    assert np.allclose(np.take_along_axis(scores, probes, axis=1), expected, atol=1e-6)
    assert np.array_equal(lists.probe(sample[40:41], 4), probes[40:41])
    assert lists.probe(sample, 99).shape == (1500, 30)


@pytest.mark.parametrize("has_parents", [False, True])
def test_a_tie_between_lists_goes_to_the_lower_number_whatever_the_batch(
    with_parents: Quantiser, *, has_parents: bool
) -> None:
    lists = with_parents if has_parents else Quantiser(with_parents.centroids)
    of_parent = with_parents.parents.of_lists() if with_parents.parents else np.zeros(60)
    largest = int(np.argmax(np.bincount(of_parent)))
    first, second, third = np.flatnonzero(of_parent == largest)[:3].tolist()
    lists.centroids[[first, third]] = lists.centroids[second]
    vectors = oracle.vectors(3000, 24, seed=9)
    probes = lists.probe(vectors, 5)
    ties = probes[(probes == second).any(axis=1) & ~np.isin(probes[:, 4], [first, second])]
    assert len(ties)
    for row in ties:
        equal = row[np.isin(row, [first, second, third])]
        assert equal.tolist() == [first, second, third][: len(equal)]
    one_by_one = [lists.probe(vectors[n : n + 1], 5)[0] for n in range(200)]
    assert np.array_equal(one_by_one, probes[:200])


@pytest.mark.parametrize("has_parents", [False, True])
def test_lists_that_differ_by_less_than_a_product_does_are_told_apart_exactly(
    with_parents: Quantiser, *, has_parents: bool
) -> None:
    lists = with_parents if has_parents else Quantiser(with_parents.centroids)
    of_parent = with_parents.parents.of_lists() if with_parents.parents else np.zeros(60)
    close = np.flatnonzero(of_parent == np.argmax(np.bincount(of_parent)))[:4]
    rng = np.random.default_rng(4)
    original = lists.centroids[close[0]]
    for number in close:
        towards = rng.choice([-1, 1], 24).astype(np.float32)
        lists.centroids[number] = np.nextafter(original, towards)
    vectors = original + oracle.vectors(400, 24, seed=15) * np.float32(0.05)
    exact = vectors.astype(np.float64) @ lists.centroids[close].T.astype(np.float64)
    expected = close[np.argsort(-exact, axis=1)]
    assert np.array_equal(lists.probe(vectors, 4), expected)


@pytest.mark.parametrize("has_parents", [False, True])
def test_places_are_those_of_the_probes(with_parents: Quantiser, *, has_parents: bool) -> None:
    lists = with_parents if has_parents else Quantiser(with_parents.centroids)
    vectors = oracle.vectors(100, 24, seed=10)
    places, probes = lists.ranks(vectors), lists.probe(vectors, 60)
    assert np.array_equal(np.take_along_axis(places, probes, axis=1), [range(60)] * 100)


def test_equal_vectors_and_fewer_vectors_than_lists_still_give_unit_centroids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for parents_from in (4_000, 2):
        monkeypatch.setattr(list_training, "PARENTS_FROM", parents_from)
        lists = list_training.train(np.ones((40, 6), np.float32), 8, seed=0)
        assert np.allclose(np.linalg.norm(lists.centroids, axis=1), 1, atol=1e-6)
        assert list_training.list_sizes(np.ones((40, 6), np.float16), lists).sum() == 40


def test_the_number_of_lists_follows_the_number_of_items() -> None:
    counts = [quantiser.list_count(n, 6_400_000) for n in (0, 1, 1000, 1001, 300_000_000)]
    assert counts == [1, 1, 1, 2, 300_000]
    # 16 vectors of the sample are needed for each list.
    assert quantiser.list_count(300_000_000, 200_000) == 12_500


def test_probing_holds_a_bounded_number_of_scores(
    with_parents: Quantiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, flat = oracle.vectors(300, 24, seed=9), Quantiser(with_parents.centroids)
    whole = [lists.probe(sample, 3) for lists in (flat, with_parents)]
    monkeypatch.setattr(nearest_centroids, "_BLOCK_SCORES", 100)
    monkeypatch.setattr(parents, "_BLOCK_SCORES", 100)
    cut = [lists.probe(sample, 3) for lists in (flat, with_parents)]
    assert np.array_equal(cut, whole)


def test_with_all_parents_probed_the_lists_are_those_without_parents(
    with_parents: Quantiser,
) -> None:
    vectors, flat = oracle.vectors(500, 24, seed=11), Quantiser(with_parents.centroids)
    assert with_parents.parents is not None
    every = len(with_parents.parents.centroids)
    all_probed = replace(with_parents, parents=replace(with_parents.parents, probed=every))
    assert np.array_equal(all_probed.probe(vectors, 9), flat.probe(vectors, 9))
    assert np.array_equal(all_probed.ranks(vectors), flat.ranks(vectors))
    assert not np.array_equal(with_parents.probe(vectors, 9), flat.probe(vectors, 9))


def test_only_lists_of_the_nearest_parents_are_compared_and_fewer_are_the_first_of_more(
    with_parents: Quantiser,
) -> None:
    vectors, levels = oracle.vectors(300, 24, seed=12), with_parents.parents
    assert levels is not None
    unit = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    nearest = np.argsort(-(unit @ levels.centroids.T.astype(np.float64)), axis=1)[:, :6]
    scores = unit @ with_parents.centroids.T.astype(np.float64)
    is_near = (levels.of_lists()[None, :, None] == nearest[:, None, :]).any(axis=2)
    expected = np.lexsort((-scores, ~is_near), axis=1)
    # With 25 lists some vectors probe lists of other parents, because theirs are too few.
    for nprobe in (1, 4, 25, 60):
        assert np.array_equal(with_parents.probe(vectors, nprobe), expected[:, :nprobe])


def test_lists_of_one_parent_have_consecutive_numbers(with_parents: Quantiser) -> None:
    levels = with_parents.parents
    assert levels is not None
    nearest = np.argmax(with_parents.centroids @ levels.centroids.T, axis=1)
    assert np.array_equal(nearest, levels.of_lists())
    assert len(levels.of_lists()) == 60


def test_training_with_all_parents_probed_gives_the_lists_of_training_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = oracle.vectors(2000, 24, seed=5).astype(np.float16)
    points = unit_vectors(sample.astype(np.float32))
    flat = spherical_kmeans.train(points, 60, seed=0)
    for step in (1 << 24, 999):
        monkeypatch.setattr(list_training, "PROBED_IN_TRAINING", 60)
        monkeypatch.setattr(list_training, "_BLOCK_VALUES", step)
        levels = list_training._train_lists(sample, 60, seed=0)
        # Sums of float32 in another order.
        nearest = np.argmax(levels @ flat.T, axis=1)
        assert sorted(nearest) == list(range(60))
        assert (levels * flat[nearest]).sum(axis=1).min() > 0.999


def test_the_parents_probed_keep_the_neighbours_of_vectors_that_were_left_out() -> None:
    rng = np.random.default_rng(3)
    # Loose clusters, so that neighbours lie in several lists.
    centres = rng.standard_normal((40, 16))
    vectors = centres[rng.integers(40, size=6000)] + 0.7 * rng.standard_normal((6000, 16))
    sample, asking = vectors[:5000].astype(np.float16), vectors[5000:].astype(np.float16)
    lists, flat_lists = list_training._train_lists(sample, 200, seed=0), 5
    levels, order = parents.group_lists(lists, 1, seed=0)
    trained = Quantiser(lists[order], levels)
    needed = list_training.parents_needed(trained, sample, asking[:500])
    assert 1 < needed < len(levels.centroids)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    truth = np.argsort(-(unit[5500:] @ unit[:5000].T), axis=1)[:, :10]

    def recall(tested: Quantiser) -> float:
        homes = tested.probe(sample.astype(np.float32), 1)[:, 0]
        probes = tested.probe(asking[500:].astype(np.float32), flat_lists)
        return float((homes[truth][:, :, None] == probes[:, None, :]).any(axis=2).mean())

    flat = recall(Quantiser(trained.centroids))
    with_needed = replace(trained, parents=replace(levels, probed=needed))
    assert recall(with_needed) > flat - 0.006
    assert recall(replace(trained, parents=replace(levels, probed=1))) < flat - 0.02


def test_lists_whose_parents_would_cost_more_than_they_save_get_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(list_training, "PARENTS_FROM", 50)
    assert list_training.train(oracle.vectors(2000, 24, seed=5), 60, seed=0).parents is None


def test_the_sizes_of_lists_are_about_those_of_their_vectors(
    with_parents: Quantiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, flat = oracle.vectors(2000, 24, seed=5), Quantiser(with_parents.centroids)
    monkeypatch.setattr(list_training, "PROBED_IN_TRAINING", 16)
    sizes = list_training.list_sizes(sample, flat)
    exact = np.bincount(flat.probe(sample, 1)[:, 0], minlength=60)
    assert sizes.sum() == 2000
    assert np.abs(sizes - exact).sum() < 200
    exact = np.bincount(with_parents.probe(sample, 1)[:, 0], minlength=60)
    assert np.array_equal(list_training.list_sizes(sample, with_parents), exact)


def test_a_quantiser_is_what_its_arrays_say(with_parents: Quantiser) -> None:
    vectors, arrays = oracle.vectors(50, 24, seed=13), with_parents.arrays()
    again = Quantiser.from_arrays(arrays)
    assert np.array_equal(again.probe(vectors, 5), with_parents.probe(vectors, 5))
    assert Quantiser.from_arrays(arrays[:1]).parents is None
    with pytest.raises(ValueError, match="3 arrays, not 1 or 4"):
        Quantiser.from_arrays(arrays[:3])
    with pytest.raises(ValueError, match="do not fit"):
        Quantiser.from_arrays([arrays[0][:-1], *arrays[1:]])
    with pytest.raises(ValueError, match="do not fit"):
        Quantiser.from_arrays([*arrays[:3], np.array([25])])
