"""The true neighbours of queries, brought up to date, against exact search of the whole."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.retrieval.exact_search import TRUTH, TruthQueries, exact_search
from pipeline.retrieval.rules import NO_RULES, Traits, with_traits
from pipeline.retrieval.truth_update import update_truth
from pipeline.retrieval.vectors import to_bytes
from tests.pipeline.retrieval import oracle

_QUERIES = 12


def _search(ids: np.ndarray, vectors: np.ndarray, rows: np.ndarray, k: int) -> pa.RecordBatch:
    """The k best of some items for the first items, as rows of TRUTH."""
    queries = with_traits(pa.RecordBatch.from_pydict({"item_id": ids[:_QUERIES]}))
    items = pa.RecordBatch.from_pydict(
        {
            "item_id": pa.array(ids[rows]),
            "list": pa.array(np.zeros(len(rows), np.int32)),
            "vector": to_bytes(vectors[rows]),
        }
    )
    truth_queries = TruthQueries(
        queries["item_id"], vectors[:_QUERIES], queries["same"], Traits.from_rows(queries, NO_RULES)
    )
    batches = list(exact_search(iter([items]), truth_queries, k, NO_RULES))
    return pa.concat_batches([*batches, pa.RecordBatch.from_pylist([], schema=TRUTH)])


def _pairs(rows: pa.RecordBatch, k: int) -> dict[int, list[tuple[str, float]]]:
    pairs: dict[int, list[tuple[str, float]]] = {}
    for row in rows.to_pylist():
        pairs.setdefault(row["query"], []).append((row["similar_id"], row["score"]))
    return {query: best[:k] for query, best in pairs.items()}


@pytest.mark.parametrize("departing", [0, 25, 150])
@pytest.mark.parametrize("arriving", [0, 60])
def test_queries_with_enough_neighbours_have_those_of_an_exact_search(
    departing: int, arriving: int
) -> None:
    # Many vectors are equal, so that scores are.
    vectors = oracle.vectors(260, 6, seed=3, duplicates=90)
    ids = np.array([f"{n * 7919 % 260:03d}" for n in range(260)])
    rows, k, capacity = np.arange(260), 5, 8
    before, arrivals = rows[: 260 - arriving], rows[260 - arriving :]
    gone = np.random.default_rng(1).permutation(before[_QUERIES:])[:departing]
    updated, has_enough = update_truth(
        _search(ids, vectors, before, capacity),
        pa.array(ids[gone]),
        _search(ids, vectors, arrivals, capacity),
        _QUERIES,
        (k, capacity),
    )
    expected = _pairs(_search(ids, vectors, np.setdiff1d(rows, gone), k), k)
    actual = _pairs(updated, k)
    enough = np.flatnonzero(has_enough).tolist()
    assert {query: actual[query] for query in enough} == {q: expected[q] for q in enough}
    if departing <= 25:
        assert len(enough) > _QUERIES // 2
    else:
        assert len(enough) < _QUERIES


def test_more_neighbours_are_never_kept_than_there_is_room_for() -> None:
    vectors = oracle.vectors(100, 4, seed=5)
    ids = np.array([f"{n:02d}" for n in range(100)])
    before = _search(ids, vectors, np.arange(60), 6)
    entering = _search(ids, vectors, np.arange(60, 100), 6)
    updated, has_enough = update_truth(
        before, pa.array([], pa.string()), entering, _QUERIES, (5, 6)
    )
    assert has_enough.all()
    assert {len(best) for best in _pairs(updated, 100).values()} == {6}
    assert _pairs(updated, 6) == _pairs(_search(ids, vectors, np.arange(100), 6), 6)
