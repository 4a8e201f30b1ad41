"""index and neighbors on given vectors, against brute force."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from pipeline.errors import UsageError
from pipeline.retrieval import recall
from pipeline.retrieval.quantiser import Quantiser
from pipeline.stages.neighbors.ground_truth import Sample
from pipeline.store.arrow_files import Rows
from tests.pipeline.retrieval import oracle
from tests.pipeline.stages.embedded_store import QUANTISED, EmbeddedStore, lopsided


def test_partitions_and_memory_do_not_change_the_table(spark: SparkSession, tmp_path: Path) -> None:
    embedded = EmbeddedStore(tmp_path, lopsided())
    sets = (QUANTISED, "index.nlist=14", "neighbors.nprobe=3", "neighbors.k=6")
    for partitions in (1, 9):
        table, result = embedded.run(*sets, f"neighbors.partitions={partitions}")
        assert table == embedded.expected(6, 3)
    assert result.counts["probes"] == 3
    assert 0 < result.counts["scanned_share"] < 1
    assert 1 <= result.counts["groups_a_query"] <= result.counts["groups"]


def test_probing_every_list_is_brute_force_and_so_is_the_exact_mode(
    spark: SparkSession, tmp_path: Path
) -> None:
    embedded = EmbeddedStore(tmp_path, lopsided())
    table, _ = embedded.run(QUANTISED, "index.nlist=14", "neighbors.nprobe=14")
    assert table == embedded.exact(10)
    table, result = embedded.run("index.nlist=5")
    assert table == embedded.exact(10)
    assert result.outputs["recall"]["value"] == 1.0


@pytest.mark.parametrize(("items", "k"), [(1, 3), (2, 3), (5, 20)])
def test_fewer_items_than_lists_and_neighbours(
    spark: SparkSession, tmp_path: Path, items: int, k: int
) -> None:
    embedded = EmbeddedStore(tmp_path, oracle.vectors(items, 4, seed=2))
    table, _ = embedded.run(QUANTISED, "index.nlist=9", f"neighbors.k={k}", "neighbors.nprobe=9")
    assert table == embedded.exact(k)


def test_the_target_recall_is_met_without_a_number_of_probes(
    spark: SparkSession, tmp_path: Path
) -> None:
    vectors = np.random.default_rng(3).standard_normal((3000, 10)).astype(np.float16)
    embedded = EmbeddedStore(tmp_path, vectors.astype(np.float32))
    _, result = embedded.run(QUANTISED, "index.nlist=30", "neighbors.target_recall=0.9")
    assert result.outputs["recall"]["value"] >= 0.9
    assert result.outputs["recall"]["queries"] == 1000
    assert 1 < result.counts["probes"] < 30


def test_recall_is_measured_on_other_items_than_nprobe_is_chosen_on(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.random.default_rng(6).standard_normal((300, 10)).astype(np.float16)
    embedded = EmbeddedStore(tmp_path, vectors.astype(np.float32))
    sets = (QUANTISED, "index.nlist=9", "neighbors.k=3", "neighbors.recall_sample=20")
    pilots: list[set[str]] = []
    measured: list[set[str]] = []
    depths, measure = Sample.depths, Sample.measure_recall

    def noted_depths(sample: Sample, lists: Quantiser) -> list[np.ndarray]:
        pilots.append(set(sample.ids))
        return depths(sample, lists)

    def noted_recall(sample: Sample, neighbors: Rows, k: int) -> recall.Recall:
        measured.append(set(sample.ids))
        return measure(sample, neighbors, k)

    monkeypatch.setattr(Sample, "depths", noted_depths)
    monkeypatch.setattr(Sample, "measure_recall", noted_recall)
    embedded.run(*sets)
    assert (len(pilots[0]), len(measured[-1])) == (20, 20)
    assert not pilots[0] & set().union(*measured)


def test_an_unlucky_pilot_sample_is_mended_by_more_probes(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "nprobe_for_recall", lambda *_: 2)
    vectors = np.random.default_rng(4).standard_normal((400, 10)).astype(np.float16)
    embedded = EmbeddedStore(tmp_path, vectors.astype(np.float32))
    sets = (QUANTISED, "index.nlist=20", "neighbors.target_recall=0.99", "neighbors.k=5")
    table, result = embedded.run(*sets)
    # It starts with 2 probes, and has 1.5 times as many, rounded up, twice.
    assert result.counts["probes"] == 5
    assert table == embedded.expected(5, 5)
    assert {path.name for path in (tmp_path / "store/tables/neighbors").iterdir()} == {
        "version=neighbors1"
    }


def test_only_new_or_matching_items_are_queries(spark: SparkSession, tmp_path: Path) -> None:
    embedded = EmbeddedStore(tmp_path, oracle.vectors(200, 8, seed=5))
    embedded.write_items("i")
    embedded.write_items("old", slice(0, 170))
    neighbors = embedded.exact(4)
    table, _ = embedded.run("neighbors.k=4", "neighbors.mode=new")
    assert table == neighbors
    embedded.store.set_latest("items", "old", "r")
    embedded.store.set_latest("similar_items", "old", "r")
    table, result = embedded.run("neighbors.k=4", "neighbors.mode=new")
    assert table == {item: neighbors[item] for item in embedded.ids[170:]}
    assert result.tables["short_lists"] == 0
    assert result.outputs["recall"]["queries"] == 30
    table, _ = embedded.run("neighbors.k=4", "neighbors.where=category = 'shoe'")
    assert table == {item: neighbors[item] for item in embedded.ids[::3]}


def test_a_filter_that_is_no_sql_is_a_wrong_setting(spark: SparkSession, tmp_path: Path) -> None:
    embedded = EmbeddedStore(tmp_path, oracle.vectors(20, 8, seed=5))
    embedded.write_items("i")
    for wrong in ("colour = 'red'", "category =", "item_id"):
        with pytest.raises(UsageError, match=r"neighbors\.where"):
            embedded.run(f"neighbors.where={wrong}")


def test_an_exact_search_searches_everything_whatever_nprobe_says(
    spark: SparkSession, tmp_path: Path
) -> None:
    embedded = EmbeddedStore(tmp_path, oracle.vectors(120, 8, seed=3))
    table, result = embedded.run("index.nlist=5", "neighbors.nprobe=1", "neighbors.k=4")
    assert table == embedded.exact(4)
    assert result.outputs["recall"]["value"] == 1.0
