"""index and neighbors on made vectors, against brute force by the definition."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from pipeline.errors import UsageError
from pipeline.retrieval import recall
from tests.pipeline.retrieval import oracle
from tests.pipeline.stages.night import QUANTISED, Night, lopsided


def test_partitions_and_memory_do_not_change_the_table(spark: SparkSession, tmp_path: Path) -> None:
    night = Night(tmp_path, lopsided())
    sets = (QUANTISED, "index.nlist=14", "neighbors.nprobe=3", "neighbors.k=6")
    for partitions in (1, 7, 64):
        table, made = night.run(*sets, f"neighbors.partitions={partitions}")
        assert table == night.expected(6, 3)
    assert made.counts["probes"] == 3
    assert 0 < made.counts["scanned_share"] < 1
    assert 1 <= made.counts["groups_a_query"] <= made.counts["groups"]


def test_probing_every_list_is_brute_force_and_so_is_the_exact_mode(
    spark: SparkSession, tmp_path: Path
) -> None:
    night = Night(tmp_path, lopsided())
    table, _ = night.run(QUANTISED, "index.nlist=14", "neighbors.nprobe=14")
    assert table == night.exact(10)
    table, made = night.run("index.nlist=5")
    assert table == night.exact(10)
    assert made.outputs["recall"]["value"] == 1.0


@pytest.mark.parametrize(("items", "k"), [(1, 3), (2, 3), (5, 20)])
def test_fewer_items_than_lists_and_neighbours(
    spark: SparkSession, tmp_path: Path, items: int, k: int
) -> None:
    night = Night(tmp_path, oracle.vectors(items, 4, seed=2))
    table, _ = night.run(QUANTISED, "index.nlist=9", f"neighbors.k={k}", "neighbors.nprobe=9")
    assert table == night.exact(k)


def test_the_target_recall_is_met_without_a_number_of_probes(
    spark: SparkSession, tmp_path: Path
) -> None:
    vectors = np.random.default_rng(3).standard_normal((3000, 10)).astype(np.float16)
    night = Night(tmp_path, vectors.astype(np.float32))
    _, made = night.run(QUANTISED, "index.nlist=30", "neighbors.target_recall=0.9")
    assert made.outputs["recall"]["value"] >= 0.9
    assert made.outputs["recall"]["queries"] == 1000
    assert 1 < made.counts["probes"] < 30


def test_an_unlucky_pilot_sample_is_mended_by_more_probes(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "nprobe_for_recall", lambda *_: 2)
    vectors = np.random.default_rng(4).standard_normal((400, 10)).astype(np.float16)
    night = Night(tmp_path, vectors.astype(np.float32))
    sets = (QUANTISED, "index.nlist=20", "neighbors.target_recall=0.99", "neighbors.k=5")
    table, made = night.run(*sets)
    # 2, then 1.5 times as many, twice.
    assert made.counts["probes"] == 5
    assert table == night.expected(5, 5)
    assert {path.name for path in (tmp_path / "store/tables/neighbors").iterdir()} == {
        "version=neighbors1"
    }


def test_only_new_or_matching_items_are_asked_for(spark: SparkSession, tmp_path: Path) -> None:
    night = Night(tmp_path, oracle.vectors(200, 8, seed=5))
    night.items("i")
    night.items("old", slice(0, 170))
    everyone = night.exact(4)
    table, _ = night.run("neighbors.k=4", "neighbors.mode=new")
    assert table == everyone
    night.store.set_latest("items", "old", "r")
    night.store.set_latest("similar_items", "old", "r")
    table, made = night.run("neighbors.k=4", "neighbors.mode=new")
    assert table == {item: everyone[item] for item in night.ids[170:]}
    assert made.tables["short_lists"] == 0
    assert made.outputs["recall"]["queries"] == 30
    table, _ = night.run("neighbors.k=4", "neighbors.where=category = 'shoe'")
    assert table == {item: everyone[item] for item in night.ids[::3]}


def test_a_filter_that_is_no_sql_is_a_wrong_setting(spark: SparkSession, tmp_path: Path) -> None:
    night = Night(tmp_path, oracle.vectors(20, 8, seed=5))
    night.items("i")
    for wrong in ("colour = 'red'", "category =", "item_id"):
        with pytest.raises(UsageError, match=r"neighbors\.where"):
            night.run(f"neighbors.where={wrong}")


def test_an_exact_search_searches_everything_whatever_nprobe_says(
    spark: SparkSession, tmp_path: Path
) -> None:
    night = Night(tmp_path, oracle.vectors(120, 8, seed=3))
    table, made = night.run("index.nlist=5", "neighbors.nprobe=1", "neighbors.k=4")
    assert table == night.exact(4)
    assert made.outputs["recall"]["value"] == 1.0
