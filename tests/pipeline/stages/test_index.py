"""The stage index: the vectors that it trains on, and lists that have parents."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipeline.retrieval import list_training
from pipeline.retrieval.vectors import from_bytes, to_bytes
from pipeline.spark.sampling import collected_sample
from pipeline.stages.index import training_sample
from pipeline.store.store import Store
from tests.pipeline.retrieval import oracle
from tests.pipeline.stages.embedded_store import QUANTISED, EmbeddedStore, lopsided


def test_the_vectors_to_train_on_are_those_of_the_seed_whatever_the_partitions(
    spark: SparkSession, tmp_path: Path
) -> None:
    store = Store(str(tmp_path))
    ids, vectors = [f"{n:03d}" for n in range(300)], oracle.vectors(300, 6, seed=1)
    rows = {"item_id": ids, "vector": to_bytes(vectors)}
    frame = spark.createDataFrame(pa.table(rows))
    for most in (40, 300):
        expected = collected_sample(frame, 300, most, 7, "quantiser")["vector"]
        for partitions in (1, 4):
            drawn = training_sample.draw(store, "v", frame.repartition(partitions), 300, most, 7)
            assert drawn.dtype == np.float16
            assert np.array_equal(drawn, from_bytes(expected))
    assert not list((tmp_path / "tables").rglob("*.parquet"))


def test_rows_with_one_hash_are_in_the_order_of_their_ids() -> None:
    keys = pa.table({"order": [1, 5, 5, 5, 8], "item_id": ["z", "a", "b", "c", "a"]})
    rows = keys.take([4, 2, 0, 3, 1]).to_batches()[0]
    assert training_sample._places(keys, rows).tolist() == [4, 2, 0, 3, 1]


def test_lists_with_parents_give_the_best_of_the_lists_that_are_probed(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_training, "PARENTS_FROM", 10)
    monkeypatch.setattr(list_training, "_MAX_COST", np.inf)
    monkeypatch.setattr(list_training, "parents_needed", lambda *_: 3)
    embedded = EmbeddedStore(tmp_path, lopsided())
    # With 12 probes some items probe lists of other parents too.
    for nprobe in (2, 12):
        sets = (QUANTISED, "index.nlist=40", "neighbors.k=4", f"neighbors.nprobe={nprobe}")
        table, result = embedded.run(*sets)
        assert table == embedded.expected(4, nprobe)
        assert result.counts["probes"] == nprobe
    assert len(embedded.store.quantisers.arrays(str(embedded.index))) == 4
