import numpy as np
import pytest

from pipeline.retrieval.search import List
from tests.pipeline.retrieval import oracle


def found(ids: list[str], vectors: np.ndarray, k: int) -> dict[str, list[tuple[str, float]]]:
    """All items as queries of one list that holds them all."""
    items = List(ids, vectors, k)
    result = items.search(ids, vectors)
    ends = np.cumsum(result.counts)
    return {
        item: [
            (items.ids[place], float(score))
            for place, score in zip(
                result.items[end - count : end], result.scores[end - count : end], strict=True
            )
        ]
        for item, count, end in zip(ids, result.counts, ends, strict=True)
        if count
    }


@pytest.mark.parametrize("k", [1, 3, 10, 299, 1000])
@pytest.mark.parametrize("duplicates", [0, 120])
def test_a_list_gives_what_brute_force_gives(k: int, duplicates: int) -> None:
    vectors = oracle.vectors(300, 16, seed=1, duplicates=duplicates)
    ids = [f"品{n * 7919 % 300:03d}" for n in range(300)]
    everything = np.ones((300, 300), dtype=bool)
    assert found(ids, vectors, k) == oracle.neighbors(ids, vectors, k, everything)


def test_ids_break_ties_by_their_code_points() -> None:
    ids = ["b", "a", "あ", "Z", "10", "9", "𠮷", "～"]
    vectors = np.ones((8, 4), dtype=np.float32)
    assert [other for other, _ in found(ids, vectors, 3)["9"]] == ["10", "Z", "a"]
    assert [other for other, _ in found(ids, vectors, 7)["a"]] == [
        "10",
        "9",
        "Z",
        "b",
        "あ",
        "～",
        "𠮷",
    ]


def test_five_thousand_equal_vectors_give_the_lowest_ids_at_little_cost() -> None:
    ids = [f"{n:05d}" for n in range(5000)]
    vectors = np.tile(np.array([0.5, 0.25, 0.125], np.float32), (5000, 1))
    result = found(ids, vectors, 5)
    assert [other for other, _ in result["04999"]] == ["00000", "00001", "00002", "00003", "00004"]
    assert [other for other, _ in result["00002"]] == ["00000", "00001", "00003", "00004", "00005"]


def test_one_item_and_no_query() -> None:
    one = List(["a"], np.ones((1, 3), dtype=np.float32), 10)
    assert one.search(["a"], np.ones((1, 3), dtype=np.float32)).counts.tolist() == [0]
    assert one.search([], np.empty((0, 3), dtype=np.float32)).counts.tolist() == []


def test_scores_do_not_depend_on_which_queries_come_together() -> None:
    vectors = oracle.vectors(700, 33, seed=2)
    ids = [f"{n:04d}" for n in range(700)]
    items = List(ids, vectors, 7)
    whole = items.search(ids, vectors)
    for size in (1, 13, 512):
        parts = [
            items.search(ids[i : i + size], vectors[i : i + size]) for i in range(0, 700, size)
        ]
        assert np.array_equal(np.concatenate([p.scores for p in parts]), whole.scores)
        assert np.array_equal(np.concatenate([p.items for p in parts]), whole.items)
