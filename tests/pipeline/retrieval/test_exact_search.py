from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.retrieval import exact_search
from pipeline.retrieval.rules import NO_RULES, Traits
from pipeline.retrieval.search import ExactIndex
from pipeline.retrieval.vectors import cosines, to_bytes
from tests.pipeline.retrieval import oracle, traits


@pytest.mark.parametrize("few_queries", [0, 64])
def test_exact_search_by_blocks_holds_the_true_neighbours(
    monkeypatch: pytest.MonkeyPatch, few_queries: int
) -> None:
    monkeypatch.setattr(exact_search, "_FEW_QUERIES", few_queries)
    vectors = oracle.vectors(400, 8, seed=8)
    ids = [f"{n:03d}" for n in range(400)]
    languages: list[str | None] = [None if n % 5 == 0 else ["ja", "en"][n % 2] for n in range(400)]
    monkeypatch.setattr(exact_search, "_BLOCK_ROWS", 120)
    without_same: list[str | None] = [None] * 400
    for same in (without_same, languages):
        table = pa.table(
            {
                "item_id": ids,
                "list": pa.array(range(400), pa.int32()),
                "vector": to_bytes(vectors),
                "same": pa.array(same, pa.string()),
            }
        )
        batches = iter(table.to_batches(max_chunksize=50))
        queries = exact_search.TruthQueries(
            pa.array(ids[:9]),
            vectors[:9],
            pa.array(same[:9], pa.string()),
            Traits.from_rows(table.slice(0, 9).to_batches()[0], NO_RULES),
        )
        (truth,) = exact_search.exact_search(batches, queries, 5, NO_RULES)
        best: dict[str, list[tuple[str, float]]] = {}
        for row in truth.to_pylist():
            best.setdefault(ids[row["query"]], []).append((row["similar_id"], row["score"]))
            assert row["list"] == ids.index(row["similar_id"])
        allowed = np.array([[own == other for other in same] for own in same])
        expected = oracle.neighbors(ids, vectors, 5, allowed)
        assert best == {item: expected[item] for item in ids[:9]}


def test_a_few_queries_are_compared_in_pairs_with_near_items_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The second block has nothing near but one item, a little nearer than the fifth of the first.
    angles = np.concatenate([np.linspace(0, 0.1, 60), np.full(60, 1.5)])
    angles[100] = angles[5] - 0.0005
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    ids = [f"{n:03d}" for n in range(120)]
    table = pa.table(
        {"item_id": ids, "list": pa.array(range(120), pa.int32()), "vector": to_bytes(vectors)}
    )
    query = vectors[:1].astype(np.float32)
    traits_of_query = Traits.from_rows(table.slice(0, 1).to_batches()[0], NO_RULES)
    queries = exact_search.TruthQueries(
        pa.array(ids[:1]), query, pa.nulls(1, pa.string()), traits_of_query
    )
    indexed = []

    class CountedIndex(ExactIndex):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            indexed.append(len(self.ids))

    monkeypatch.setattr(exact_search, "_BLOCK_ROWS", 60)
    monkeypatch.setattr(exact_search, "ExactIndex", CountedIndex)
    (truth,) = exact_search.exact_search(iter(table.to_batches()), queries, 5, NO_RULES)
    assert truth["similar_id"].to_pylist() == ["001", "002", "003", "004", "100"]
    assert indexed == [60, 1]


def test_a_block_of_near_items_is_cut_before_pairs_are_scored_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two blocks: far items, then items near the queries, all of which pass the bound so far.
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((1_200, 16)).astype(np.float32)
    vectors[600:, 0] += 9
    vectors = vectors.astype(np.float16).astype(np.float32)
    ids = [f"{n:04d}" for n in range(1_200)]
    table = pa.table(
        {
            "item_id": ids,
            "list": pa.array(range(1_200), pa.int32()),
            "vector": to_bytes(vectors),
            "same": pa.nulls(1_200, pa.string()),
        }
    )
    asking = table.slice(1_000, 30)
    queries = exact_search.TruthQueries(
        pa.array(ids[1_000:1_030]),
        vectors[1_000:1_030],
        pa.nulls(30, pa.string()),
        Traits.from_rows(asking.combine_chunks().to_batches()[0], NO_RULES),
    )
    scored = []

    def counted(*arguments: Any) -> Any:
        scored.append(len(arguments[2]))
        return cosines(*arguments)

    monkeypatch.setattr(exact_search, "_BLOCK_ROWS", 600)
    monkeypatch.setattr("pipeline.retrieval.search.cosines", counted)
    (truth,) = exact_search.exact_search(iter(table.to_batches()), queries, 5, NO_RULES)
    best: dict[str, list[tuple[str, float]]] = {}
    for row in truth.to_pylist():
        best.setdefault(ids[1_000 + row["query"]], []).append((row["similar_id"], row["score"]))
    allowed = np.zeros((1_200, 1_200), dtype=bool)
    allowed[1_000:1_030] = True
    expected = oracle.neighbors(ids, vectors, 5, allowed)
    assert best == {item: expected[item] for item in ids[1_000:1_030]}
    assert sum(scored) < 30 * 30, "600 near items of each query were not cut"


@pytest.mark.parametrize("has_groups", [True, False])
def test_exact_search_under_caps_gives_the_first_of_the_true_neighbours(
    monkeypatch: pytest.MonkeyPatch, has_groups: bool
) -> None:
    ids = [f"{n:03d}" for n in range(400)]
    # Many scores tie, and one brand has more items than the depth.
    vectors = oracle.vectors(400, 4, seed=9, duplicates=150)
    brands: list[str | None] = ["b" if n % 9 else None for n in range(400)]
    groups: list[str | None] = [f"g{n % 60}" if n % 4 else None for n in range(400)]
    rules = oracle.Rules(group=groups if has_groups else [], caps=[(brands, 2)])
    pair_rules = traits.rules(rules)
    table = pa.table(
        {
            "item_id": ids,
            "list": pa.array(range(400), pa.int32()),
            "vector": to_bytes(vectors),
            "same": pa.nulls(400, pa.string()),
            **traits.columns(ids, rules),
        }
    )
    first = table.slice(0, 20).to_batches()[0]
    queries = exact_search.TruthQueries(
        first["item_id"], vectors[:20], first["same"], Traits.from_rows(first, pair_rules)
    )
    monkeypatch.setattr(exact_search, "_BLOCK_ROWS", 70)
    expected = oracle.neighbors(ids, vectors, 6, np.ones((400, 400), dtype=bool), rules)
    counts = []
    for factor in (1, 2, 100):
        halves = (table.slice(0, 150), table.slice(150))
        searched = [
            next(exact_search.exact_search(iter(half.to_batches()), queries, 6, pair_rules, factor))
            for half in halves
        ]
        truth = exact_search.merge_truth(pa.concat_batches(searched), 6, pair_rules)
        best: dict[str, list[tuple[str, float]]] = {item: [] for item in ids[:20]}
        for row in truth.to_pylist():
            best[ids[row["query"]]].append((row["similar_id"], row["score"]))
        cut = truth.filter(truth["cut_id"].is_valid())["query"].to_pylist()
        short = [item for item, row in best.items() if len(row) < len(expected[item])]
        assert [ids[query] for query in cut] == short
        assert all(row == expected[item][: len(row)] for item, row in best.items())
        counts.append(sum(map(len, best.values())))
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1]
    assert best == {item: expected[item] for item in ids[:20]}
