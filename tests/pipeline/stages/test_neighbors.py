"""index and neighbors on made vectors, against brute force by the definition."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline import config
from pipeline.job import Job, Made
from pipeline.retrieval import quantiser, recall
from pipeline.retrieval.vectors import to_bytes
from pipeline.stages import index, neighbors
from pipeline.store import Record, Store
from tests.pipeline.retrieval import oracle

Table = dict[str, list[tuple[str, float]]]
QUANTISED = "index.exact_below=0"


class Night:
    """A store that holds embeddings, and the two stages on it."""

    def __init__(self, folder: Path, vectors: np.ndarray) -> None:
        self.ids = [f"{n * 7919 % len(vectors):04d}" for n in range(len(vectors))]
        self.vectors = vectors
        self._folder = folder
        self.store = Store(str(folder / "store"))
        self._write("embeddings", "e", tokens=np.ones(len(vectors)), half=to_bytes(vectors))
        self._runs = 0

    def _write(self, table: str, version: str, rows: slice = slice(None), **columns: Any) -> None:
        types = {"tokens": pa.int32()}
        path = self.store.table_path(table, version)
        path.mkdir(parents=True)
        data = {"item_id": pa.array(self.ids[rows], pa.string())} | {
            name: pa.array(values, types.get(name)) for name, values in columns.items()
        }
        pq.write_table(pa.table(data), path / "part.parquet")

    def items(self, version: str, rows: slice = slice(None)) -> None:
        """Write an items table with some of the items; every third is a shoe."""
        shelf = ["shoe" if n % 3 == 0 else "hat" for n in range(len(self.ids))][rows]
        self._write("items", version, rows, category=shelf)

    def run(self, *sets: str) -> tuple[Table, Made]:
        """Index and neighbours under these settings."""
        file = self._folder / "nitamono.toml"
        file.write_text('[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n')
        job = Job(config.load(file, sets, {}), self.store, "r")
        job.resolve(Record("ingest", "i", "r", {}, {}))
        job.resolve(
            Record(
                "embed", "e", "r", {}, {"embeddings": len(self.ids)}, {}, {"vectors": len(self.ids)}
            )
        )
        self._runs += 1
        self.index = f"index{self._runs}"
        made = index.execute(job, self.index)
        job.resolve(Record("index", self.index, "r", {}, made.tables, {}, made.outputs))
        made = neighbors.execute(job, f"neighbors{self._runs}")
        found = self.store.dataset("neighbors", f"neighbors{self._runs}").to_table().to_pylist()
        table = {
            row["item_id"]: [(n["similar_id"], n["score"]) for n in row["neighbors"]]
            for row in found
        }
        assert len(table) == len(found)
        return table, made

    def expected(self, k: int, nprobe: int) -> Table:
        """The definition: the best of the lists probed."""
        centroids = np.load(self.store.quantiser_path(self.index))
        probes = quantiser.probe(self.vectors, centroids, nprobe)
        allowed = (probes[:, 0][None, None, :] == probes[:, :, None]).any(axis=1)
        return oracle.neighbors(self.ids, self.vectors, k, allowed)

    def exact(self, k: int) -> Table:
        everything = np.ones((len(self.ids), len(self.ids)), dtype=bool)
        return oracle.neighbors(self.ids, self.vectors, k, everything)


def lopsided() -> np.ndarray:
    """Vectors of which 30% crowd in one place, 80 are the same and 3 are zero."""
    rng = np.random.default_rng(1)
    vectors = oracle.vectors(400, 12, seed=1)
    crowd = rng.permutation(400)[:120]
    vectors[crowd] = 3 * np.eye(12)[0] + 0.02 * rng.standard_normal((120, 12))
    vectors[rng.permutation(400)[:80]] = vectors[7]
    vectors[[1, 50, 300]] = 0
    return vectors.astype(np.float16).astype(np.float32)


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
    assert made.outputs["recall"]["queries"] == 500
    assert 1 < made.counts["probes"] < 30


def test_an_unlucky_pilot_sample_is_mended_by_more_probes(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "probes_for", lambda *_: 2)
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
    night.store.point("items", "old", "r")
    table, made = night.run("neighbors.k=4", "neighbors.mode=new")
    assert table == {item: everyone[item] for item in night.ids[170:]}
    assert made.tables["short_lists"] == 0
    assert made.outputs["recall"]["queries"] == 30
    table, _ = night.run("neighbors.k=4", "neighbors.where=category = 'shoe'")
    assert table == {item: everyone[item] for item in night.ids[::3]}
