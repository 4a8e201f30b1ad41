from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from pipeline.retrieval.queries import Queries
from pipeline.retrieval.search import ExactIndex
from pipeline.retrieval.vectors import to_bytes
from tests.pipeline.retrieval import oracle


def index_of(ids: list[str], vectors: np.ndarray, k: int, lists: Sequence[int] = ()) -> ExactIndex:
    numbers = np.array(lists if len(lists) else [0] * len(ids), dtype=np.int64)
    return ExactIndex(numbers, pa.array(ids, pa.string()), to_bytes(vectors), k)


def queries_of(ids: list[str], vectors: np.ndarray, probes: np.ndarray | None = None) -> Queries:
    if probes is None:
        probes = np.zeros((len(ids), 1), dtype=np.int64)
    rows = np.repeat(np.arange(len(ids)), probes.shape[1])
    return Queries(pa.array(ids, pa.string()), vectors, rows, probes.ravel().astype(np.int64))


def search(index: ExactIndex, queries: Queries) -> dict[str, list[tuple[str, float]]]:
    result = index.search(queries)
    ids, ends = index.ids.to_pylist(), np.cumsum(result.counts)
    return {
        item: [
            (ids[position], float(score))
            for position, score in zip(
                result.items[end - count : end], result.scores[end - count : end], strict=True
            )
        ]
        for item, count, end in zip(queries.ids.to_pylist(), result.counts, ends, strict=True)
        if count
    }


def search_all(ids: list[str], vectors: np.ndarray, k: int) -> dict[str, list[tuple[str, float]]]:
    """All items are queries; one list has them all."""
    return search(index_of(ids, vectors, k), queries_of(ids, vectors))


@pytest.mark.parametrize("k", [1, 3, 10, 299, 1000])
@pytest.mark.parametrize("duplicates", [0, 120])
def test_a_list_gives_what_brute_force_gives(k: int, duplicates: int) -> None:
    vectors = oracle.vectors(300, 16, seed=1, duplicates=duplicates)
    ids = [f"品{n * 7919 % 300:03d}" for n in range(300)]
    allowed = np.ones((300, 300), dtype=bool)
    assert search_all(ids, vectors, k) == oracle.neighbors(ids, vectors, k, allowed)


@pytest.mark.parametrize("k", [1, 10, 60])
@pytest.mark.parametrize("duplicates", [0, 120])
def test_a_group_gives_the_best_of_the_lists_probed(k: int, duplicates: int) -> None:
    vectors = oracle.vectors(400, 16, seed=2, duplicates=duplicates)
    rng = np.random.default_rng(2)
    lists = rng.integers(9, size=400)
    # List 9 is in another group.
    probes = np.array([rng.permutation(10)[:3] for _ in lists])
    ids = [f"{n * 7919 % 400:03d}" for n in range(400)]
    allowed = (lists[None, None, :] == probes[:, :, None]).any(axis=1)
    index = index_of(ids, vectors, k, lists.tolist())
    assert search(index, queries_of(ids, vectors, probes)) == oracle.neighbors(
        ids, vectors, k, allowed
    )


def test_zero_vectors_are_at_zero_from_everything() -> None:
    vectors = oracle.vectors(40, 8, seed=3)
    vectors[[3, 17, 30]] = 0
    vectors[5] = -0.0
    ids = [f"{n:02d}" for n in range(40)]
    allowed = np.ones((40, 40), dtype=bool)
    neighbors = search_all(ids, vectors, 5)
    assert neighbors == oracle.neighbors(ids, vectors, 5, allowed)
    assert neighbors["17"] == [(other, 0.0) for other in ("00", "01", "02", "03", "04")]


def test_opposite_and_subnormal_vectors_keep_to_the_definition() -> None:
    rng = np.random.default_rng(4)
    tiny = (rng.integers(-3, 4, size=(60, 12)) * 2.0**-24).astype(np.float32)
    vectors = np.concatenate([tiny, -tiny, oracle.vectors(60, 12, seed=4)])
    ids = [f"{n:03d}" for n in range(180)]
    allowed = np.ones((180, 180), dtype=bool)
    assert search_all(ids, vectors, 150) == oracle.neighbors(ids, vectors, 150, allowed)


def test_ids_break_ties_by_their_code_points() -> None:
    ids = ["b", "a", "あ", "Z", "10", "9", "𠮷", "～"]
    vectors = np.ones((8, 4), dtype=np.float32)
    assert [other for other, _ in search_all(ids, vectors, 3)["9"]] == ["10", "Z", "a"]
    assert [other for other, _ in search_all(ids, vectors, 7)["a"]] == [
        "10",
        "9",
        "Z",
        "b",
        "あ",
        "～",
        "𠮷",
    ]


def test_five_thousand_equal_vectors_are_scored_once() -> None:
    ids = [f"{n:05d}" for n in range(5000)]
    vectors = np.tile(np.array([0.5, 0.25, 0.125], np.float32), (5000, 1))
    index = index_of(ids, vectors, 5)
    result = search(index, queries_of(ids, vectors))
    assert [other for other, _ in result["04999"]] == ["00000", "00001", "00002", "00003", "00004"]
    assert [other for other, _ in result["00002"]] == ["00000", "00001", "00003", "00004", "00005"]
    assert index.distances == 1


def test_one_item_and_no_query() -> None:
    one = index_of(["a"], np.ones((1, 3), dtype=np.float32), 10)
    assert one.search(queries_of(["a"], np.ones((1, 3), dtype=np.float32))).counts.tolist() == [0]
    assert one.search(queries_of([], np.empty((0, 3), dtype=np.float32))).counts.tolist() == []


def test_scores_do_not_depend_on_the_other_queries_of_the_batch() -> None:
    vectors = oracle.vectors(700, 33, seed=2)
    ids = [f"{n:04d}" for n in range(700)]
    index = index_of(ids, vectors, 7)
    whole = index.search(queries_of(ids, vectors))
    for size in (1, 13, 512):
        parts = [
            index.search(queries_of(ids[i : i + size], vectors[i : i + size]))
            for i in range(0, 700, size)
        ]
        assert np.array_equal(np.concatenate([p.scores for p in parts]), whole.scores)
        assert np.array_equal(np.concatenate([p.items for p in parts]), whole.items)


def test_candidates_left_out_by_a_floor_are_below_it() -> None:
    vectors = oracle.vectors(200, 10, seed=5)
    ids = [f"{n:03d}" for n in range(200)]
    index = index_of(ids, vectors, 20)
    whole = search(index, queries_of(ids, vectors))
    floor = np.array([whole[item][6][1] for item in ids], dtype=np.float32)
    result = index.search(queries_of(ids, vectors), floor)
    ends = np.cumsum(result.counts)
    for row, item in enumerate(ids):
        scores = result.scores[ends[row] - result.counts[row] : ends[row]]
        above_floor = [score for _, score in whole[item] if score >= floor[row]]
        assert scores[: len(above_floor)].tolist() == above_floor


def test_many_scores_that_are_nearly_the_same_are_cut_list_by_list() -> None:
    rng = np.random.default_rng(6)
    near = np.ones((500, 8)) + 2.0**-10 * rng.integers(0, 2, size=(500, 8))
    vectors = np.unique(near.astype(np.float32), axis=0)
    vectors = np.concatenate([vectors, oracle.vectors(200, 8, seed=6)])
    ids = [f"{n:03d}" for n in range(len(vectors))]
    allowed = np.ones((len(ids), len(ids)), dtype=bool)
    assert search_all(ids, vectors, 1) == oracle.neighbors(ids, vectors, 1, allowed)
