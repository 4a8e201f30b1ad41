"""The true neighbours that recall is measured by, under caps."""

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipeline.retrieval import exact_search
from pipeline.retrieval.rules import with_traits
from pipeline.retrieval.vectors import to_bytes
from pipeline.stages.neighbors.ground_truth import search_truth
from pipeline.stages.neighbors.recall_sample import SAMPLED, SampledQueries, SampleSettings
from pipeline.store.arrow_files import Rows
from tests.pipeline.retrieval import oracle, traits


def test_queries_whose_lists_end_at_a_cut_are_searched_again_with_more_candidates(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"{n:03d}" for n in range(300)]
    vectors = oracle.vectors(300, 4, seed=9)
    # Most items have one brand, of which a list holds one: few candidates give short lists.
    brands: list[str | None] = ["b" if n % 9 else None for n in range(300)]
    groups: list[str | None] = [f"g{n % 60}" if n % 4 else None for n in range(300)]
    rules = oracle.Rules(group=groups, caps=[(brands, 1)])
    table = pa.table(
        {
            "item_id": ids,
            "order": pa.array(range(300), pa.int64()),
            "list": pa.array(range(300), pa.int32()),
            "vector": to_bytes(vectors),
            **traits.columns(ids, rules),
        }
    )
    items = Rows(spark.createDataFrame(table).repartition(3), iter)
    rows = with_traits(table.slice(0, 20).combine_chunks().to_batches()[0])
    settings = SampleSettings(size=20, has_pilot=False, seed=3)
    sampled = SampledQueries(rows.select(SAMPLED.names).cast(SAMPLED), 20, settings)
    expected = oracle.neighbors(ids, vectors, 6, np.ones((300, 300), dtype=bool), rules)
    found = []
    for factors in ((1,), (1, 100)):
        monkeypatch.setattr(exact_search, "FACTORS", factors)
        best: dict[str, list[tuple[str, float]]] = {item: [] for item in ids[:20]}
        truth = search_truth(items, sampled, np.arange(20), 6, traits.rules(rules))
        for row in truth.to_pylist():
            best[ids[row["query"]]].append((row["similar_id"], row["score"]))
        assert all(row == expected[item][: len(row)] for item, row in best.items())
        found.append(sum(map(len, best.values())))
    assert found[0] < found[1] == sum(len(expected[item]) for item in ids[:20])
