import numpy as np
import pyarrow as pa
import pytest

from pipeline.retrieval.recall import exact_search, measure, wilson
from pipeline.retrieval.vectors import to_bytes
from tests.pipeline.retrieval import oracle


def test_recall_counts_the_true_neighbours_that_were_found() -> None:
    exact = [[0.9, 0.8, 0.7, 0.6], [0.5, 0.5, 0.5, 0.5]]
    found = [[0.9, 0.7, 0.5, 0.4], [0.5, 0.5]]
    recall = measure(found, exact, 4)
    assert recall.value == pytest.approx((2 / 4 + 2 / 4) / 2)
    assert recall.low < recall.value < recall.high
    assert recall.queries == 2


def test_items_that_can_have_no_neighbour_are_not_measured() -> None:
    assert measure([[], [0.9]], [[], [0.9]], 1).queries == 1
    assert measure([[]], [[]], 1).queries == 0


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I: 81 of 263 and 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_exact_search_by_blocks_holds_the_true_neighbours() -> None:
    vectors = oracle.vectors(400, 8, seed=8)
    ids = [f"{n:03d}" for n in range(400)]
    table = pa.table({"item_id": ids, "vector": pa.array(to_bytes(vectors), pa.binary())})
    best: dict[str, list[tuple[float, str]]] = {}
    for batch in exact_search(iter(table.to_batches(max_chunksize=150)), ids[:9], vectors[:9], 5):
        for row in batch.to_pylist():
            pairs = [(c["key"], c["similar_id"]) for c in row["candidates"]]
            best.setdefault(row["item_id"], []).extend(pairs)
    expected = oracle.neighbors(ids, vectors, 5, np.ones((400, 400), dtype=bool))
    for item in ids[:9]:
        assert [(other, -key) for key, other in sorted(best[item])[:5]] == expected[item]
