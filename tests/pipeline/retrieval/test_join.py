import numpy as np
import pyarrow as pa
import pytest

from pipeline.retrieval.join import ITEM, QUERY, RESULT, join
from pipeline.retrieval.vectors import from_bytes, from_lists, to_bytes
from tests.pipeline.retrieval import oracle


def stream(lists: np.ndarray, probes: np.ndarray, vectors: np.ndarray, rows: int) -> pa.Table:
    """What Spark would stream: each list's items, then its queries."""
    ids = [f"{n:03d}" for n in range(len(lists))]
    halves = to_bytes(vectors)
    entries = [(int(number), ITEM, n) for n, number in enumerate(lists)]
    entries += [(int(p), QUERY, n) for n, of_item in enumerate(probes) for p in of_item]
    entries.sort()
    table = pa.table(
        {
            "list": pa.array([e[0] for e in entries], pa.int32()),
            "role": pa.array([e[1] for e in entries], pa.int32()),
            "item_id": [ids[e[2]] for e in entries],
            "vector": pa.array([halves[e[2]] for e in entries], pa.binary()),
        }
    )
    return join(iter(table.to_batches(max_chunksize=rows)), 4)


@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
def test_the_join_finds_the_best_of_the_probed_lists_whatever_the_batches(rows: int) -> None:
    rng = np.random.default_rng(3)
    vectors = oracle.vectors(120, 8, seed=3, duplicates=20)
    lists = rng.integers(5, size=120)
    probes = np.array([rng.permutation(5)[:2] for _ in lists])
    candidates: dict[str, list[tuple[float, str]]] = {}
    for batch in stream(lists, probes, vectors, rows):
        assert batch.schema == RESULT
        for row in batch.to_pylist():
            best = [(c["key"], c["similar_id"]) for c in row["candidates"]]
            candidates.setdefault(row["item_id"], []).extend(best)
    merged = {
        item: [(other, -key) for key, other in sorted(best)[:4]]
        for item, best in candidates.items()
    }
    allowed = (lists[None, None, :] == probes[:, :, None]).any(axis=1)
    ids = [f"{n:03d}" for n in range(120)]
    assert merged == oracle.neighbors(ids, vectors, 4, allowed)


def test_queries_of_an_empty_list_find_nothing() -> None:
    lists, probes = np.array([0, 0]), np.array([[1], [1]])
    assert list(stream(lists, probes, np.ones((2, 3), np.float32), 10)) == []


def test_vectors_survive_the_way_through_bytes_and_lists() -> None:
    vectors = oracle.vectors(50, 5, seed=4)
    halves = pa.array(to_bytes(vectors), pa.binary())
    assert np.array_equal(from_bytes(halves), vectors)
    assert np.array_equal(from_bytes(halves[10:20]), vectors[10:20])
    assert np.array_equal(from_bytes(pa.chunked_array([halves[:3], halves[3:]])), vectors)
    lists = pa.array(vectors.tolist(), pa.list_(pa.float32()))
    assert np.array_equal(from_lists(lists[7:9]), vectors[7:9])
    assert from_bytes(pa.array([], pa.binary())).shape == (0, 0)
